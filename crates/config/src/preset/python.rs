//! Servers of WSGI and ASGI applications. Run with CPython 3.11: uvicorn 0.54, hypercorn 0.18,
//! gunicorn 27.0 and 20.1, waitress 3.0 and 2.1, uWSGI 2.0.21.

use super::{Argument, Example, FINISHES_WITH_0, Preset, Program, Refused, Setting, Sockets};

/// Importing an application takes seconds of CPU time, most of it for each worker alone.
pub(super) const SLOW_START: Setting = Setting {
    key: "max-starting",
    value: "\"auto\"",
    reason: "starting costs CPU time: no more at once than there are CPUs, and at least 2",
};

/// asyncio, waitress and others call listen(2) again, with a number of their own.
pub(super) const BACKLOG: Argument = Argument {
    words: &["--backlog", "{backlog}"],
    unless: &["--backlog"],
    reason: "it calls listen() again: with the number the socket has already",
};

/// A cut between two sockets: one is asked for, whichever the other options say.
const ADDRESS: &str = "says where to listen, and the socket is systemd's";
const IN_THE_SOCKET_UNIT: &str =
    "remove it, and write ListenStream= in a drop-in of herder@NAME.socket";
const DAEMON: Refused = Refused {
    options: &["-D", "--daemon"],
    except: None,
    why: "makes the server leave the process herder started",
    instead: "remove it: herder is what runs in the background",
};

pub(super) static UVICORN: Preset = Preset {
    name: "uvicorn",
    about: "ASGI applications in Python",
    program: Program {
        names: &["uvicorn"],
        adapter: Some("/usr/lib/herder/uvicorn"),
        not: &[],
        interprets: false,
    },
    settings: &[
        SLOW_START,
        Setting {
            key: "success-exit-status",
            value: "[0, \"SIGTERM\"]",
            reason: "having finished its requests it ends itself by the signal that asked it to, and with 0 after \
                     `--limit-max-requests`",
        },
    ],
    arguments: &[
        Argument {
            words: &["--fd", "{fd}"],
            unless: &["--fd"],
            reason: "the socket it is to serve",
        },
        Argument {
            words: &["--workers", "1"],
            unless: &["--workers"],
            reason: "herder runs the workers; WEB_CONCURRENCY would multiply each",
        },
        BACKLOG,
    ],
    refused: &[
        Refused {
            options: &["--workers"],
            except: Some("1"),
            why: "has uvicorn manage workers of its own",
            instead: "remove it, and set `workers`",
        },
        Refused {
            options: &["--host", "--port", "--uds"],
            except: None,
            why: ADDRESS,
            instead: IN_THE_SOCKET_UNIT,
        },
        Refused {
            options: &["--reload"],
            except: None,
            why: "runs the application in another process, which is replaced at each change of a file",
            instead: "remove it, and use `herder reload`",
        },
    ],
    sockets: Sockets { one: true, not_unix: None, unlinks: false },
    notes: &[
        "`[\"…/bin/python\", \"MODULE:APPLICATION\"]` runs /usr/lib/herder/uvicorn, which is uvicorn with all of its \
         options and two things more: READY=1 when it serves; and when it is to end, it stops accepting, and open \
         connections have a second for one more request.",
        "uvicorn itself, `[\"…/bin/uvicorn\", \"MODULE:APPLICATION\"]`, works too, but when it ends it closes connections \
         that it has accepted and not read from: under load about one for each worker that is replaced.",
    ],
    example: Example {
        settings: "directory = \"/srv/site\"\ncommand = [\"venv/bin/python\", \"mysite.asgi:application\"]\n",
        socket: "ListenStream=127.0.0.1:8000\n",
    },
};

