//! A new process, as vfork(2) makes it, and the calls it makes before it executes its program.
//!
//! Decides nothing: what to do in the child, and in which order, is `spawn`'s. The one non-obvious
//! fact: until it executes its program the child runs *in herder's memory*, while herder waits. What it
//! may do to its own process is offered by [`InChild`], which exists nowhere else.

use super::{CPU_WORDS, CpuMask, LAST_SIGNAL, SIGSET_SIZE, Wait, checked, set_signal_mask, waitid};
use nix::sys::resource::{Resource, setrlimit};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A null-terminated array of C strings for execve(2), made before there is a child: after that
/// nothing may be allocated.
#[derive(Debug)]
pub struct Strings<'a>(Vec<*const c_char>, PhantomData<&'a CStr>);

impl<'a> Strings<'a> {
    /// The array of the `slots`' and the other `strings`.
    pub fn new(strings: impl IntoIterator<Item = &'a CStr>, slots: &'a [PidSlot]) -> Strings<'a> {
        let slots = slots.iter().map(|slot| slot.text.as_ptr().cast());
        let strings = strings.into_iter().map(CStr::as_ptr);
        Strings(slots.chain(strings).chain([ptr::null()]).collect(), PhantomData)
    }
}

/// `NAME=` and room for the digits of a pid that is known only in the child (sd_listen_fds(3)).
#[derive(Debug)]
pub struct PidSlot {
    text: Box<[Cell<u8>]>,
    digits_at: usize,
}

impl PidSlot {
    /// A variable of this name, empty so far.
    pub fn new(name: &str) -> PidSlot {
        let text = name.bytes().chain([b'=']).chain([0; 11]).map(Cell::new).collect();
        PidSlot { text, digits_at: name.len() + 1 }
    }

    /// Fills in the digits. Neither allocates nor panics.
    pub fn write(&self, pid: i32) {
        let mut rest = pid.unsigned_abs();
        let count = rest.checked_ilog10().unwrap_or(0) as usize + 1;
        // The last byte stays the NUL: a pid has at most ten digits.
        for cell in self.text.iter().skip(self.digits_at).take(count.min(10)).rev() {
            cell.set(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
    }
}

/// The stack of the next child: mapped once, below it a page that faults.
struct Stack(*mut c_void);

// SAFETY: the mapping belongs to the thread that holds the lock around the only `Stack`.
unsafe impl Send for Stack {}

impl Stack {
    const GUARD: usize = 64 << 10; // the largest page size of any Linux machine
    const SIZE: usize = Stack::GUARD + (64 << 10);

    fn map() -> io::Result<Stack> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        let usable = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), Stack::SIZE, usable, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the pages were mapped just above and are not in use.
        checked(unsafe { libc::mprotect(base, Stack::GUARD, libc::PROT_NONE) }.into())?;
        Ok(Stack(base))
    }

    /// Stacks grow down; the end of a page is aligned as every ABI wants it.
    fn top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(Stack::SIZE)
    }
}

/// The system call that makes the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloneMethod {
    /// clone3(2): the only one that can make a child in another cgroup.
    Clone3,
    /// clone(2): where a seccomp filter answers clone3 with `ENOSYS`, because it cannot look into a
    /// structure (`RestrictNamespaces=`, systemd.exec(5); container engines), and on machines
    /// for which [`clone3`] is not written.
    Clone,
}

const CHILD_FLAGS: c_int = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;

