//! `[limits]`: what setrlimit(2) bounds, by the names of systemd.exec(5).

use super::super::key::{Applies, Key};
use super::super::limits::Resource;

const SIZES: &str = "a size, two as \"soft:hard\", or \"infinity\"";
const NUMBERS: &str = "a number, two as \"soft:hard\", or \"infinity\"";
const SPANS: &str = "a time span, two as \"soft:hard\", or \"infinity\"";

macro_rules! limits {
    ($($resource:ident $name:literal $kind:ident $example:literal $help:literal;)+) => {
        pub const KEYS: &[Key] = &[$(Key {
            name: $name,
            kind: $kind,
            default: "herder's own",
            applies: Applies::AtReload,
            help: $help,
            example: $example,
            read: |draft, reader| reader.resource(Resource::$resource, &mut draft.settings.limits),
            show: |settings| {
                let limit = settings.limits.resources.get(&Resource::$resource);
                limit.map(|limit| limit.in_toml(Resource::$resource))
            },
        }),+];
    };
}

limits! {
    As "limits.as" SIZES "\"4G\"" "Address space.";
    Core "limits.core" SIZES "\"infinity\"" "The size of a core dump; 0 is none.";
    Cpu "limits.cpu" SPANS "\"1h\"" "CPU time of a process; at its end it gets SIGXCPU.";
    Data "limits.data" SIZES "\"2G\"" "Memory that can be written to.";
    Fsize "limits.fsize" SIZES "\"1G\"" "The size of a file that is written.";
    Locks "limits.locks" NUMBERS "\"infinity\"" "File locks; Linux counts none.";
    Memlock "limits.memlock" SIZES "\"64M\"" "Memory that is locked.";
    Msgqueue "limits.msgqueue" SIZES "\"1M\"" "Memory in POSIX message queues, of the user.";
    Nice "limits.nice" NUMBERS "\"+5\"" "How low the niceness may be set: with its sign, or as 20 less it.";
    Nofile "limits.nofile" NUMBERS "65536" "File descriptors of a process.";
    Nproc "limits.nproc" NUMBERS "4096" "Processes and threads of the user, not of the worker: that is `tasks-max`.";
    Rss "limits.rss" SIZES "\"infinity\"" "Resident memory; Linux ignores it.";
    Rtprio "limits.rtprio" NUMBERS "10" "The highest real-time priority.";
    Rttime "limits.rttime" SPANS "\"200ms\"" "CPU time of a real-time thread without a pause.";
    Sigpending "limits.sigpending" NUMBERS "10000" "Signals that are queued, of the user.";
    Stack "limits.stack" SIZES "\"16M\"" "The stack.";
}
