//! The files of a worker's cgroup: one directory is filled from the input, with a NUL byte between two files, and read as the
//! kernel's would be.
#![no_main]

use herder_linux::load::memory_is_short;
use herder_linux::usage::{Subject, Weighable, of_workers, weigh};
use libfuzzer_sys::fuzz_target;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const FILES: [&str; 7] = [
    "cpu.stat",
    "memory.current",
    "memory.peak",
    "memory.stat",
    "pids.current",
    "cgroup.procs",
    "memory.pressure",
];

static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    // In memory, which is many times as fast as a disk.
    let directory = Path::new("/dev/shm").join(format!("herder-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the files");
    directory
});

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0);
    for name in FILES {
        let text = parts.next().unwrap_or_default();
        std::fs::write(DIRECTORY.join(name), text).expect("a file of the cgroup");
    }
    // No process has this pid: it is larger than the kernel's largest.
    let subject = Subject { pid: i32::MAX, cgroup: Some(DIRECTORY.clone()) };
    assert_eq!(of_workers(std::slice::from_ref(&subject)).len(), 1);
    assert_eq!(weigh(&[Weighable { subject, cpu_usec: Some(1) }]).len(), 1);
    let _ = memory_is_short(Some(&DIRECTORY));
});
