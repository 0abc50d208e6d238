//! Reloading and stopping, and the interfaces to operators and to systemd.

use super::super::in_toml;
use super::super::key::{Applies, Key, NO_DEFAULT, SPAN};
use super::super::read::{BOUNDED, OR_FOREVER};
use super::super::status;
use herder_core::{ServiceWatchdog, signal_name};
use herder_wire::control::MOST_WORKERS;

const SERVICE_WATCHDOG: [(&str, ServiceWatchdog); 2] =
    [("loop", ServiceWatchdog::Loop), ("workers", ServiceWatchdog::Workers)];
const SIGKILL: u8 = 9;
const SIGSTOP: u8 = 19;

pub const KEYS: &[Key] = &[
    Key {
        name: "max-surge",
        kind: "a number, or a share such as \"25%\"",
        default: "1",
        applies: Applies::AtOnce,
        help: "How many workers more than wanted a reload may start at a time; a share is rounded up.",
        example: "\"100%\"",
        read: |draft, reader| reader.amount(&mut draft.settings.policy.max_surge),
        show: |settings| Some(in_toml::amount(settings.policy.max_surge)),
    },
    Key {
        name: "max-unavailable",
        kind: "a number, or a share such as \"25%\"",
        default: "0",
        applies: Applies::AtOnce,
        help: "How many ready workers fewer than wanted a reload may leave; a share is rounded down.",
        example: "\"25%\"",
        read: |draft, reader| reader.amount(&mut draft.settings.policy.max_unavailable),
        show: |settings| Some(in_toml::amount(settings.policy.max_unavailable)),
    },
    Key {
        name: "max-draining",
        kind: "a number",
        default: "as many as `workers`",
        applies: Applies::AtOnce,
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
        applies: Applies::AtReload,
        help: "What asks a worker to finish its work and end.",
        example: "\"SIGQUIT\"",
        read: |draft, reader| {
            if let Some(signal) = reader
                .signal(&[(SIGSTOP, "it would stop the worker in its tracks, and not end it")])
            {
                draft.settings.stop_signal = signal;
            }
        },
        show: |settings| Some(in_toml::quote(signal_name(settings.stop_signal))),
    },
    Key {
        name: "stop-timeout",
        kind: SPAN,
        default: "\"30s\"",
        applies: Applies::AtOnce,
        help: "How long a worker may take from the stop signal to its end; then it gets SIGKILL.",
        example: "\"2min\"",
        read: |draft, reader| reader.span(OR_FOREVER, &mut draft.settings.policy.stop_timeout),
        show: |settings| in_toml::span(settings.policy.stop_timeout),
    },
    Key {
        name: "stop-delay",
        kind: SPAN,
        default: "\"0s\"",
        applies: Applies::AtOnce,
        help: "How long workers go on serving after herder was told to stop, so that load balancers look elsewhere.",
        example: "\"5s\"",
        read: |draft, reader| reader.span(BOUNDED, &mut draft.settings.policy.stop_delay),
        show: |settings| in_toml::span(settings.policy.stop_delay),
    },
    Key {
        name: "reopen-signal",
        kind: "a signal's name or number",
        default: NO_DEFAULT,
        applies: Applies::AtReload,
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
        show: |settings| settings.reopen_signal.map(|signal| in_toml::quote(signal_name(signal))),
    },
    Key {
        name: "success-exit-status",
        kind: "exit statuses (a number or a name such as TEMPFAIL) and signal names, in a list or a string",
        default: "[]",
        applies: Applies::AtReload,
        help: "Endings that are normal for this server once it was ready, as SuccessExitStatus= of systemd.service(5).",
        example: "[\"TEMPFAIL\", 250, \"SIGKILL\"]",
        read: status::read,
        show: |settings| Some(in_toml::list(status::words(&settings.policy.success).iter())),
    },
    Key {
        name: "service-watchdog",
        kind: "\"loop\" or \"workers\"",
        default: "\"loop\"",
        applies: Applies::AtOnce,
        help: "What herder vouches for towards WatchdogSec= of the unit: that it works itself, or also that workers serve.",
        example: "\"workers\"",
        read: |draft, reader| {
            reader.choice(&SERVICE_WATCHDOG, &mut draft.settings.policy.service_watchdog)
        },
        show: |settings| in_toml::word(&SERVICE_WATCHDOG, settings.policy.service_watchdog),
    },
    Key {
        name: "check",
        kind: "a list of strings, the program first",
        default: NO_DEFAULT,
        applies: Applies::AtReload,
        help: "A command that has to succeed before a reload starts its first new worker; what it prints is the reason when it fails.",
        example: "[\"/srv/app/run\", \"--check\"]",
        read: |draft, reader| {
            if let Some(argv) = reader.argv() {
                draft.settings.check = Some(argv.into_iter().map(|(text, _)| text).collect());
            }
        },
        show: |settings| settings.check.as_ref().map(|argv| in_toml::list(argv.iter())),
    },
    Key {
        name: "control-group",
        kind: "a group's name or number",
        default: NO_DEFAULT,
        applies: Applies::AtReload,
        help: "The group whose members may change the instance over its control socket, beside root and herder's own user. \
               Workers may not, whatever their groups.",
        example: "\"deploy\"",
        read: |draft, reader| {
            let Some(group) = reader.text() else { return };
            if group.is_empty() {
                return reader.wrong_value("is empty; name a group, or remove the key");
            }
            draft.settings.control_group = Some(group);
        },
        show: |settings| settings.control_group.as_ref().map(in_toml::quote),
    },
];
