//! On a real tree: a directory below the machine's root, where this process is put as systemd would
//! do it. Each test runs in a process of its own, because a process has only one cgroup.

use super::super::spawn::{self, Program, Stage};
use super::super::sys;
use super::super::testing::{alone, until};
use super::*;
use crate::poll::{Interest, Poll};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

/// A part of the tree, gone with everything in it when the test ends.
struct Scene {
    mount: PathBuf,
    path: PathBuf,
}

impl Scene {
    /// None where the machine has no tree that this process may change.
    fn new() -> Option<Scene> {
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let unified = |path: &&Path| {
            statfs(*path).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC)
        };
        let mount = mounts.into_iter().find(unified).map(Path::to_owned);
        let made = mount.and_then(|mount| {
            let path = mount.join(format!("herder-unit-test-{}", std::process::id()));
            fs::create_dir(&path).ok().map(|()| Scene { mount, path })
        });
        if made.is_none() {
            eprintln!("skipped: there is no cgroup version 2 tree that this user may change");
        }
        made
    }

    /// As systemd marks what it hands over.
    fn delegated(self) -> Scene {
        let path = CString::new(self.path.as_os_str().as_bytes()).unwrap();
        sys::set_attribute(&path, c"user.delegate", b"1").unwrap();
        self.unit("");
        self
    }

    /// As systemd marks the directory of a unit.
    fn unit(&self, name: &str) {
        let path = CString::new(self.path.join(name).as_os_str().as_bytes()).unwrap();
        let id = b"0123456789abcdef0123456789abcdef";
        sys::set_attribute(&path, c"user.invocation_id", id).unwrap();
    }

    fn make(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    fn is_in(&self) -> String {
        let name = find::of_process("self").unwrap();
        name.strip_prefix(&format!("/{}", self.path.file_name().unwrap().to_str().unwrap()))
            .unwrap_or(&name)
            .to_owned()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let leave = fs::write(self.mount.join("cgroup.procs"), "0");
        let all = Group::new(self.path.clone(), String::new());
        let gone = leave.and_then(|()| all.kill()).and_then(|()| {
            all.wait_until_empty(Duration::from_secs(20)).and_then(|()| all.remove())
        });
        if !std::thread::panicking() {
            gone.unwrap();
        }
    }
}

fn enter(path: &Path) {
    fs::write(path.join("cgroup.procs"), "0").unwrap();
}

/// Another service's process, which ends with the scene.
#[expect(
    clippy::zombie_processes,
    reason = "so does the test's own process, and then it is buried"
)]
fn sleep_in(path: &Path) -> u32 {
    let other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(path.join("cgroup.procs"), other.id().to_string()).unwrap();
    other.id()
}

/// A worker that runs a script in the group.
fn start(group: &Group, script: &str) -> spawn::Child {
    let c = |text: &str| Cow::<'static, CStr>::Owned(CString::new(text).unwrap());
    let entrance = group.entrance().unwrap();
    let program = Program {
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
        cgroup: Some(&entrance),
    };
    spawn::spawn(&program, &[]).unwrap()
}

fn sleepers(group: &Group, count: usize) {
    let is_sleep = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep")
    };
    until("they sleep", || {
        group.members().unwrap().iter().filter(|pid| is_sleep(pid)).count() == count
    });
}

#[test]
fn the_tree_is_found_where_the_unit_itself_is() {
    alone("cgroup::tests::the_tree_is_found_where_the_unit_itself_is", "exec \"$@\"", || {
        let Some(scene) = Scene::new().map(Scene::delegated) else { return };
        // Commands of the unit may still be there, and systemd's own directory: neither is touched.
        let other = sleep_in(&scene.path);
        scene.make(".control");
        enter(&scene.path);
        let tree = Tree::claim(true).unwrap();
        assert_eq!(tree.path(), scene.path);
        assert_eq!(
            tree.path_in_mount(),
            format!("/{}", scene.path.file_name().unwrap().to_str().unwrap())
        );
        assert_eq!(scene.is_in(), "/supervisor");
        let left = find::pids(&scene.path.join("cgroup.procs")).unwrap();
        assert_eq!(left, [other]);
        assert!(scene.path.join(".control").exists());
    });
}