/// `CLONE_INTO_CGROUP` (clone(2)). libc's constant is a `c_int`, into which it does not fit: there it is 0.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Runs `child` in a new process, as vfork(2) does: in this process's memory but on a stack of its
/// own, while this thread waits until it has executed a program or exited. Returns its pid and
/// pidfd then.
///
/// [`CloneMethod::Clone3`] makes it in the cgroup whose directory `cgroup` is; [`CloneMethod::Clone`] cannot,
/// and ignores it.
///
/// The child has a copy of the descriptors below `first_closed`, and none of the others: with thousands of
/// workers, to copy all of herder's and to close them again takes longer than everything else together. (Where
/// the kernel cannot do that, it has a copy of all.)
///
/// So `child` is like a call that this thread makes: what it writes is seen afterwards. It should
/// neither allocate nor lock (with several threads another one may hold that lock), and it cannot
/// return: if it does, the process exits. Its descriptor table is its own, its
/// signal dispositions too (no `CLONE_SIGHAND`). It starts with every signal blocked: no handler of
/// this process can run in it.
pub fn vfork(
    method: CloneMethod,
    cgroup: Option<BorrowedFd<'_>>,
    first_closed: RawFd,
    child: &mut dyn FnMut(&InChild),
) -> io::Result<(i32, OwnedFd)> {
    /// Whether the kernel can copy some of the descriptors (close_range(2), Linux 5.9).
    static CAN_COPY_SOME: AtomicBool = AtomicBool::new(true);
    if CAN_COPY_SOME.load(Ordering::Relaxed) {
        let mut entry = Entry { first_closed: Some(first_closed), refused: false, child };
        let (pid, pidfd) = enter_child(method, cgroup, &mut entry)?;
        if !entry.refused {
            return Ok((pid, pidfd));
        }
        // It has exited by itself; only its zombie is left, and a failed wait leaves that at worst.
        let _ = waitid(Wait::Pidfd(pidfd.as_fd()), 0);
        CAN_COPY_SOME.store(false, Ordering::Relaxed);
    }
    enter_child(method, cgroup, &mut Entry { first_closed: None, refused: false, child })
}

/// What a new process begins with.
struct Entry<'a> {
    /// The first descriptor it has no use for; `None` if it has a copy of all.
    first_closed: Option<RawFd>,
    /// It shares herder's descriptors and could not get a table of its own, so it has exited.
    refused: bool,
    child: &'a mut dyn FnMut(&InChild),
}

