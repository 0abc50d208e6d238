//! What `/proc` says of a process's descriptors and system calls, as far as that tells whether it waits
//! on a socket.
//!
//! A socket is known by its inode: each descriptor of it, in whatever process, is a link to
//! `socket:[INODE]`, and so is an entry in an epoll set (proc_pid_fd(5), proc_pid_fdinfo(5)).

/// A descriptor, as its link in `/proc/PID/fd` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A socket, by its inode.
    Socket(u64),
    /// An epoll set.
    Epoll,
    /// An io_uring.
    Ring,
    /// Something else.
    Other,
}

impl Target {
    /// What this link stands for.
    pub fn of(link: &[u8]) -> Target {
        let inode = || {
            let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
            std::str::from_utf8(digits).ok()?.parse().ok()
        };
        match link {
            b"anon_inode:[eventpoll]" => Target::Epoll,
            b"anon_inode:[io_uring]" => Target::Ring,
            _ => inode().map_or(Target::Other, Target::Socket),
        }
    }
}

/// `EPOLLIN` or `EPOLLRDNORM` (epoll_ctl(2)): a connection has come.
const EPOLL_READABLE: u32 = 0x1 | 0x40;

/// The inodes of what an epoll set watches for input, from its `/proc/PID/fdinfo/FD`: lines such as
/// `tfd:  3 events:  19 data:  3  pos:0 ino:70bd sdev:9`, all but the first number in hexadecimal.
pub fn watched(fdinfo: &str) -> impl Iterator<Item = u64> {
    fdinfo.lines().filter_map(|line| {
        let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
        let events =
            u32::from_str_radix(words.find(|word| *word == "events:").and(words.next())?, 16);
        let inode = words.find_map(|word| word.strip_prefix("ino:"))?;
        let readable = events.ok()? & EPOLL_READABLE != 0;
        readable.then(|| u64::from_str_radix(inode, 16).ok())?
    })
}

/// Whether anything is being waited for by this io_uring, from its `/proc/PID/fdinfo/FD`. For what, the
/// kernel does not tell.
pub fn ring_waits(fdinfo: &str) -> bool {
    let list = fdinfo.lines().skip_while(|line| !line.starts_with("PollList:")).skip(1);
    list.take_while(|line| line.starts_with(' ')).any(|line| line.trim_start().starts_with("op="))
}

/// A system call in which a thread is blocked (proc_pid_syscall(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCall {
    /// By the table of the process's own architecture.
    pub number: i64,
    /// As they are in the registers.
    pub arguments: [u64; 6],
}

impl SystemCall {
    /// From `/proc/PID/task/TID/syscall`: `None` of a thread that runs, or is blocked elsewhere.
    pub fn parse(text: &str) -> Option<SystemCall> {
        let mut words = text.split_ascii_whitespace();
        let number = words.next()?.parse().ok().filter(|number| *number >= 0)?;
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(SystemCall { number, arguments })
    }
}

/// `POLLIN` or `POLLRDNORM` (poll(2)).
const POLL_READABLE: i16 = 0x1 | 0x40;

/// The size of a `struct pollfd`.
pub const POLLFD: usize = 8;

/// The descriptors that an array of `struct pollfd` waits for input on (poll(2)).
pub fn polled(array: &[u8]) -> impl Iterator<Item = i32> {
    array.chunks_exact(POLLFD).filter_map(|entry| {
        let [a, b, c, d, e, f, _, _] = entry.try_into().ok()?;
        let events = i16::from_ne_bytes([e, f]);
        (events & POLL_READABLE != 0).then(|| i32::from_ne_bytes([a, b, c, d]))
    })
}

/// The descriptors in an `fd_set` (select(2)), which is an array of `unsigned long`.
pub fn selected(set: &[u8]) -> impl Iterator<Item = i32> {
    const WORD: usize = size_of::<usize>();
    let words = set.chunks_exact(WORD).map(|bytes| match bytes.try_into() {
        Ok(bytes) => usize::from_ne_bytes(bytes),
        Err(_) => 0,
    });
    (0_i32..).step_by(WORD * 8).zip(words).flat_map(|(first, word)| {
        (0_i32..).take(WORD * 8).filter(move |bit| word >> bit & 1 != 0).map(move |bit| first + bit)
    })
}