pub(super) static HYPERCORN: Preset = Preset {
    name: "hypercorn",
    about: "ASGI and WSGI applications in Python, with HTTP/2",
    program: Program {
        names: &["hypercorn"],
        adapter: Some("/usr/lib/herder/hypercorn"),
        not: &[],
        interprets: false,
    },
    settings: &[SLOW_START, FINISHES_WITH_0],
    arguments: &[
        Argument {
            words: &["-b", "fd://{fd}"],
            unless: &["-b", "--bind"],
            reason: "the socket it is to serve",
        },
        Argument {
            words: &["-w", "0"],
            unless: &["-w", "--workers"],
            reason: "it serves in the process herder started; with 1 it would start another",
        },
        BACKLOG,
        Argument {
            words: &["--graceful-timeout", "86400"],
            unless: &["--graceful-timeout"],
            reason: "`stop-timeout` decides how long requests may take at the end, not 3 s",
        },
    ],
    refused: &[
        Refused {
            options: &["-w", "--workers"],
            except: Some("0"),
            why: "has hypercorn manage workers of its own",
            instead: "remove it, and set `workers`",
        },
        Refused {
            options: &["-b", "--bind"],
            except: Some("fd://*"),
            why: ADDRESS,
            instead: IN_THE_SOCKET_UNIT,
        },
    ],
    sockets: Sockets { one: true, not_unix: None, unlinks: false },
    notes: &[
        "`[\"…/bin/python\", \"MODULE:APPLICATION\"]` runs /usr/lib/herder/hypercorn, which is hypercorn with all of its \
         options and two things more: READY=1 when it serves; and when it is to end, it stops accepting, and open \
         connections have a second for one more request. `--worker-class trio` is as it is without.",
        "hypercorn itself, `[\"…/bin/hypercorn\", \"MODULE:APPLICATION\"]`, works too, but when it ends it closes \
         connections that it has accepted and not read from, and forgets some that it accepts meanwhile: under load one \
         for every few workers that are replaced, also with DeferAcceptSec=.",
    ],
    example: Example {
        settings: "directory = \"/srv/site\"\ncommand = [\"venv/bin/python\", \"mysite.asgi:application\"]\n",
        socket: "ListenStream=127.0.0.1:8000\n",
    },
};

pub(super) static GUNICORN: Preset = Preset {
    name: "gunicorn",
    about: "WSGI applications in Python",
    program: Program { names: &["gunicorn"], adapter: None, not: &[], interprets: false },
    settings: &[
        SLOW_START,
        FINISHES_WITH_0,
        Setting {
            key: "ready",
            value: "\"accepting\"",
            reason: "its READY=1 comes before it has loaded the application, and is not believed; it waits for \
                     connections when it has",
        },
        Setting {
            key: "reopen-signal",
            value: "\"SIGUSR1\"",
            reason: "it opens its log files again",
        },
    ],
    arguments: &[
        Argument {
            words: &["-w", "1"],
            unless: &["-w", "--workers"],
            reason: "herder runs the workers; WEB_CONCURRENCY would multiply each",
        },
        BACKLOG,
        Argument {
            words: &["--graceful-timeout", "86400"],
            unless: &["--graceful-timeout"],
            reason: "`stop-timeout` decides how long requests may take at the end, not 30 s",
        },
    ],
    refused: &[
        Refused {
            options: &["-b", "--bind"],
            except: None,
            why: "is not heeded beside the socket it is given, and ends gunicorn if it names that",
            instead: IN_THE_SOCKET_UNIT,
        },
        Refused {
            options: &["-p", "--pid"],
            except: None,
            why: "names one file for every worker, and the second would not start",
            instead: "remove it: `herder status` knows the process ids",
        },
        DAEMON,
    ],
    sockets: Sockets { one: false, not_unix: None, unlinks: false },
    notes: &[
        "A worker is gunicorn's arbiter and one process that serves. To share memory between several, write \
         `--preload` and `-w 8` into `command`, and fewer `workers`.",
        "gunicorn 25.1 and later each open a control socket in the home directory, or complain if they cannot; \
         `--no-control-socket`, which older ones do not know, ends that.",
        "gunicorn before 22 calls listen() again, with what `--backlog` says.",
    ],
    example: Example {
        settings: "directory = \"/srv/site\"\ncommand = [\"venv/bin/gunicorn\", \"mysite.wsgi:application\"]\n",
        socket: "ListenStream=127.0.0.1:8000\n",
    },
};

