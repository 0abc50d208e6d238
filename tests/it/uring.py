"""A worker that waits for connections on descriptor 3 by io_uring; with --probe, only whether the kernel lets it."""

import ctypes
import mmap
import os
import sys
import time

IO_URING_SETUP, IO_URING_ENTER = 425, 426  # the same on every architecture
IORING_OP_POLL_ADD, POLLIN, ENTRIES = 6, 1, 4
IORING_OFF_SQES = 0x10000000

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def wait_for(descriptor):
    """Makes a ring that polls the descriptor (io_uring_setup(2), io_uring_enter(2))."""
    params = (ctypes.c_uint32 * 30)()
    ring = call(IO_URING_SETUP, ENTRIES, ctypes.addressof(params))
    # struct io_sqring_offsets begins at the eleventh number: head, tail, ring_mask, ring_entries, flags, dropped, array.
    tail, array = params[11], params[16]
    submission = mmap.mmap(ring, array + ENTRIES * 4, offset=0)
    entries = mmap.mmap(ring, ENTRIES * 64, offset=IORING_OFF_SQES)
    entry = bytes([IORING_OP_POLL_ADD, 0, 0, 0]) + descriptor.to_bytes(4, sys.byteorder) + bytes(20)
    entry += POLLIN.to_bytes(4, sys.byteorder)
    entries[0 : len(entry)] = entry
    submission[array : array + 4] = bytes(4)
    submission[tail : tail + 4] = (1).to_bytes(4, sys.byteorder)
    call(IO_URING_ENTER, ring, 1, 0, 0, 0, 0)
    return ring, submission, entries


if sys.argv[1:] == ["--probe"]:
    wait_for(os.pipe()[0])
else:
    ring = wait_for(3)
    time.sleep(3600)
