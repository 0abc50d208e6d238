//! The one table of settings: what each key is called, takes and means. Reading, suggestions,
//! `herder check` and the test that compares herder.toml(5) all go by it.

use super::key::Key;
use super::read::{BOUNDED, OR_FOREVER, POSITIVE};
use super::settings::{EnvironmentFile, Listen, ListenPid, Stdin};
use super::show;
use super::sockets;
use super::status;
use crate::herd::{Ready, ReadyWhen, ServiceWatchdog, Span, signal_name};

/// The most workers anybody may ask for: beyond it is a mistake, not a machine.
pub const MOST_WORKERS: u32 = crate::wire::control::MOST_WORKERS;

const READY: [(&str, Ready); 5] = [
    ("auto", Ready::Auto),
    ("notify", Ready::Notify),
    ("accepting", Ready::Accepting),
    ("exec", Ready::Exec),
    ("alive", Ready::Alive),
];
const READY_WHEN: [(&str, ReadyWhen); 2] = [("all", ReadyWhen::All), ("any", ReadyWhen::Any)];
const STDIN: [(&str, Stdin); 2] = [("null", Stdin::Null), ("socket", Stdin::Socket)];
const LISTEN_PID: [(&str, ListenPid); 2] = [("set", ListenPid::Set), ("omit", ListenPid::Omit)];
const SERVICE_WATCHDOG: [(&str, ServiceWatchdog); 2] =
    [("loop", ServiceWatchdog::Loop), ("workers", ServiceWatchdog::Workers)];

const SIGKILL: u8 = 9;
const SIGSTOP: u8 = 19;
const SPAN: &str = "a time span";
const NO_DEFAULT: &str = "not set";