#[test]
fn the_tree_is_found_above_a_subgroup() {
    alone("cgroup::tests::the_tree_is_found_above_a_subgroup", "exec \"$@\"", || {
        let Some(scene) = Scene::new().map(Scene::delegated) else { return };
        enter(&scene.make("here"));
        let tree = Tree::claim(true).unwrap();
        assert_eq!(tree.path(), scene.path);
        assert_eq!(scene.is_in(), "/here", "where systemd has put it");
        let group = tree.make("worker-1").unwrap();
        assert_eq!(group.path(), scene.path.join("worker-1"));
        assert!(tree.group_in_mount(&group).ends_with("/worker-1"));
    });
}

#[test]
fn a_tree_that_is_not_this_process_s_is_left_alone() {
    alone("cgroup::tests::a_tree_that_is_not_this_process_s_is_left_alone", "exec \"$@\"", || {
        let Some(scene) = Scene::new() else { return };
        let refused = |is_main| format!("{:?}", Tree::claim(is_main).unwrap_err());
        enter(&scene.path);
        assert_eq!(refused(true), "NotDelegated");
        let scene = scene.delegated();
        // The user manager's own tree is marked, too, and has units in it.
        enter(&scene.make("app.service"));
        scene.unit("app.service");
        assert_eq!(refused(true), "NotDelegated");
        // A worker that is a herder has its master's tree above it.
        enter(&scene.make("worker-7"));
        assert_eq!(refused(true), "Taken");
        // One that is there already.
        let supervisor = scene.make("supervisor");
        sleep_in(&supervisor);
        enter(&scene.path);
        assert_eq!(refused(true), "Taken");
        enter(&supervisor);
        assert_eq!(refused(false), "Taken");
        assert_eq!(directory_names(&scene.path), ["app.service", "supervisor", "worker-7"]);
    });
}

fn directory_names(path: &Path) -> Vec<String> {
    let mut names = group::directories(path);
    names.sort();
    names
}

/// Under `PrivateCGroups=` and in containers the tree's own directory is all there is to be seen.
#[test]
fn in_a_namespace_of_its_own_the_tree_is_the_root() {
    let name = "cgroup::tests::in_a_namespace_of_its_own_the_tree_is_the_root";
    // A process in the cgroup keeps it from being removed.
    let start = r#"
        mount=$(findmnt --noheadings --output TARGET --types cgroup2 | head -n 1)
        group=$mount/herder-unit-test-$$
        if ! mkdir "$group"; then echo "skipped: no cgroup version 2 tree to change, 1 passed"; exit; fi
        export mount group
        sh -c 'echo 0 > "$group/cgroup.procs"; exec unshare --cgroup --mount "$0" "$@"' \
            sh -c 'umount --lazy "$mount" && mount -t cgroup2 none "$mount" && exec "$0" "$@"' "$@"
        code=$?
        find "$group" -depth -type d -exec rmdir {} +
        exit $code"#;
    alone(name, start, || {
        assert_eq!(find::of_process("self").unwrap(), "/");
        let tree = Tree::claim(false).unwrap();
        assert_eq!(tree.path_in_mount(), "/");
        assert_eq!(find::of_process("self").unwrap(), "/supervisor");
        let group = tree.make("worker-1").unwrap();
        let child = start_and_find(&group);
        assert_eq!(find::of_process(&child.to_string()).unwrap(), "/worker-1");
        group.kill().unwrap();
        group.wait_until_empty(Duration::from_secs(20)).unwrap();
        group.remove().unwrap();
    });
}

fn start_and_find(group: &Group) -> i32 {
    let child = start(group, "exec sleep 1000");
    assert!(group.has(child.pid));
    child.pid
}