/// The value of a variable in `/proc/PID/environ`.
pub fn variable<'a>(environ: &'a [u8], name: &str) -> Option<&'a [u8]> {
    environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Whether a program is one of 32 bits, from the beginning of its file (elf(5), `EI_CLASS`): its system
/// calls have other numbers.
pub fn is_of_32_bits(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF\x01")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_what_they_lead_to() {
        let of = |link: &str| Target::of(link.as_bytes());
        assert_eq!(of("socket:[28861]"), Target::Socket(28861));
        assert_eq!(of("anon_inode:[eventpoll]"), Target::Epoll);
        assert_eq!(of("anon_inode:[io_uring]"), Target::Ring);
        for other in ["pipe:[1]", "/dev/null", "socket:[]", "socket:[1", "socket:[x]", "", "[1]"] {
            assert_eq!(of(other), Target::Other, "{other}");
        }
    }

    /// As Linux 6.18 writes it.
    #[test]
    fn an_epoll_set_names_what_it_watches() {
        let fdinfo = "pos:\t0\nflags:\t02000002\nmnt_id:\t17\nino:\t1039\n\
                      tfd:        3 events:       19 data:     7fb500000003  pos:0 ino:70bd sdev:9\n\
                      tfd:        4 events:        4 data:                4  pos:0 ino:70be sdev:9\n\
                      tfd:        5 events: 40000000 data:                5  pos:0 ino:70bf sdev:9\n\
                      tfd:        6 events: 8000201d data:                6  pos:0 ino:ff sdev:9\n";
        assert_eq!(watched(fdinfo).collect::<Vec<_>>(), [0x70bd, 0xff]);
        for garbage in ["", "tfd:", "tfd: 3 events: 19", "tfd: 3 events: 19 ino:", "ino:70bd"] {
            assert_eq!(watched(garbage).next(), None, "{garbage}");
        }
    }

    #[test]
    fn a_ring_says_that_it_waits() {
        let head = "pos:\t0\nflags:\t02\nSqMask:\t0x3\nUserBufs:\t0\nPollList:\n";
        assert!(ring_waits(&format!("{head}  op=13, task_works=0\nCqOverflowList:\n")));
        assert!(!ring_waits(&format!("{head}CqOverflowList:\n  op=13\n")));
        assert!(!ring_waits("  op=13, task_works=0\n"));
    }

    #[test]
    fn system_calls_are_read() {
        let text =
            "288 0x3 0x7fffa915aac0 0x7fffa915aab4 0x80000 0x0 0x0 0x7fffa915aa88 0x7fb5ee128f63\n";
        let call = SystemCall::parse(text).unwrap();
        assert_eq!((call.number, call.arguments[0], call.arguments[3]), (288, 3, 0x80000));
        for none in
            ["running\n", "-1 0x7fffa915aa88 0x7fb5ee128f63\n", "", "288 0x3", "288 3 3 3 3 3 3"]
        {
            assert_eq!(SystemCall::parse(none), None, "{none}");
        }
    }

    #[test]
    fn the_sets_of_poll_and_select_are_read() {
        let entry =
            |fd: i32, events: i16| [&fd.to_ne_bytes()[..], &events.to_ne_bytes(), &[0, 0]].concat();
        let array = [entry(3, 1), entry(4, 4), entry(-1, 1), entry(500, 0x43)].concat();
        assert_eq!(polled(&array).collect::<Vec<_>>(), [3, -1, 500]);
        assert_eq!(polled(&array[..7]).next(), None);
        let words: [usize; 4] = [1 | 1 << 9, 1, 0, 1 << 8];
        let set: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let bits = size_of::<usize>() as i32 * 8;
        assert_eq!(selected(&set).collect::<Vec<_>>(), [0, 9, bits, 3 * bits + 8]);
        assert_eq!(selected(&[]).next(), None);
    }

    #[test]
    fn variables_and_programs_are_told_apart() {
        let environ = b"PATH=/bin\0LISTEN_PID=7\0LISTEN_FDS=1\0";
        assert_eq!(variable(environ, "LISTEN_PID"), Some(&b"7"[..]));
        assert_eq!(variable(environ, "LISTEN"), None);
        assert!(is_of_32_bits(b"\x7fELF\x01\x01") && !is_of_32_bits(b"\x7fELF\x02\x01"));
        assert!(!is_of_32_bits(b"#!/bin/sh"));
    }
}