fn enter_child(
    method: CloneMethod,
    cgroup: Option<BorrowedFd<'_>>,
    entry: &mut Entry<'_>,
) -> io::Result<(i32, OwnedFd)> {
    static STACK: Mutex<Option<Stack>> = Mutex::new(None);
    let mut stack = STACK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let stack = match &mut *stack {
        Some(stack) => stack,
        none => none.insert(Stack::map()?),
    };
    // Shared for as long as it takes to copy a part.
    let files = if entry.first_closed.is_some() { libc::CLONE_FILES } else { 0 };
    let flags = CHILD_FLAGS | files;
    let data = (&raw mut *entry).cast::<c_void>();
    let mut pidfd: c_int = -1;
    let mask = set_signal_mask(u64::MAX);
    let result = match method {
        CloneMethod::Clone3 => clone3(flags, stack, cgroup, data, &mut pidfd),
        CloneMethod::Clone => {
            let flags = flags | libc::SIGCHLD;
            // SAFETY: the stack is ours alone (the lock) and unused, `data` is what `enter` wants,
            // and both outlive the child's use of them because this thread waits (CLONE_VFORK).
            checked(unsafe { libc::clone(enter, stack.top(), flags, data, &raw mut pidfd) }.into())
        }
    };
    set_signal_mask(mask);
    let pid = result?;
    // SAFETY: CLONE_PIDFD has stored a new descriptor here; it is close-on-exec.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// The first function on the child's stack.
extern "C" fn enter(data: *mut c_void) -> c_int {
    // SAFETY: `data` is the `&mut Entry` of `enter_child`, which waits and does not touch it.
    let entry = unsafe { &mut *data.cast::<Entry<'_>>() };
    // Before anything else: what is done to descriptors after this is done to the child's own.
    entry.refused = entry.first_closed.is_some_and(|first| copy_descriptors_below(first).is_err());
    if !entry.refused {
        (entry.child)(&InChild(()));
    }
    // SAFETY: ends this process without running anything of herder's.
    unsafe { libc::_exit(127) }
}

/// Gives this process a descriptor table of its own, with a copy of those below `first` (close_range(2)).
fn copy_descriptors_below(first: RawFd) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_UNSHARE;
    // SAFETY: takes integers. It closes nothing of herder's: the table is copied before.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, flags) }).map(drop)
}

#[cfg(target_arch = "x86_64")]
fn clone3(
    flags: c_int,
    stack: &Stack,
    cgroup: Option<BorrowedFd<'_>>,
    data: *mut c_void,
    pidfd: &mut c_int,
) -> io::Result<i32> {
    // SAFETY: all zeroes is a valid clone_args: nothing asked for.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags as u64;
    args.pidfd = (&raw mut *pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.stack = stack.0 as u64;
    args.stack_size = Stack::SIZE as u64;
    if let Some(directory) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::from(directory.as_raw_fd().unsigned_abs());
    }
    // SAFETY: as with clone(2) above: the stack is ours alone, `data` is what `enter` wants, and
    // this thread waits. `args` describes itself by its size.
    let result = unsafe { clone3_on_stack(&raw const args, size_of_val(&args), enter, data) };
    match i32::try_from(result) {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(error) => Err(io::Error::from_raw_os_error(-error)),
        Err(_) => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn clone3(
    _: c_int,
    _: &Stack,
    _: Option<BorrowedFd<'_>>,
    _: *mut c_void,
    _: &mut c_int,
) -> io::Result<i32> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    /// clone3(2), as glibc's own (not exported) wrapper makes it: the child begins on its new, empty
    /// stack, so it must not return from here, it calls `run`. Returns -errno.
    ///
    /// # Safety
    /// `args` must be valid and name a stack that nothing else uses; `run(data)` must not return.
    #[link_name = "herder_clone3_on_stack"]
    fn clone3_on_stack(
        args: *const libc::clone_args,
        size: usize,
        run: extern "C" fn(*mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_long;
}

// A naked function would say the same, and needs a newer compiler than Debian 13 has.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .text.herder_clone3_on_stack, \"ax\", @progbits",
    ".globl herder_clone3_on_stack",
    ".hidden herder_clone3_on_stack",
    ".type herder_clone3_on_stack, @function",
    "herder_clone3_on_stack:",
    "mov r8, rcx", // the system call overwrites rcx and r11, and nothing else
    "mov eax, {clone3}",
    "syscall",
    "test rax, rax",
    "jz 2f",
    "ret",
    "2: xor ebp, ebp", // the outermost frame, for debuggers
    "mov rdi, r8",
    "call rdx",
    "ud2",
    ".size herder_clone3_on_stack, . - herder_clone3_on_stack",
    ".popsection",
    clone3 = const libc::SYS_clone3,
);

/// The new process between clone and exec, and what it may do to itself: proof for these methods
/// that the descriptors they replace and the signals they reset are not herder's.
#[derive(Debug)]
pub struct InChild(());

impl InChild {
    /// Every signal's disposition becomes the default. Only ignored ones would survive exec, but a
    /// handler must not run in the memory shared with herder either.
    pub fn reset_signals(&self) {
        // The kernel's own struct sigaction, of at most 32 bytes: all zeroes is SIG_DFL everywhere.
        let default = [0_u64; 4];
        for signal in 1..=LAST_SIGNAL {
            let no_old = ptr::null_mut::<c_void>();
            // SAFETY: `default` is as large as the kernel's structure; SIGKILL and SIGSTOP are
            // refused with EINVAL, and already at their default. Not glibc's call: it refuses 32, 33.
            unsafe {
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, SIGSET_SIZE)
            };
        }
    }

    /// Ignores SIGPIPE.
    pub fn ignore_sigpipe(&self) {
        // SAFETY: installs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    }

    /// Blocks no signal. What was pending is delivered.
    pub fn unblock_signals(&self) {
        set_signal_mask(0);
    }

    /// Makes the process the leader of a session and a process group of its own (setsid(2)).
    pub fn new_session(&self) -> io::Result<()> {
        // SAFETY: takes nothing.
        checked(unsafe { libc::setsid() }.into()).map(drop)
    }

    /// SIGKILL when herder ends (PR_SET_PDEATHSIG(2const)); an error if `herder` has already.
    pub fn die_with(&self, herder: i32) -> io::Result<()> {
        // SAFETY: takes integers.
        checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }.into())?;
        // SAFETY: takes nothing.
        let parent = unsafe { libc::getppid() };
        if parent == herder { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    }

    /// chdir(2).
    pub fn change_directory(&self, path: &CStr) -> io::Result<()> {
        // SAFETY: `path` is a C string.
        checked(unsafe { libc::chdir(path.as_ptr()) }.into()).map(drop)
    }

    /// open(2) with `flags`; not close-on-exec.
    pub fn open(&self, path: &CStr, flags: c_int) -> io::Result<RawFd> {
        // SAFETY: `path` is a C string.
        checked(unsafe { libc::open(path.as_ptr(), flags) }.into())
    }

    /// write(2).
    pub fn write(&self, fd: RawFd, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: reads as many bytes as there are.
        checked(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) } as c_long).map(drop)
    }

    /// A copy of `fd` numbered `from` or higher, close-on-exec.
    pub fn copy_above(&self, fd: RawFd, from: RawFd) -> io::Result<RawFd> {
        // SAFETY: takes integers.
        checked(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, from) }.into())
    }

    /// Makes `fd` survive exec under the number `target`.
    pub fn pass_as(&self, fd: RawFd, target: RawFd) -> io::Result<()> {
        // dup2(2) of a descriptor onto itself does nothing, and would leave FD_CLOEXEC set.
        let result = if fd == target {
            // SAFETY: takes integers.
            unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }
        } else {
            // SAFETY: takes integers; what `target` was is closed in this process only.
            unsafe { libc::dup2(fd, target) }
        };
        checked(result.into()).map(drop)
    }

    /// Marks every descriptor from `first` on close-on-exec (close_range(2)).
    pub fn close_from(&self, first: RawFd) -> io::Result<()> {
        let flags = libc::CLOSE_RANGE_CLOEXEC;
        // SAFETY: takes integers.
        checked(unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, flags) })
            .map(drop)
    }

    /// setrlimit(2). Limits are not part of the memory that is shared with herder, but of the process.
    pub fn limit(&self, resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
        Ok(setrlimit(resource, soft, hard)?)
    }

    /// setpriority(2) of this process.
    pub fn be_nice(&self, nice: c_int) -> io::Result<()> {
        // SAFETY: takes integers; 0 is the calling process.
        checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }.into()).map(drop)
    }

    /// Keeps the process on one CPU (sched_setaffinity(2)).
    pub fn stay_on(&self, cpu: usize) -> io::Result<()> {
        let mut mask: CpuMask = [0; CPU_WORDS];
        let word =
            mask.get_mut(cpu / 64).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        *word = 1 << (cpu % 64);
        let mask = mask.as_ptr();
        // SAFETY: the kernel reads as many bytes as the mask has; 0 is this process.
        let result =
            unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of::<CpuMask>(), mask) };
        checked(result).map(drop)
    }

    /// The pid of this process.
    pub fn pid(&self) -> i32 {
        // SAFETY: takes nothing; glibc has not cached it since 2.25.
        unsafe { libc::getpid() }
    }

    /// execve(2). Returns why not.
    pub fn execute(&self, path: &CStr, argv: &Strings<'_>, env: &Strings<'_>) -> io::Error {
        // SAFETY: `Strings` are null-terminated arrays of C strings that outlive this borrow.
        unsafe { libc::execve(path.as_ptr(), argv.0.as_ptr(), env.0.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// Makes clone3(2) fail with `errno` in this thread, as a seccomp filter does it (seccomp(2)).
#[cfg(test)]
pub fn refuse_clone3(errno: i32) {
    refuse(libc::SYS_clone3, errno);
}

/// The same of any system call.
#[cfg(test)]
pub fn refuse(call: c_long, errno: i32) {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let answer = libc::SECCOMP_RET_ERRNO | errno as u32;
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the number of the call
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, answer),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs().expect("PR_SET_NO_NEW_PRIVS");
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program and its four statements outlive the call.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    checked(result.into()).expect("PR_SET_SECCOMP");
}