pub(super) static WAITRESS: Preset = Preset {
    name: "waitress",
    about: "WSGI applications in Python, with threads",
    program: Program {
        names: &["waitress"],
        adapter: Some("/usr/lib/herder/waitress"),
        not: &["waitress-serve", "waitress"],
        interprets: false,
    },
    settings: &[
        SLOW_START,
        Setting {
            key: "ready",
            value: "\"notify\"",
            reason: "/usr/lib/herder/waitress sends READY=1 when it serves",
        },
    ],
    arguments: &[BACKLOG],
    refused: &[Refused {
        options: &["--host", "--port", "--listen", "--unix-socket"],
        except: None,
        why: ADDRESS,
        instead: IN_THE_SOCKET_UNIT,
    }],
    sockets: Sockets { one: false, not_unix: None, unlinks: false },
    notes: &[
        "`[\"…/bin/python\", \"MODULE:APPLICATION\"]` runs /usr/lib/herder/waitress, which is waitress-serve with all \
         of its options, on the sockets it is given: waitress itself takes these only from a program. On SIGTERM it \
         stops accepting and finishes what it has accepted, however long that takes; waitress itself would stop at \
         once, and on SIGINT after 5 s.",
    ],
    example: Example {
        settings: "directory = \"/srv/site\"\ncommand = [\"venv/bin/python\", \"--threads=4\", \"mysite.wsgi:application\"]\n",
        socket: "ListenStream=127.0.0.1:8000\n",
    },
};

pub(super) static UWSGI: Preset = Preset {
    name: "uwsgi",
    about: "WSGI applications in Python, and whatever else uWSGI has a plugin for",
    program: Program {
        names: &["uwsgi", "uwsgi-core", "uwsgi_python3"],
        adapter: None,
        not: &[],
        interprets: false,
    },
    settings: &[
        SLOW_START,
        FINISHES_WITH_0,
        Setting {
            key: "ready",
            value: "\"accepting\"",
            reason: "with `lazy-apps` its READY=1 comes before it has loaded the application",
        },
    ],
    arguments: &[
        Argument {
            words: &["--master"],
            unless: &["--master", "-M"],
            reason: "only its master can be told to let requests finish",
        },
        Argument {
            words: &["--hook-master-start", "unix_signal:15 gracefully_kill_them_all"],
            unless: &["--hook-master-start"],
            reason: "SIGTERM lets requests finish; without this it reloads, or drops them",
        },
        Argument {
            words: &["--need-app"],
            unless: &["--need-app"],
            reason: "it ends if it cannot load the application, and does not serve errors",
        },
    ],
    refused: &[
        Refused {
            options: &["--http", "--http-socket", "--socket", "-s", "--uwsgi-socket"],
            except: None,
            why: ADDRESS,
            instead: "remove it (for HTTP write `--protocol http`), and write ListenStream= in a drop-in of herder@NAME.socket",
        },
        Refused {
            options: &["--die-on-term"],
            except: None,
            why: "drops the requests that SIGTERM finds",
            instead: "remove it",
        },
        Refused {
            options: &["-d", "--daemonize", "--daemonize2"],
            except: None,
            why: "makes the server leave the process herder started",
            instead: "remove it: herder is what runs in the background",
        },
    ],
    sockets: Sockets { one: false, not_unix: None, unlinks: false },
    notes: &[
        "It speaks the uwsgi protocol on the socket it is given, for uwsgi_pass of nginx; `--protocol http` for HTTP.",
        "When it ends it closes connections that it has accepted and not read from; with DeferAcceptSec= of the socket \
         there are none. One is lost for every few hundred workers that are replaced, at the very moment when it is \
         accepted; uWSGI 2.0.28 with `--threads 2`, for applications that can, loses none.",
        "A file of settings is not read here: let it have no `socket`, `http`, `daemonize` or `die-on-term`, and \
         `processes = 1`, or fewer `workers`.",
    ],
    example: Example {
        settings: "directory = \"/srv/site\"\ncommand = [\"uwsgi\", \"--plugin\", \"python3\", \"--protocol\", \"http\", \"--module\", \"mysite.wsgi:application\"]\n",
        socket: super::DEFERRED,
    },
};
