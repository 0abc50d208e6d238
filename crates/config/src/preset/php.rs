//! PHP over FastCGI. Run with PHP 8.2.

use super::{Argument, Example, FINISHES_WITH_0, Preset, Program, Refused, Setting, Sockets};

pub(super) static PHP_CGI: Preset = Preset {
    name: "php-cgi",
    about: "PHP for a web server that speaks FastCGI, a process each",
    program: Program { names: &["php-cgi"], adapter: None, not: &[], interprets: false },
    settings: &[
        Setting {
            key: "command",
            value: "[\"php-cgi\"]",
            reason: "all that is needed",
        },
        Setting {
            key: "stdin",
            value: "\"socket\"",
            reason: "FastCGI has the listening socket as standard input",
        },
        Setting {
            key: "blocking",
            value: "true",
            reason: "it ends at once where the socket does not block",
        },
        Setting {
            key: "success-exit-status",
            value: "[0]",
            reason: "it leaves after PHP_FCGI_MAX_REQUESTS requests, 500 unless set",
        },
        Setting {
            key: "environment.PHP_FCGI_CHILDREN",
            value: "\"0\"",
            reason: "herder runs the workers",
        },
    ],
    arguments: &[],
    refused: &[Refused {
        options: &["-b", "--bindpath"],
        except: None,
        why: "says where to listen, and the socket is systemd's",
        instead: "remove it, and write ListenStream= in a drop-in of herder@NAME.socket",
    }],
    sockets: Sockets { one: true, not_unix: None, unlinks: false },
    notes: &[
        "The socket has to block: do not let another kind of server have it too, and leave NonBlocking= of the \
         service alone. With one that does not block, php-cgi ends at once.",
        "Each worker has an opcode cache of its own; `opcache.file_cache` lets a new one start warm. php-fpm shares \
         one among its children.",
    ],
    example: Example {
        settings: "workers = 8\n",
        socket: "\
# For fastcgi_pass unix:/run/site.sock of nginx, or SetHandler \"proxy:unix:/run/site.sock|fcgi://site\" of Apache.
ListenStream=/run/site.sock
SocketUser=www-data
SocketMode=0660
",
    },
};

pub(super) static PHP_FPM: Preset = Preset {
    name: "php-fpm",
    about: "PHP for a web server that speaks FastCGI, a master with children each",
    program: Program { names: &["php-fpm"], adapter: None, not: &[], interprets: false },
    settings: &[
        Setting {
            key: "stop-signal",
            value: "\"SIGQUIT\"",
            reason: "SIGQUIT lets requests finish, SIGTERM drops them",
        },
        FINISHES_WITH_0,
        Setting {
            key: "ready",
            value: "\"notify\"",
            reason: "it sends READY=1 when its children wait for requests",
        },
        Setting {
            key: "blocking",
            value: "true",
            reason: "its children end at once, one after the other, where the socket does not block",
        },
        Setting {
            key: "reopen-signal",
            value: "\"SIGUSR1\"",
            reason: "it opens its log files again",
        },
        Setting {
            key: "environment.FPM_SOCKETS",
            value: "\"{addr}={fd}\"",
            reason: "its own way to be told of a socket",
        },
    ],
    arguments: &[Argument {
        words: &["--nodaemonize"],
        unless: &["-F", "--nodaemonize"],
        reason: "it stays the process that herder started",
    }],
    refused: &[Refused {
        options: &["-D", "--daemonize"],
        except: None,
        why: "makes the server leave the process herder started",
        instead: "remove it: herder is what runs in the background",
    }],
    sockets: Sockets { one: true, not_unix: None, unlinks: true },
    notes: &[
        "`listen` of its pool has to be the socket's address, letter for letter, and `process_control_timeout` more \
         than 0: without it, SIGQUIT drops requests too. /usr/share/doc/herder/examples/php/php-fpm.conf is such a \
         file, for a socket with a path.",
        "One master with N children shares an opcode cache: `workers = 2` and N children each are as good as many \
         workers, and can still be reloaded without loss.",
        "The socket has to block: do not let another kind of server have it too.",
        "When it ends it removes the file of a UNIX socket, if the user it runs as may. herder@.service keeps it \
         from that (ProtectSystem=strict), as long as ReadWritePaths= does not name the directory.",
    ],
    example: Example {
        settings: "command = [\"/usr/sbin/php-fpm8.4\", \"--fpm-config\", \"/etc/herder/site.fpm.conf\"]\nworkers = 2\n",
        socket: "ListenStream=127.0.0.1:9000\n",
    },
};
