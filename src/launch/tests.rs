//! Launches made from real directories, as a deploy leaves them.

use std::os::unix::fs::symlink;

use super::*;
use herder_config::{Machine, Overrides, load};

struct Place {
    root: tempfile::TempDir,
    surroundings: Surroundings,
}

impl Place {
    /// `releases/1` and `/2` with a program `bin/run` each, and `current` leading to the first.
    fn new() -> Place {
        let root = tempfile::tempdir().unwrap();
        for release in ["1", "2"] {
            let bin = root.path().join("releases").join(release).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            program(&bin.join("run"), "#!/bin/sh\n", 0o755);
        }
        symlink("releases/1", root.path().join("current")).unwrap();
        let surroundings = Surroundings {
            instance: "shop".into(),
            environment: vec![("PATH".into(), "relative:/usr/bin:/bin".into())],
            directory: root.path().to_owned(),
            executable: "/usr/bin/herder".into(),
        };
        Place { root, surroundings }
    }

    fn path(&self, path: &str) -> String {
        self.root.path().join(path).display().to_string()
    }

    fn settings(&self, text: &str) -> Settings {
        self.settings_with(text, &Overrides::default())
    }

    fn settings_with(&self, text: &str, overrides: &Overrides) -> Settings {
        let text = text.replace("ROOT", &self.path(""));
        let machine = Machine { cpus: 1, web_concurrency: None };
        load(Some(("shop.toml", &text)), overrides, &machine).unwrap()
    }

    fn launch(&self, text: &str) -> Result<Launch, String> {
        Launch::new(&self.settings(text), &[], &self.surroundings)
            .map_err(|wrong| wrong.to_string())
    }
}

fn program(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn render(launch: &Launch) -> Rendered<'_> {
    launch.render(SlotId(3), WorkerId(17), Generation(2), Path::new("/run/notify/x"), &[])
}

fn strings<S: AsRef<CStr>>(list: &[S]) -> Vec<&str> {
    list.iter().map(|text| text.as_ref().to_str().unwrap()).collect()
}

#[test]
fn a_generation_keeps_the_release_it_was_accepted_with() {
    let place = Place::new();
    let launch = place
        .launch("command = [\"ROOT/current/bin/run\", \"{slot}\"]\ndirectory = \"ROOT/current\"")
        .unwrap();
    std::fs::remove_file(place.path("current")).unwrap();
    symlink("releases/2", place.path("current")).unwrap();
    let rendered = render(&launch);
    let canonical = std::fs::canonicalize(place.path("releases/1")).unwrap();
    assert_eq!(launch.directory.as_deref().unwrap().to_str().unwrap(), canonical.to_str().unwrap());
    let run = canonical.join("bin/run");
    assert_eq!(rendered.path.to_str().unwrap(), run.to_str().unwrap());
    // A Python virtual environment is found by argv[0].
    assert_eq!(strings(&rendered.argv), [run.to_str().unwrap(), "3"]);
}

#[test]
fn the_programs_own_link_is_kept() {
    let place = Place::new();
    symlink("/bin/sh", place.path("releases/1/bin/python")).unwrap();
    let launch = place.launch("command = [\"ROOT/current/bin/python\"]").unwrap();
    assert!(render(&launch).path.to_str().unwrap().ends_with("/releases/1/bin/python"));
}

#[test]
fn a_relative_program_belongs_to_the_directory() {
    let place = Place::new();
    let launch = place.launch("command = [\"bin/run\"]\ndirectory = \"ROOT/releases/2\"").unwrap();
    assert!(render(&launch).path.to_str().unwrap().ends_with("/releases/2/bin/run"));
    let launch = place.launch("command = [\"./current/bin/run\"]").unwrap();
    assert!(render(&launch).path.to_str().unwrap().ends_with("/releases/1/bin/run"));
}

#[test]
fn a_bare_name_is_searched_in_the_path_workers_get() {
    let place = Place::new();
    assert!(
        render(&place.launch("command = [\"sh\"]").unwrap())
            .path
            .to_str()
            .unwrap()
            .ends_with("/sh")
    );
    let launch =
        place.launch("command = [\"run\"]\nenvironment.PATH = \"ROOT/current/bin\"").unwrap();
    assert!(render(&launch).path.to_str().unwrap().ends_with("/releases/1/bin/run"));
    let told = place.launch("command = [\"run\"]").unwrap_err();
    assert!(told.contains("no program `run` in PATH (relative:/usr/bin:/bin)"), "{told}");
}