/// Every setting, in the order of the manual.
pub static KEYS: &[Key] = &[
    Key {
        name: "preset",
        kind: "the name of a preset, in a string",
        default: NO_DEFAULT,
        since: "0.1",
        reloadable: true,
        help: "A known server: sets what it needs as one of N, and adds to `command` the arguments it lacks. \
               `herder presets` lists them; whatever else is written wins over them.",
        example: "\"uvicorn\"",
        read: super::preset::read,
        show: |settings| settings.preset.map(|preset| super::read::quote(preset.name)),
    },
    Key {
        name: "command",
        kind: "a list of strings, the program first",
        default: "the demonstration worker",
        since: "0.1",
        reloadable: true,
        help: "What a worker runs: the program and its arguments, with placeholders, without a shell. \
               A program without a slash is searched in PATH.",
        example: "[\"/srv/app/run\", \"--port\", \"{port}\"]",
        read: |draft, reader| {
            let Some(argv) = reader.argv() else { return };
            let templates: Vec<_> =
                argv.iter().map(|(text, at)| reader.template(text, at)).collect();
            if let Some(command) = templates.into_iter().collect() {
                draft.settings.command = command;
            }
        },
        show: |settings| show::list_unless_empty(settings.command.iter()),
    },
    Key {
        name: "listen",
        kind: "a list of addresses, each `[NAME=][HOST:]PORT`, `[NAME=]/path` or `[NAME=]@abstract`",
        default: "[]",
        since: "0.1",
        reloadable: false,
        help: "Where herder listens itself when no manager hands sockets over.",
        example: "[\"web=127.0.0.1:8000\"]",
        read: sockets::read_listen,
        show: |settings| Some(show::list(settings.listen.iter().map(Listen::to_string))),
    },
    Key {
        name: "sockets",
        kind: "a list of socket names",
        default: "all sockets",
        since: "0.1",
        reloadable: true,
        help: "The sockets a worker gets, by name (FileDescriptorName=) and in this order. \
               Each has to exist; an empty list means that none is meant.",
        example: "[\"web\", \"admin\"]",
        read: sockets::read_names,
        show: |settings| settings.sockets.as_ref().map(|names| show::list(names.iter())),
    },
    Key {
        name: "stdin",
        kind: "\"null\" or \"socket\"",
        default: "\"null\"",
        since: "0.1",
        reloadable: true,
        help: "What a worker reads from: /dev/null, or the first socket for FastCGI programs such as php-cgi.",
        example: "\"socket\"",
        read: |draft, reader| reader.choice(&STDIN, &mut draft.settings.stdin),
        show: |settings| show::word(&STDIN, settings.stdin),
    },
    Key {
        name: "listen-pid",
        kind: "\"set\" or \"omit\"",
        default: "\"set\"",
        since: "0.1",
        reloadable: true,
        help: "Whether LISTEN_PID is set to the worker's pid; \"omit\" suits wrappers that fork before the server starts.",
        example: "\"omit\"",
        read: |draft, reader| reader.choice(&LISTEN_PID, &mut draft.settings.listen_pid),
        show: |settings| show::word(&LISTEN_PID, settings.listen_pid),
    },
    Key {
        name: "blocking",
        kind: "true or false",
        default: "false",
        since: "0.1",
        reloadable: true,
        help: "Whether the server needs its sockets to block, as php-cgi and php-fpm do: one that does not is refused.",
        example: "true",
        read: |draft, reader| reader.boolean(&mut draft.settings.blocking),
        show: |settings| Some(settings.blocking.to_string()),
    },
    Key {
        name: "directory",
        kind: "an absolute path",
        default: "herder's own",
        since: "0.1",
        reloadable: true,
        help: "The working directory of workers. Symbolic links in it are followed once, when the settings are accepted.",
        example: "\"/srv/app/current\"",
        read: |draft, reader| {
            let Some(text) = reader.text() else { return };
            if let Some(path) = reader.path(&text, &reader.value.at) {
                draft.settings.directory = Some(path);
            }
        },
        show: |settings| {
            settings.directory.as_ref().map(|path| super::read::quote(path.to_string_lossy()))
        },
    },
    Key {
        name: "environment",
        kind: "a table of strings",
        default: "{}",
        since: "0.1",
        reloadable: true,
        help: "Variables for workers, with placeholders, beside those herder itself has.",
        example: "{ DJANGO_SETTINGS_MODULE = \"site.settings\", PORT = \"{port}\" }",
        read: super::load::read_environment,
        // Shown by variable, each with its own origin.
        show: |_| None,
    },
    Key {
        name: "environment-file",
        kind: "an absolute path or a list of them, each with `-` before it if the file may be missing",
        default: "[]",
        since: "0.1",
        reloadable: true,
        help: "Files with variables, as EnvironmentFile= of systemd.exec(5); they win over `environment`, and are read again at every reload.",
        example: "[\"/etc/default/app\", \"-/etc/app/secrets\"]",
        read: |draft, reader| {
            let Some(texts) = reader.texts(true) else { return };
            draft.settings.environment_file.clear();
            for (text, at) in &texts {
                let (path, optional) =
                    text.strip_prefix('-').map_or((text.as_str(), false), |path| (path, true));
                if let Some(path) = reader.path(path, at) {
                    draft.settings.environment_file.push(EnvironmentFile { path, optional });
                }
            }
        },
        show: |settings| {
            Some(show::list(settings.environment_file.iter().map(|file| {
                format!("{}{}", if file.optional { "-" } else { "" }, file.path.display())
            })))
        },
    },
    Key {
        name: "syslog-identifier",
        kind: "a string",
        default: "herder's own journal stream",
        since: "0.1",
        reloadable: true,
        help: "A journal stream of its own for what each worker writes, under this name (SYSLOG_IDENTIFIER=), with placeholders.",
        example: "\"web/{slot}\"",
        read: |draft, reader| {
            if let Some(line) = reader.line() {
                draft.settings.syslog_identifier = Some(line);
            }
        },
        show: |settings| {
            settings.syslog_identifier.as_ref().map(|t| super::read::quote(t.to_string()))
        },
    },
    Key {
        name: "workers",
        kind: "a number, or \"auto\"",
        default: "\"auto\"",
        since: "0.1",
        reloadable: true,
        help: "How many workers are wanted. \"auto\" is WEB_CONCURRENCY in herder's environment, else the CPUs that \
               affinity and the cgroup's quota leave.",
        example: "4",
        read: |draft, reader| {
            if reader.is_word("auto") {
                draft.workers = None;
            } else if let Some(workers) = reader.integer(0..=MOST_WORKERS) {
                draft.workers = Some(workers);
            }
        },
        show: |settings| Some(settings.policy.workers.to_string()),
    },
    Key {
        name: "ready",
        kind: "\"auto\", \"notify\", \"accepting\", \"exec\" or \"alive\"",
        default: "\"auto\"",
        since: "0.1",
        reloadable: true,
        help: "What proves that a worker serves: READY=1 (sd_notify(3)), to be seen waiting on its socket, its successful \
               start, or to be alive for `ready-after`; \"auto\" is the first or the second, without any socket the last.",
        example: "\"notify\"",
        read: |draft, reader| reader.choice(&READY, &mut draft.settings.policy.ready),
        show: |settings| show::word(&READY, settings.policy.ready),
    },
    Key {
        name: "ready-after",
        kind: SPAN,
        default: "\"1s\"",
        since: "0.1",
        reloadable: true,
        help: "How long a worker has to live to be taken for ready without a sign.",
        example: "\"5s\"",
        read: |draft, reader| reader.span(BOUNDED, &mut draft.settings.policy.ready_after),
        show: |settings| match settings.policy.ready {
            Ready::Auto | Ready::Alive => show::span(settings.policy.ready_after),
            Ready::Notify | Ready::Accepting | Ready::Exec => None,
        },
    },
    Key {
        name: "ready-when",
        kind: "\"all\" or \"any\"",
        default: "\"all\"",
        since: "0.1",
        reloadable: true,
        help: "When the service is started for systemd: all workers are ready (or have had one attempt, and one is), or any.",
        example: "\"any\"",
        read: |draft, reader| reader.choice(&READY_WHEN, &mut draft.settings.policy.ready_when),
        show: |settings| show::word(&READY_WHEN, settings.policy.ready_when),
    },
    Key {
        name: "start-timeout",
        kind: SPAN,
        default: "\"1min\"",
        since: "0.1",
        reloadable: true,
        help: "How long a worker may take until it is ready; EXTEND_TIMEOUT_USEC= from it extends this, up to ten times.",
        example: "\"1min 30s\"",
        read: |draft, reader| reader.span(POSITIVE, &mut draft.settings.policy.start_timeout),
        show: |settings| show::span(settings.policy.start_timeout),
    },
    Key {
        name: "min-ready-time",
        kind: SPAN,
        default: "\"0s\" with ready = \"notify\", else \"1s\"",
        since: "0.1",
        reloadable: true,
        help: "How long the first new worker of a reload has to stay ready before the others follow.",
        example: "\"2s\"",
        read: |draft, reader| {
            let mut span = draft.settings.policy.min_ready_time.unwrap_or_default();
            let before = reader.problems.0.len();
            reader.span(BOUNDED, &mut span);
            if reader.problems.0.len() == before {
                draft.settings.policy.min_ready_time = Some(span);
            }
        },
        show: |settings| settings.policy.min_ready_time.and_then(show::span),
    },
    Key {
        name: "min-lifetime",
        kind: SPAN,
        default: "\"10s\"",
        since: "0.1",
        reloadable: true,
        help: "A worker that was ready this long is proved: its death is no failure, and it is replaced without delay.",
        example: "\"30s\"",
        read: |draft, reader| reader.span(POSITIVE, &mut draft.settings.policy.min_lifetime),
        show: |settings| show::span(settings.policy.min_lifetime),
    },
    Key {
        name: "max-starting",
        kind: "a number, at least 1, or \"auto\"",
        default: "no bound",
        since: "0.1",
        reloadable: true,
        help: "How many workers may be on their way to ready at the same time. \"auto\" is the CPUs that affinity and \
               the cgroup's quota leave, at least 2.",
        example: "2",
        read: |draft, reader| {
            draft.max_starting_auto = reader.is_word("auto");
            if draft.max_starting_auto {
                return;
            }
            if let Some(number) = reader.integer(1..=MOST_WORKERS) {
                draft.settings.policy.max_starting = Some(number);
            }
        },
        show: |settings| settings.policy.max_starting.map(|number| number.to_string()),
    },
    Key {
        name: "crash-limit.burst",
        kind: "a number, at least 1",
        default: "5",
        since: "0.1",
        reloadable: true,
        help: "With no worker ready, herder gives up when every slot has failed this often since a worker was last proved.",
        example: "3",
        read: |draft, reader| {
            if let Some(number) = reader.integer(1..=1_000_000) {
                draft.settings.policy.crash_burst = number;
            }
        },
        show: |settings| Some(settings.policy.crash_burst.to_string()),
    },
    Key {
        name: "crash-limit.after",
        kind: SPAN,
        default: "`start-timeout` and 30s",
        since: "0.1",
        reloadable: true,
        help: "With no worker ready, herder gives up when the last was proved this long ago.",
        example: "\"2min\"",
        read: |draft, reader| {
            let after = draft.crash_after.get_or_insert_default();
            reader.span(Span(1)..=Span::MAX, after);
        },
        show: |settings| show::span(settings.policy.crash_after),
    },
    Key {
        name: "max-surge",
        kind: "a number, or a share such as \"25%\"",
        default: "1",
        since: "0.1",
        reloadable: true,
        help: "How many workers more than wanted a reload may start at a time; a share is rounded up.",
        example: "\"100%\"",
        read: |draft, reader| reader.amount(&mut draft.settings.policy.max_surge),
        show: |settings| Some(show::amount(settings.policy.max_surge)),
    },
    Key {
        name: "max-unavailable",
        kind: "a number, or a share such as \"25%\"",
        default: "0",
        since: "0.1",
        reloadable: true,
        help: "How many ready workers fewer than wanted a reload may leave; a share is rounded down.",
        example: "\"25%\"",
        read: |draft, reader| reader.amount(&mut draft.settings.policy.max_unavailable),
        show: |settings| Some(show::amount(settings.policy.max_unavailable)),
    },
    Key {
        name: "max-draining",
        kind: "a number",
        default: "as many as `workers`",
        since: "0.1",
        reloadable: true,
        help: "How many old workers may still be draining before a reload waits for them.",
        example: "2",
        read: |draft, reader| {
            if let Some(number) = reader.integer(0..=MOST_WORKERS) {
                draft.settings.policy.max_draining = Some(number);
            }
        },
        show: |settings| settings.policy.max_draining.map(|number| number.to_string()),
    },
    Key {
        name: "stop-signal",
        kind: "a signal's name or number",
        default: "\"SIGTERM\"",
        since: "0.1",
        reloadable: true,
        help: "What asks a worker to finish its work and end.",
        example: "\"SIGQUIT\"",
        read: |draft, reader| {
            if let Some(signal) = reader
                .signal(&[(SIGSTOP, "it would stop the worker in its tracks, and not end it")])
            {
                draft.settings.stop_signal = signal;
            }
        },
        show: |settings| Some(super::read::quote(signal_name(settings.stop_signal))),
    },
    Key {
        name: "stop-timeout",
        kind: SPAN,
        default: "\"30s\"",
        since: "0.1",
        reloadable: true,
        help: "How long a worker may take from the stop signal to its end; then it gets SIGKILL.",
        example: "\"2min\"",
        read: |draft, reader| reader.span(OR_FOREVER, &mut draft.settings.policy.stop_timeout),
        show: |settings| show::span(settings.policy.stop_timeout),
    },
    Key {
        name: "stop-delay",
        kind: SPAN,
        default: "\"0s\"",
        since: "0.1",
        reloadable: true,
        help: "How long workers go on serving after herder was told to stop, so that load balancers look elsewhere.",
        example: "\"5s\"",
        read: |draft, reader| reader.span(BOUNDED, &mut draft.settings.policy.stop_delay),
        show: |settings| show::span(settings.policy.stop_delay),
    },
    Key {
        name: "reopen-signal",
        kind: "a signal's name or number",
        default: NO_DEFAULT,
        since: "0.1",
        reloadable: true,
        help: "What every worker gets when herder gets SIGUSR1, to reopen its log files.",
        example: "\"SIGUSR1\"",
        read: |draft, reader| {
            let ends = "it would end the worker";
            if let Some(signal) = reader
                .signal(&[(SIGKILL, ends), (SIGSTOP, "it would stop the worker in its tracks")])
            {
                draft.settings.reopen_signal = Some(signal);
            }
        },
        show: |settings| {
            settings.reopen_signal.map(|signal| super::read::quote(signal_name(signal)))
        },
    },
    Key {
        name: "success-exit-status",
        kind: "exit statuses (a number or a name such as TEMPFAIL) and signal names, in a list or a string",
        default: "[]",
        since: "0.1",
        reloadable: true,
        help: "Endings that are normal for this server once it was ready, as SuccessExitStatus= of systemd.service(5).",
        example: "[\"TEMPFAIL\", 250, \"SIGKILL\"]",
        read: status::read,
        show: |settings| Some(show::list(status::words(&settings.policy.success).iter())),
    },
    Key {
        name: "service-watchdog",
        kind: "\"loop\" or \"workers\"",
        default: "\"loop\"",
        since: "0.1",
        reloadable: true,
        help: "What herder vouches for towards WatchdogSec= of the unit: that it works itself, or also that workers serve.",
        example: "\"workers\"",
        read: |draft, reader| {
            reader.choice(&SERVICE_WATCHDOG, &mut draft.settings.policy.service_watchdog)
        },
        show: |settings| show::word(&SERVICE_WATCHDOG, settings.policy.service_watchdog),
    },
    Key {
        name: "check",
        kind: "a list of strings, the program first",
        default: NO_DEFAULT,
        since: "0.1",
        reloadable: true,
        help: "A command that has to succeed before a reload starts its first new worker; what it prints is the reason when it fails.",
        example: "[\"/srv/app/run\", \"--check\"]",
        read: |draft, reader| {
            if let Some(argv) = reader.argv() {
                draft.settings.check = Some(argv.into_iter().map(|(text, _)| text).collect());
            }
        },
        show: |settings| settings.check.as_ref().map(|argv| show::list(argv.iter())),
    },
    Key {
        name: "control-group",
        kind: "a group's name or number",
        default: NO_DEFAULT,
        since: "0.1",
        reloadable: true,
        help: "Who may change the instance over its control socket, beside root and herder's own user. \
               Workers may not, whatever their groups.",
        example: "\"deploy\"",
        read: |draft, reader| {
            let Some(group) = reader.text() else { return };
            if group.is_empty() {
                return reader.wrong_value("is empty; name a group, or remove the key");
            }
            draft.settings.control_group = Some(group);
        },
        show: |settings| settings.control_group.as_ref().map(super::read::quote),
    },
];
