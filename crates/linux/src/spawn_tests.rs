//! Real processes: each tells through a pipe, which it gets as a descriptor, what it was given.

use super::super::limits::OomScore;
use super::super::testing::alone;
use super::*;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use std::ffi::CString;
use std::io::Read;

const METHODS: [CloneMethod; 2] = [CloneMethod::Clone3, CloneMethod::Clone];

fn c(text: &str) -> Cow<'static, CStr> {
    CString::new(text).unwrap().into()
}

/// `/bin/sh -c SCRIPT`, with nothing else asked for.
fn shell(script: &str) -> Program<'static> {
    Program {
        path: c("/bin/sh"),
        argv: vec![c("sh"), c("-c"), c(script)],
        env: vec![c("PATH=/usr/bin:/bin")],
        directory: None,
        listen_pid: false,
        watchdog_pid: false,
        stdin: None,
        output: None,
        die_with_herder: false,
        ignore_sigpipe: false,
        reset_oom_score: false,
        open_files: None,
        limits: None,
        cpu: None,
        cgroup: None,
    }
}

fn wait(pidfd: &OwnedFd) {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(20_000_u16)), Ok(1), "still runs after 20 s");
    let exit = waitid(Wait::Pidfd(pidfd.as_fd()), libc::WNOHANG).unwrap().unwrap();
    assert_eq!((exit.code, exit.status), (libc::CLD_EXITED, 0));
}

/// Runs `program` with a pipe as descriptor 3 and `more` as 4 and on; what it wrote, and its pid.
fn run(method: CloneMethod, program: &Program<'_>, more: &[BorrowedFd<'_>]) -> (String, i32) {
    let (output, input) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut output = std::fs::File::from(output);
    let sockets: Vec<_> = [input.as_fd()].into_iter().chain(more.iter().copied()).collect();
    let child = spawn_by(method, program, &sockets).unwrap();
    drop(input);
    let mut text = String::new();
    wait(&child.pidfd);
    output.read_to_string(&mut text).unwrap();
    (text, child.pid)
}

#[test]
fn listen_pid_is_the_workers_own_and_the_environment_is_what_was_given() {
    for method in METHODS {
        let mut program = shell("env >&3; echo PID=$$ >&3");
        program.listen_pid = true;
        let (text, pid) = run(method, &program, &[]);
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("_=")).collect();
        lines.retain(|line| !line.starts_with("PWD=") && !line.starts_with("SHLVL=")); // the shell's
        let expected =
            [format!("LISTEN_PID={pid}"), "PATH=/usr/bin:/bin".into(), format!("PID={pid}")];
        assert_eq!(lines, expected, "{method:?}");

        program.listen_pid = false;
        assert!(!run(method, &program, &[]).0.contains("LISTEN_PID"));
    }
}

/// Lists the shell's own descriptors, not those of `ls`.
const LIST: &str = "exec >&3; ls -l /proc/$$/fd; true";

/// What [`LIST`] says: number -> target.
fn descriptors(listing: &str) -> Vec<(RawFd, String)> {
    let entry = |line: &str| {
        let (left, target) = line.split_once(" -> ")?;
        Some((left.rsplit(' ').next()?.parse().ok()?, target.to_owned()))
    };
    let mut entries: Vec<_> = listing.lines().filter_map(entry).collect();
    entries.sort();
    entries
}

fn target(fd: &impl AsRawFd) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    link.to_str().unwrap().to_owned()
}