#[test]
fn what_an_earlier_herder_left_is_ended_and_removed() {
    alone("cgroup::tests::what_an_earlier_herder_left_is_ended_and_removed", "exec \"$@\"", || {
        let Some(scene) = Scene::new().map(Scene::delegated) else { return };
        for name in ["worker-1", "worker-1/inner", "worker-22", "worker-x", "other", ".control"] {
            scene.make(name);
        }
        let left = sleep_in(&scene.path.join("worker-1/inner"));
        enter(&scene.path);
        let tree = Tree::claim(true).unwrap();
        let names = [".control", "other", "supervisor", "worker-x"];
        assert_eq!(directory_names(&scene.path), names);
        let state = fs::read_to_string(format!("/proc/{left}/stat")).unwrap();
        assert!(state.contains(") Z "), "{state}");

        // One that is there all the same is emptied of what it has counted, if no process is in it.
        tree.make("worker-1").unwrap();
        tree.make("worker-1").unwrap();
        let child = start(&tree.group("worker-1"), "exec sleep 1000");
        let error = tree.make("worker-1").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
        assert!(tree.group("worker-1").has(child.pid));
    });
}

#[test]
fn everybody_in_a_group_is_found_signalled_and_killed() {
    alone(
        "cgroup::tests::everybody_in_a_group_is_found_signalled_and_killed",
        "exec \"$@\"",
        || {
            let Some(scene) = Scene::new().map(Scene::delegated) else { return };
            enter(&scene.path);
            let tree = Tree::claim(true).unwrap();
            let group = tree.make("worker-1").unwrap();
            assert!(!group.is_populated().unwrap());
            // One left the session, and one went to a group of its own besides.
            let child = start(
                &group,
                &format!(
                    "mkdir {0}/inner; setsid sleep 1000 & \
             setsid sh -c 'echo 0 > {0}/inner/cgroup.procs; exec sleep 1000' & exec sleep 1000",
                    group.path().display()
                ),
            );
            sleepers(&group, 3);
            assert!(group.is_populated().unwrap());
            let members = group.members().unwrap();
            assert_eq!(members.len(), 3);
            assert!(members.iter().all(|pid| group.has(*pid)));
            let is_told = |pid: &i32| tree.group_of(*pid).as_deref() == Some("worker-1");
            assert!(members.iter().all(is_told));
            assert_eq!(tree.group_of(1), None);
            assert!(!group.has(nix::unistd::getpid().as_raw()));
            assert!(!tree.make("worker-11").unwrap().has(child.pid), "the name goes on");
            assert_eq!(group.remove().unwrap_err().raw_os_error(), Some(libc::EBUSY));

            let poll = Poll::new().unwrap();
            let (watch, populated) = group.watch().unwrap();
            assert!(populated);
            poll.add(&watch, 7, Interest::Change).unwrap();
            let mut events = Vec::new();
            poll.wait(&mut events, Some(Duration::ZERO)).unwrap();
            assert_eq!(events, []);

            assert_eq!(group.signal(libc::SIGUSR1).unwrap(), 3);
            poll.wait(&mut events, Some(Duration::from_secs(20))).unwrap();
            assert_eq!(events.len(), 1);
            assert!(!watch.is_populated().unwrap());
            poll.wait(&mut events, Some(Duration::ZERO)).unwrap();
            assert_eq!(events, [], "it was read");
            group.remove().unwrap();
            assert!(!group.path().exists());
            assert!(group.is_populated().is_err());
            group.remove().unwrap();
        },
    );
}

#[test]
fn without_cgroup_kill_they_are_killed_one_by_one() {
    alone("cgroup::tests::without_cgroup_kill_they_are_killed_one_by_one", "exec \"$@\"", || {
        let Some(scene) = Scene::new().map(Scene::delegated) else { return };
        enter(&scene.path);
        let tree = Tree::claim(true).unwrap();
        let group = tree.make("worker-1").unwrap();
        start(&group, "sleep 1000 & sleep 1000 & exec sleep 1000");
        sleepers(&group, 3);
        // Before Linux 5.14 there is no such file.
        let none = group::put(&group.path().join("cgroup.not"), "1").unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
        group.kill_one_by_one().unwrap();
        group.wait_until_empty(Duration::from_secs(20)).unwrap();
    });
}