#[test]
fn what_cannot_be_executed_is_told_with_its_place_and_remedy() {
    let place = Place::new();
    program(Path::new(&place.path("plain")), "x", 0o644);
    program(Path::new(&place.path("moved")), "#!/no/such/python -u\n", 0o755);
    for (text, parts) in [
        ("command = [\"ROOT/none\"]", ["/none: No such file", "correct the path"]),
        ("command = [\"ROOT/plain\"]", ["it is not executable", "chmod +x"]),
        ("command = [\"ROOT/plain/x\"]", ["Not a directory", "correct the path"]),
        ("command = [\"ROOT/current\"]", ["not a regular file", "correct the path"]),
        ("command = [\"ROOT/moved\"]", ["begins with `#!/no/such/python`", "first line"]),
        ("command = [\"/bin/{slot}\"]", ["differs from worker to worker", "only in its arguments"]),
        ("command = [\"/bin/sh\", \"{port}\"]", ["`{port}` speaks of a socket", "none"]),
        ("directory = \"ROOT/none\"", ["No such file", "create it"]),
        ("directory = \"ROOT/plain\"", ["is not a directory", "name the directory"]),
        ("environment-file = \"ROOT/none\"", ["cannot read", "No such file"]),
        ("environment-file = \"ROOT/current\"", ["cannot read", "not a regular file"]),
        ("stdin = \"socket\"", ["there is no socket", "--listen"]),
    ] {
        let told = place.launch(text).unwrap_err();
        assert!(told.starts_with("shop.toml:1:1: "), "{text}: {told}");
        assert!(parts.iter().all(|part| told.contains(part)), "{text}: {told}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let place = Place::new();
    let told = place
        .launch("command = [\"ROOT/none\"]\ndirectory = \"ROOT/none\"\nenvironment-file = \"ROOT/none\"\nsockets = [\"web\"]")
        .unwrap_err();
    assert_eq!(told.lines().count(), 4, "{told}");
}

/// A variable on the command line beats the file's `environment-file`, which beats its `environment`.
#[test]
fn what_the_command_line_says_wins_over_environment_files() {
    let place = Place::new();
    std::fs::write(place.path("env"), "A=file\nB=file\n").unwrap();
    let text = "environment-file = \"ROOT/env\"\nenvironment = { A = \"table\", B = \"table\" }";
    let overrides = Overrides { set: vec!["environment.A=line".into()], ..Overrides::default() };
    let settings = place.settings_with(text, &overrides);
    let launch = Launch::new(&settings, &[], &place.surroundings).unwrap();
    let env = render(&launch).env;
    let env = strings(&env);
    assert!(env.contains(&"A=line") && env.contains(&"B=file"), "{env:?}");
}

#[test]
fn the_environment_is_herders_without_what_is_about_herder() {
    let mut place = Place::new();
    for name in [
        "LISTEN_PID",
        "LISTEN_PIDFDID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "FDSTORE",
        "MAINPID",
        "MAINPIDFDID",
        "SYSTEMD_EXEC_PID",
        "HERDER_SLOT",
        "HERDER_ANYTHING",
    ] {
        place.surroundings.environment.push((name.into(), "herder's".into()));
    }
    for name in ["JOURNAL_STREAM", "INVOCATION_ID", "WEB_CONCURRENCY", "A", "B", "C"] {
        place.surroundings.environment.push((name.into(), "inherited".into()));
    }
    std::fs::write(place.path("env"), "C=file\nD='a b'\nHERDERX=1\n").unwrap();
    let text = "environment = { B = \"{slot}/{worker}/{generation}\", C = \"settings\" }\n\
                environment-file = [\"-ROOT/none\", \"ROOT/env\"]";
    let launch = place.launch(text).unwrap();
    let env = render(&launch).env;
    let mut env = strings(&env);
    env.sort_unstable();
    assert_eq!(
        env,
        [
            "A=inherited",
            "B=3/17/2",
            "C=file",
            "D=a b",
            "HERDERX=1",
            "HERDER_GENERATION=2",
            "HERDER_SLOT=3",
            "HERDER_WORKER=17",
            "INVOCATION_ID=inherited",
            "JOURNAL_STREAM=inherited",
            "NOTIFY_SOCKET=/run/notify/x",
            "PATH=relative:/usr/bin:/bin",
            "WEB_CONCURRENCY=inherited",
        ]
    );
}

#[test]
fn a_variable_that_made_the_number_of_workers_does_not_make_it_again_in_each() {
    let mut place = Place::new();
    place.surroundings.environment.push(("WEB_CONCURRENCY".into(), "4".into()));
    let machine = Machine { cpus: 1, web_concurrency: Some("4".into()) };
    let settings = load(None, &Overrides::default(), &machine).unwrap();
    let launch = Launch::new(&settings, &[], &place.surroundings).unwrap();
    assert!(
        !strings(&render(&launch).env)
            .iter()
            .any(|variable| variable.starts_with("WEB_CONCURRENCY"))
    );
}

#[test]
fn sockets_are_announced_by_number_and_name() {
    let place = Place::new();
    let (web, admin) = ("127.0.0.1:80".parse().unwrap(), "/run/admin.sock".parse().unwrap());
    let offered = [
        Offered {
            name: "web",
            address: Some(&web),
            backlog: None,
            can_be_seen: true,
            group: None,
            datagrams: false,
        },
        Offered {
            name: "herder-control",
            address: None,
            backlog: None,
            can_be_seen: true,
            group: None,
            datagrams: false,
        },
        Offered {
            name: "admin",
            address: Some(&admin),
            backlog: None,
            can_be_seen: true,
            group: None,
            datagrams: false,
        },
    ];
    let settings = place.settings(
        "command = [\"/bin/sh\", \"--fd={fd:admin}\", \"{port}\"]\nsockets = [\"admin\", \"web\"]\nstdin = \"socket\"\nenvironment.P = \"{port:web}\"",
    );
    let told = Launch::new(&settings, &offered, &place.surroundings).unwrap_err().to_string();
    assert!(
        told.contains("`{port}`: the socket `admin` is at /run/admin.sock, which has no port"),
        "{told}"
    );

    let settings = place.settings("command = [\"/bin/sh\", \"--fd={fd:admin}\"]\nstdin = \"socket\"\nenvironment.P = \"{port}\"");
    let launch = Launch::new(&settings, &offered, &place.surroundings).unwrap();
    assert_eq!(
        (launch.sockets.as_slice(), launch.stdin, launch.listen_pid),
        ([0, 2].as_slice(), true, true)
    );
    let rendered = render(&launch);
    assert_eq!(strings(&rendered.argv)[1..], ["--fd=4"]);
    let env = strings(&rendered.env);
    for variable in ["LISTEN_FDS=2", "LISTEN_FDNAMES=web:admin", "P=80"] {
        assert!(env.contains(&variable), "{env:?}");
    }
}

#[test]
fn what_is_to_be_seen_accepting_needs_a_socket() {
    let place = Place::new();
    let settings = place.settings("command = [\"/bin/sh\"]\nready = \"accepting\"");
    let launch = |can_be_seen| {
        let offered = [Offered {
            name: "web",
            address: None,
            backlog: None,
            can_be_seen,
            group: None,
            datagrams: false,
        }];
        Launch::new(&settings, &offered, &place.surroundings)
    };
    assert!(launch(true).unwrap().can_be_seen);
    let told = launch(false).unwrap_err().to_string();
    assert!(told.contains("workers get no socket to be seen waiting on"), "{told}");
    assert!(Launch::new(&settings, &[], &place.surroundings).is_err());
    // Without a word about it, nothing is demanded.
    let auto = place.settings("command = [\"/bin/sh\"]");
    assert!(!Launch::new(&auto, &[], &place.surroundings).unwrap().can_be_seen);
}

#[test]
fn without_a_command_herder_is_its_own_worker() {
    let place = Place::new();
    let launch = place.launch("").unwrap();
    let rendered = render(&launch);
    assert_eq!(rendered.path.to_str().unwrap(), "/usr/bin/herder");
    assert_eq!(strings(&rendered.argv), ["herder", "demo-worker"]);
}

#[test]
fn the_check_of_a_reload_belongs_to_the_release_too() {
    let place = Place::new();
    let launch =
        place.launch("check = [\"bin/run\", \"--check\"]\ndirectory = \"ROOT/current\"").unwrap();
    let check = launch.check.unwrap();
    assert!(check.path.to_str().unwrap().ends_with("/releases/1/bin/run"));
    assert_eq!(strings(&check.argv), [check.path.to_str().unwrap(), "--check"]);
    let told = place.launch("check = [\"/no/such/program\"]").unwrap_err();
    assert!(
        told.starts_with("shop.toml:1:1: `check`: cannot execute /no/such/program: "),
        "{told}"
    );
}

#[test]
fn a_journal_stream_of_its_own_is_named_by_slot() {
    let place = Place::new();
    let identifier = |text: &str| {
        let launch = place.launch(text).unwrap();
        launch.identifier(SlotId(3), WorkerId(17), Generation(2))
    };
    assert_eq!(identifier(""), None);
    assert_eq!(identifier("syslog-identifier = \"web/{slot}\"").as_deref(), Some("web/3"));
    let wrong = place.launch("syslog-identifier = \"{fd}\"").unwrap_err();
    assert!(wrong.contains("`syslog-identifier`: "), "{wrong}");
}