/// Sources that are targets of each other, sources given twice, and sources in their places: the
/// numbers of thirty sockets lie among the numbers they become, forwards, backwards and rotated.
#[test]
fn sockets_keep_their_order_wherever_their_numbers_lie_and_nothing_else_is_passed() {
    let stray = pipe2(OFlag::O_CLOEXEC).unwrap();
    nix::fcntl::fcntl(&stray.0, nix::fcntl::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let pairs: Vec<_> = (0..15).map(|_| std::os::unix::net::UnixStream::pair().unwrap()).collect();
    let mut sockets: Vec<BorrowedFd<'_>> =
        pairs.iter().flat_map(|(a, b)| [a.as_fd(), b.as_fd()]).collect();
    sockets.push(sockets[3]);

    for method in METHODS {
        for turn in 0..4 {
            match turn {
                0 => sockets.sort_by_key(AsRawFd::as_raw_fd),
                1 => sockets.reverse(),
                turn => sockets.rotate_left(turn * 5),
            }
            let (text, _) = run(method, &shell(LIST), &sockets);
            let found = descriptors(&text);
            let numbers: Vec<RawFd> = found.iter().map(|entry| entry.0).collect();
            assert_eq!(numbers, (0..=3 + sockets.len() as RawFd).collect::<Vec<_>>(), "{text}");
            assert_eq!(found[0].1, "/dev/null");
            let passed: Vec<&str> = found[4..].iter().map(|entry| entry.1.as_str()).collect();
            assert_eq!(passed, sockets.iter().map(target).collect::<Vec<_>>(), "turn {turn}");
        }
    }
}

#[test]
fn standard_input_is_a_socket_if_asked_for_and_sockets_are_not_changed() {
    let (blocking, nonblocking) = std::os::unix::net::UnixStream::pair().unwrap();
    nonblocking.set_nonblocking(true).unwrap();
    let flags = |fd: &dyn AsRawFd| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
        info.unwrap().lines().find(|line| line.starts_with("flags")).unwrap().to_owned()
    };
    let before = (flags(&blocking), flags(&nonblocking));
    let mut program = shell(LIST);
    program.stdin = Some(blocking.as_raw_fd());
    let (text, _) = run(CloneMethod::Clone3, &program, &[nonblocking.as_fd()]);
    let found = descriptors(&text);
    assert_eq!(found[0], (0, target(&blocking)));
    assert_eq!(found[4], (4, target(&nonblocking)));
    assert_eq!((flags(&blocking), flags(&nonblocking)), before, "O_NONBLOCK belongs to the socket");
}

/// A program that copies its own `/proc/self/FILE` into the pipe: no shell that changes it.
fn show(file: &str) -> Program<'static> {
    let mut program = shell("");
    program.path = c("/bin/cp");
    program.argv = vec![c("cp"), c(&format!("/proc/self/{file}")), c("/proc/self/fd/3")];
    program
}

/// herder is started with signals ignored and blocked; its workers are not.
#[test]
fn signals_start_unblocked_and_with_their_defaults() {
    let ignored = "1 2 3 10 12 13 15 17 20 21 22 28 34 35 64";
    let start = format!("trap '' {ignored}; exec \"$@\"");
    alone("spawn::tests::signals_start_unblocked_and_with_their_defaults", &start, || {
        nix::sys::signal::SigSet::all().thread_block().unwrap();
        for method in METHODS {
            for ignore_sigpipe in [false, true] {
                let mut program = show("status");
                program.ignore_sigpipe = ignore_sigpipe;
                let (text, _) = run(method, &program, &[]);
                let mask = |name: &str| {
                    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
                    u64::from_str_radix(line[name.len() + 1..].trim(), 16).unwrap()
                };
                let sigpipe = 1 << (libc::SIGPIPE - 1);
                assert_eq!(mask("SigIgn"), if ignore_sigpipe { sigpipe } else { 0 });
                assert_eq!(mask("SigBlk"), 0);
            }
        }
        let mine = nix::sys::signal::SigSet::thread_get_mask().unwrap();
        assert!(mine.contains(nix::sys::signal::Signal::SIGTERM), "herder's own mask is as before");
        assert!(super::super::signals::sigpipe_was_ignored());
    });
}

#[test]
fn the_worker_leads_a_session_and_a_process_group() {
    for method in METHODS {
        let (text, pid) = run(method, &show("stat"), &[]);
        let fields: Vec<&str> = text.split(' ').collect();
        let pid = pid.to_string();
        assert_eq!(
            (fields[4], fields[5], fields[0]),
            (&*pid, &*pid, &*pid),
            "group, session: {text}"
        );
    }
}

#[test]
fn the_worker_starts_in_its_directory() {
    let mut program = shell("pwd -P >&3");
    program.directory = Some(c("/proc/self/root/usr"));
    assert_eq!(run(CloneMethod::Clone3, &program, &[]).0, "/usr\n");
}

#[test]
fn the_worker_gives_up_protection_from_the_oom_killer_and_herder_keeps_its_own() {
    let name =
        "spawn::tests::the_worker_gives_up_protection_from_the_oom_killer_and_herder_keeps_its_own";
    alone(name, "exec \"$@\"", || {
        let mine = || std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        std::fs::write("/proc/self/oom_score_adj", "321").unwrap();
        for method in METHODS {
            let mut program = show("oom_score_adj");
            assert_eq!(run(method, &program, &[]).0, "321\n");
            program.reset_oom_score = true;
            assert_eq!(run(method, &program, &[]).0, "0\n");
            assert_eq!(mine(), "321\n");
        }
    });
}

