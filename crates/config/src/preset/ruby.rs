//! Servers of Rack applications. Run with Ruby 3.1: Puma 5.6, Unicorn 6.0.

use super::python::SLOW_START;
use super::{
    Argument, Example, FINISHES_WITH_0, Preset, Program, Refused, SERVES_WHEN_SEEN, Setting,
    Sockets,
};

const IN_THE_SOCKET_UNIT: &str =
    "remove it, and write ListenStream= in a drop-in of herder@NAME.socket";

pub(super) static PUMA: Preset = Preset {
    name: "puma",
    about: "Rack and Rails applications in Ruby, with threads",
    program: Program { names: &["puma"], adapter: None, not: &[], interprets: false },
    settings: &[
        SLOW_START,
        Setting {
            key: "success-exit-status",
            value: "[\"SIGTERM\"]",
            reason: "having finished its requests it ends itself by the signal that asked it to",
        },
    ],
    arguments: &[
        Argument {
            words: &["--bind-to-activated-sockets", "only"],
            unless: &["--bind-to-activated-sockets"],
            reason: "it serves the sockets it is given, and none that config/puma.rb names",
        },
        Argument {
            words: &["-w", "0"],
            unless: &["-w", "--workers"],
            reason: "herder runs the workers; config/puma.rb and WEB_CONCURRENCY would multiply each",
        },
    ],
    refused: &[Refused {
        options: &["-b", "--bind", "-p", "--port"],
        except: None,
        why: "says where to listen, and the socket is systemd's",
        instead: IN_THE_SOCKET_UNIT,
    }],
    sockets: Sockets { one: false, not_unix: None, unlinks: false },
    notes: &[
        "When it ends it closes connections that it has accepted and not read from. With DeferAcceptSec= of the socket \
         there are none; a UNIX socket has no such option, and under load one is lost for a dozen workers that are \
         replaced: `queue_requests false` in config/puma.rb ends that, and keep-alive with it.",
        "To share memory between several processes, write `-w 8` into `command`, and fewer `workers`.",
    ],
    example: Example {
        settings: "directory = \"/srv/site\"\ncommand = [\"bundle\", \"exec\", \"puma\"]\nenvironment = { RAILS_ENV = \"production\" }\n",
        socket: super::DEFERRED,
    },
};

pub(super) static UNICORN: Preset = Preset {
    name: "unicorn",
    about: "Rack and Rails applications in Ruby",
    program: Program {
        names: &["unicorn", "unicorn_rails"],
        adapter: None,
        not: &[],
        interprets: false,
    },
    settings: &[
        SLOW_START,
        Setting {
            key: "stop-signal",
            value: "\"SIGQUIT\"",
            reason: "SIGQUIT lets requests finish, SIGTERM drops them",
        },
        FINISHES_WITH_0,
        SERVES_WHEN_SEEN,
        Setting {
            key: "reopen-signal",
            value: "\"SIGUSR1\"",
            reason: "it opens its log files again",
        },
    ],
    arguments: &[],
    refused: &[
        Refused {
            options: &["-l", "--listen", "-p", "--port", "-o", "--host"],
            except: None,
            why: "says where to listen, and the socket is systemd's",
            instead: IN_THE_SOCKET_UNIT,
        },
        Refused {
            options: &["-D", "--daemonize"],
            except: None,
            why: "makes the server leave the process herder started",
            instead: "remove it: herder is what runs in the background",
        },
    ],
    sockets: Sockets { one: false, not_unix: None, unlinks: false },
    notes: &[
        "Let its configuration file say `worker_processes 1` and `preload_app true`: with that it ends if it cannot load \
         the application; without, its master tries for ever, and herder gives up after `start-timeout`.",
        "A worker is Unicorn's master and one process that serves. To share memory between several, let \
         `worker_processes` be more, and `workers` fewer.",
        "It is made for fast clients, such as a proxy in front: one that connects and is slow to ask keeps a worker from \
         others and from its end. With DeferAcceptSec= of the socket there is none such.",
        "It sets the socket's backlog to 1024, unless its configuration file has a `listen` with the very address \
         that the socket has, and `:backlog`.",
    ],
    example: Example {
        settings: "directory = \"/srv/site\"\ncommand = [\"bundle\", \"exec\", \"unicorn\", \"-E\", \"production\", \"-c\", \"config/unicorn.rb\"]\n",
        socket: "\
ListenStream=127.0.0.1:8000
# What Unicorn sets it to anyway.
Backlog=1024
# A connection is handed out when its request begins to arrive (TCP only).
DeferAcceptSec=5
",
    },
};
