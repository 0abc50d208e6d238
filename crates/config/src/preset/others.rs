//! Node.js 20, programs in Go 1.19, Starman 0.4016; and what cannot be one of N.

use super::python::SLOW_START;
use super::{
    Argument, Example, FINISHES_WITH_0, Impossible, Preset, Program, Refused, SERVES_WHEN_SEEN,
    Setting, Sockets,
};

pub(super) static NODE: Preset = Preset {
    name: "node",
    about: "programs in JavaScript, run by Node.js",
    program: Program { names: &["node", "nodejs"], adapter: None, not: &[], interprets: true },
    settings: &[
        SLOW_START,
        FINISHES_WITH_0,
        Setting {
            key: "environment.NODE_LISTEN_BACKLOG",
            value: "\"{backlog}\"",
            reason: "for /usr/lib/herder/node.js: it calls listen() again, with the number the socket has already",
        },
    ],
    arguments: &[Argument {
        words: &["-r", "/usr/lib/herder/node.js"],
        unless: &[],
        reason: "`listen(PORT)` takes the socket it is given, SIGTERM lets requests finish",
    }],
    refused: &[Refused {
        options: &["--watch"],
        except: None,
        why: "runs the program in another process, which is replaced at each change of a file",
        instead: "remove it, and use `herder reload`",
    }],
    sockets: Sockets { one: false, not_unix: None, unlinks: false },
    notes: &[
        "/usr/lib/herder/node.js is loaded before the program. The first server that listens on a port or a path gets \
         the first socket instead, the second the second; further ones listen as they would without it. A program \
         that listens on `{ fd: 3 }` itself does so, and one that handles SIGTERM itself keeps doing that.",
        "Start `node`, not `npm start` or `npx`: these start it as another process, and without the socket.",
        "Without the preload, a program has to listen on `{ fd: 3 }` and to call `server.close()` on SIGTERM.",
        "The cluster module and pm2 are not needed, and fail on UNIX sockets.",
    ],
    example: Example {
        settings: "directory = \"/srv/site\"\ncommand = [\"node\", \"server.js\"]\nenvironment = { NODE_ENV = \"production\" }\n",
        socket: "ListenStream=127.0.0.1:3000\n",
    },
};

pub(super) static GO: Preset = Preset {
    name: "go",
    about: "programs in Go that serve an inherited socket",
    program: Program { names: &[], adapter: None, not: &[], interprets: false },
    settings: &[FINISHES_WITH_0],
    arguments: &[],
    refused: &[],
    sockets: Sockets { one: false, not_unix: None, unlinks: false },
    notes: &[
        "The program makes its listener with `net.FileListener(os.NewFile(3, \"\"))`, or by the package \
         coreos/go-systemd/activation, and on SIGTERM calls `Shutdown` of its http.Server and waits for that.",
        "Go waits for connections from the moment a listener is made, and herder cannot see that the program does not call \
         Accept yet: make it when everything else is done, or send READY=1 and set `ready = \"notify\"`.",
        "One process uses all CPUs: `workers = 2` is enough to survive a crash; a reload needs no more.",
    ],
    example: Example {
        settings: "command = [\"/srv/site/server\"]\nworkers = 2\n",
        socket: "ListenStream=127.0.0.1:8000\n",
    },
};

pub(super) static STARMAN: Preset = Preset {
    name: "starman",
    about: "PSGI applications in Perl",
    program: Program { names: &["starman"], adapter: None, not: &[], interprets: false },
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
            key: "environment.SERVER_STARTER_PORT",
            value: "\"{addr}={fd}\"",
            reason: "its own way to be told of a socket",
        },
    ],
    arguments: &[
        Argument {
            words: &["--workers", "1"],
            unless: &["--workers"],
            reason: "herder runs the workers; it would start 5",
        },
        Argument {
            words: &["-I", "/usr/lib/herder/", "-M", "HerderStarman"],
            unless: &[],
            reason: "at its end it would drop a connection that it has just accepted",
        },
    ],
    refused: &[
        Refused {
            options: &["-l", "--listen", "-p", "--port", "-o", "--host", "-S", "--socket"],
            except: None,
            why: "says where to listen, and the socket is systemd's",
            instead: "remove it, and write ListenStream= in a drop-in of herder@NAME.socket",
        },
        Refused {
            options: &["-D", "--daemonize"],
            except: None,
            why: "makes the server leave the process herder started",
            instead: "remove it: herder is what runs in the background",
        },
    ],
    sockets: Sockets {
        one: true,
        not_unix: Some("fails at the first connection of a UNIX socket that it was given"),
        unlinks: false,
    },
    notes: &[
        "A worker is Starman's master and one process that serves. With `--preload-app` it ends if it cannot load the \
         application; without, its master tries for ever, and herder gives up after `start-timeout`.",
        "/usr/lib/herder/HerderStarman.pm is loaded into Starman: on SIGQUIT each of its processes answers what it has \
         accepted. Without, one ends at once that has not noted yet that it has a connection: under load one for every \
         few workers that are replaced, also with DeferAcceptSec=.",
        "Starlet is one process, takes UNIX sockets too, and drains on SIGTERM: \
         /usr/share/doc/herder/examples/servers/starlet.toml.",
    ],
    example: Example {
        settings: "directory = \"/srv/site\"\ncommand = [\"starman\", \"--preload-app\", \"app.psgi\"]\n",
        socket: "ListenStream=127.0.0.1:8000\n",
    },
};

/// What cannot serve an inherited socket at all.
pub const IMPOSSIBLE: [Impossible; 5] = [
    Impossible {
        name: "granian",
        why: "takes no socket: it has no option for a descriptor, and binds its own",
        instead: "serve the application with `preset = \"uvicorn\"` (ASGI) or `preset = \"gunicorn\"` (WSGI)",
    },
    Impossible {
        name: "bun",
        why: "takes no socket: `listen({ fd: 3 })` silently opens a random port instead (seen with 1.4.5)",
        instead: "run the program with `preset = \"node\"`",
    },
    Impossible {
        name: "pitchfork",
        why: "takes no socket: it has dropped UNICORN_FD and LISTEN_FDS of Unicorn, which it comes from",
        instead: "serve the application with `preset = \"puma\"` or `preset = \"unicorn\"`",
    },
    Impossible {
        name: "apache",
        why: "takes no socket as released and as Debian builds it",
        instead: "put it in front: a site of PHP runs with `preset = \"php-cgi\"`, and mod_proxy_fcgi speaks to it",
    },
    Impossible {
        name: "pm2",
        why: "is a process manager, and its processes do not get the socket",
        instead: "run the program itself with `preset = \"node\"`",
    },
];