/// select(2) of a worker knows no more descriptors than the soft limit herder was given.
#[test]
fn the_worker_gets_the_limit_of_descriptors_that_herder_was_given() {
    let name = "spawn::tests::the_worker_gets_the_limit_of_descriptors_that_herder_was_given";
    alone(name, "ulimit -S -n 40; exec \"$@\"", || {
        let before = OpenFiles::raise().unwrap();
        assert_eq!(before.soft, 40);
        let raised = OpenFiles { soft: before.hard, ..before };
        assert_eq!(OpenFiles::now().unwrap(), raised);
        for method in METHODS {
            let mut program = show("limits");
            program.open_files = Some(before);
            let (text, _) = run(method, &program, &[]);
            let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
            assert_eq!(line.split_whitespace().nth(3), Some("40"));
            assert_eq!(OpenFiles::now().unwrap(), raised, "herder's own is as it was");
        }
    });
}

/// What `/proc` says of a limit: soft and hard.
fn limit_of(limits: &str, name: &str) -> (String, String) {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn the_worker_is_held_to_its_limits_and_herder_is_not() {
    let name = "spawn::tests::the_worker_is_held_to_its_limits_and_herder_is_not";
    alone(name, "ulimit -S -n 40; exec \"$@\"", || {
        let resource = |resource, name, soft, hard| ResourceLimit { resource, name, soft, hard };
        let limits = ProcessLimits {
            nice: Some(7),
            oom_score: Some(OomScore::new(123)),
            resources: vec![
                resource(Resource::RLIMIT_CORE, "limits.core", 0, 4096),
                resource(Resource::RLIMIT_NOFILE, "limits.nofile", 50, 60),
            ],
        };
        let mine = || {
            ["limits", "oom_score_adj"]
                .map(|file| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap())
        };
        let before = mine();
        for method in METHODS {
            let mut program = show("limits");
            program.limits = Some(&limits);
            // The explicit ones count.
            program.open_files = OpenFiles::now().ok();
            program.reset_oom_score = true;
            let (text, _) = run(method, &program, &[]);
            let pair = |soft: &str, hard: &str| (soft.to_owned(), hard.to_owned());
            assert_eq!(limit_of(&text, "Max open files"), pair("50", "60"));
            assert_eq!(limit_of(&text, "Max core file size"), pair("0", "4096"));
            program = Program { limits: Some(&limits), ..show("oom_score_adj") };
            assert_eq!(run(method, &program, &[]).0, "123\n");
            program = Program { limits: Some(&limits), ..show("stat") };
            let stat = run(method, &program, &[]).0;
            let niceness = stat.rsplit(')').next().unwrap().split_whitespace().nth(16);
            assert_eq!(niceness, Some("7"), "{stat}");
        }
        assert_eq!(mine(), before);
    });
}

/// As an ordinary user, which may neither raise a hard limit nor be less nice.
#[test]
fn a_limit_that_is_not_allowed_says_which_and_what_to_change() {
    let name = "spawn::tests::a_limit_that_is_not_allowed_says_which_and_what_to_change";
    let script = "ulimit -n 40; echo 0 > /proc/self/oom_score_adj; exec setpriv --reuid 65534 --clear-groups --regid 65534 \"$@\"";
    alone(name, script, || {
        let limit = ResourceLimit {
            resource: Resource::RLIMIT_NOFILE,
            name: "limits.nofile",
            soft: 10,
            hard: 4096,
        };
        for (limits, stage, errno, sentence) in [
            (
                ProcessLimits { nice: Some(-5), ..ProcessLimits::default() },
                Stage::Nice(-5),
                libc::EACCES,
                "cannot set its nice value to -5: Permission denied; herder may do that with \
                 LimitNICE= or CAP_SYS_NICE in its unit",
            ),
            (
                ProcessLimits { oom_score: Some(OomScore::new(-900)), ..ProcessLimits::default() },
                Stage::OomScore(-900),
                libc::EACCES,
                "cannot set its OOM score adjustment to -900: Permission denied; herder may go no \
                 lower than OOMScoreAdjust= in its unit",
            ),
            (
                ProcessLimits { resources: vec![limit], ..ProcessLimits::default() },
                Stage::Limit(limit),
                libc::EPERM,
                "cannot set limits.nofile to 10:4096: Operation not permitted; the most is 40, \
                 unless LimitNOFILE= in herder's unit says more",
            ),
        ] {
            for method in METHODS {
                let mut program = shell("");
                program.limits = Some(&limits);
                let error = spawn_by(method, &program, &[]).unwrap_err();
                assert_eq!(error, SpawnError { stage, errno });
                assert_eq!(error.explain(&program), sentence);
            }
        }
    });
}

#[test]
fn the_worker_dies_with_herder_if_asked_to() {
    let start = || {
        let mut program = shell("exec sleep 1000");
        program.die_with_herder = true;
        spawn(&program, &[]).unwrap()
    };
    // The kernel takes the end of the thread that made the child for the end of its parent.
    let child = std::thread::spawn(start).join().unwrap();
    let mut fds = [PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(20_000_u16)), Ok(1));
    let exit = waitid(Wait::Pidfd(child.pidfd.as_fd()), 0).unwrap().unwrap();
    assert_eq!((exit.code, exit.status), (libc::CLD_KILLED, libc::SIGKILL));
}