/// clone3(2) is refused under `RestrictNamespaces=`.
#[test]
fn a_worker_starts_in_its_group_with_and_without_clone3() {
    alone(
        "cgroup::tests::a_worker_starts_in_its_group_with_and_without_clone3",
        "exec \"$@\"",
        || {
            let Some(scene) = Scene::new().map(Scene::delegated) else { return };
            enter(&scene.path);
            let tree = Tree::claim(true).unwrap();
            let (one, two) = (tree.make("worker-1").unwrap(), tree.make("worker-2").unwrap());
            let child = start(&one, "exec sleep 1000");
            assert!(one.has(child.pid));
            sys::vfork::refuse_clone3(libc::ENOSYS);
            let child = start(&two, "exec sleep 1000");
            assert!(two.has(child.pid) && !one.has(child.pid));
            assert_eq!(scene.is_in(), "/supervisor", "herder stayed where it was");
        },
    );
}

#[test]
fn a_group_that_is_gone_is_an_error_at_its_stage() {
    alone("cgroup::tests::a_group_that_is_gone_is_an_error_at_its_stage", "exec \"$@\"", || {
        let Some(scene) = Scene::new().map(Scene::delegated) else { return };
        enter(&scene.path);
        let tree = Tree::claim(true).unwrap();
        let group = tree.make("worker-1").unwrap();
        let entrance = group.entrance().unwrap();
        group.remove().unwrap();
        assert!(group.entrance().is_err());
        let program = || Program {
            path: c"/bin/true".into(),
            argv: vec![c"true".into()],
            env: Vec::new(),
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
            cgroup: Some(&entrance),
        };
        let error = spawn::spawn(&program(), &[]).unwrap_err();
        assert_eq!(error.stage, Stage::CreateProcess);
        sys::vfork::refuse_clone3(libc::ENOSYS);
        let error = spawn::spawn(&program(), &[]).unwrap_err();
        assert_eq!((error.stage, error.errno), (Stage::JoinCgroup, libc::ENOENT));
    });
}

#[test]
fn controllers_that_are_offered_are_on() {
    alone("cgroup::tests::controllers_that_are_offered_are_on", "exec \"$@\"", || {
        let Some(scene) = Scene::new().map(Scene::delegated) else { return };
        enter(&scene.path);
        let tree = Tree::claim(true).unwrap();
        let file = |name| fs::read_to_string(scene.path.join(name)).unwrap();
        let offered = file("cgroup.controllers");
        let on = file("cgroup.subtree_control");
        for controller in CONTROLLERS {
            let is_offered = offered.split_whitespace().any(|name| name == controller);
            assert_eq!(on.split_whitespace().any(|name| name == controller), is_offered);
            assert_eq!(tree.controllers().contains(&controller), is_offered);
        }
        assert!(tree.refused().is_empty());
        let group = tree.make("worker-1").unwrap();
        assert_eq!(group.oom_kills(), tree.controllers().contains(&"memory").then_some(0));
    });
}

#[test]
fn numbers_are_found_by_their_whole_name() {
    let text = "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 5\n";
    assert_eq!(group::field(text, "oom_kill"), Some(4));
    assert_eq!(group::field(text, "oom"), Some(3));
    assert_eq!(group::field(text, "oom_"), None);
    for (name, is) in
        [("worker-1", true), ("worker-", false), ("worker-1x", false), ("worker", false)]
    {
        assert_eq!(find::is_workers(name), is, "{name}");
    }
}

/// Plain files stand in for the kernel's, and a group without one for a group it refuses.
#[test]
fn limits_of_several_groups_are_set_all_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let group = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        Group::new(path, format!("/{name}"))
    };
    let [one, two, gone] = ["one", "two", "gone"].map(group);
    let file = |group: &Group| group.path().join("memory.max");
    for group in [&one, &two] {
        fs::write(file(group), "max\n").unwrap();
    }
    let limit =
        |value: &str| Limit { name: "memory-max", file: "memory.max", value: value.to_owned() };
    let are = |value: &str| {
        for group in [&one, &two] {
            assert_eq!(fs::read_to_string(file(group)).unwrap(), format!("{value}\n"));
        }
    };
    let (less, more) = (limit("200"), limit("300"));
    limit_all(&[(&one, &less), (&two, &less)]).unwrap();
    are("200");
    let why = limit_all(&[(&one, &more), (&two, &more), (&gone, &more)]).unwrap_err();
    assert!(
        why.starts_with(&format!("cannot set memory-max of {}", gone.path().display())),
        "{why}"
    );
    are("200");
}