#[test]
fn what_fails_says_at_which_stage_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str, mode: u32| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let link = directory.path().join("loop");
    std::os::unix::fs::symlink(&link, &link).unwrap();
    let plain = file("plain", "echo", 0o755);
    for (path, errno, sentence) in [
        (
            "/no/such/program",
            libc::ENOENT,
            "cannot execute /no/such/program: No such file or directory",
        ),
        (&file("secret", "#!/bin/sh\n", 0o644), libc::EACCES, "Permission denied"),
        (&plain, libc::ENOEXEC, "needs a first line such as #!/bin/sh"),
        (&format!("{plain}/x"), libc::ENOTDIR, "Not a directory"),
        (link.to_str().unwrap(), libc::ELOOP, "symbolic links"),
        (&file("script", "#!/no/such/shell\n", 0o755), libc::ENOENT, "the interpreter"),
    ] {
        for method in METHODS {
            let mut program = shell("");
            program.path = c(path);
            let error = spawn_by(method, &program, &[]).unwrap_err();
            assert_eq!(error, SpawnError { stage: Stage::Execute, errno });
            assert!(error.explain(&program).contains(sentence), "{}", error.explain(&program));
        }
    }
    let mut program = shell("");
    program.directory = Some(c("/no/such/directory"));
    let error = spawn(&program, &[]).unwrap_err();
    assert_eq!(error, SpawnError { stage: Stage::ChangeDirectory, errno: libc::ENOENT });
    let sentence = "cannot change directory to /no/such/directory: No such file or directory";
    assert_eq!(error.explain(&program), sentence);
}

/// `RestrictNamespaces=` in the unit makes clone3 answer ENOSYS; other filters say EPERM.
#[test]
fn where_clone3_is_refused_clone_is_used() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        // The filter is this thread's alone.
        let filtered = std::thread::spawn(move || {
            super::super::sys::vfork::refuse_clone3(errno);
            let refused = spawn_by(CloneMethod::Clone3, &shell("exit 0"), &[]).unwrap_err();
            assert_eq!(refused, SpawnError { stage: Stage::CreateProcess, errno });
            let child = spawn(&shell("exit 0"), &[]).unwrap();
            wait(&child.pidfd);
        });
        filtered.join().unwrap();
    }
}

/// Kernels before 5.9 do not know close_range(2): then all descriptors are copied, and closed by exec.
#[test]
fn where_descriptors_cannot_be_copied_in_part_all_are() {
    let name = "spawn::tests::where_descriptors_cannot_be_copied_in_part_all_are";
    alone(name, "exec \"$@\"", || {
        super::super::sys::vfork::refuse(libc::SYS_close_range, libc::ENOSYS);
        for _ in 0..2 {
            // Its descriptors are right, too: else the script would not end like that.
            let script = "test -e /proc/self/fd/2 && test ! -e /proc/self/fd/4";
            wait(&spawn(&shell(script), &[]).unwrap().pidfd);
        }
    });
}

#[test]
fn threads_that_start_workers_do_not_disturb_each_other() {
    std::thread::scope(|scope| {
        for method in METHODS.repeat(3) {
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut program = shell("echo $LISTEN_PID $$ >&3");
                    program.listen_pid = true;
                    let (text, pid) = run(method, &program, &[]);
                    assert_eq!(text, format!("{pid} {pid}\n"));
                }
            });
        }
    });
}
