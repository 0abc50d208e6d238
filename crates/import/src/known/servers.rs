//! The servers that are known by name in a command line: the preset of each, and which of its options have
//! become herder's or systemd's business.

/// A server, and what is to be done with its command line.
pub struct Server {
    /// Names of the program.
    pub programs: &'static [&'static str],
    /// The preset that makes it one of N.
    pub preset: Option<&'static str>,
    /// Options with an address, which become `ListenStream=`.
    pub bind: &'static [&'static str],
    pub host: &'static [&'static str],
    pub port: &'static [&'static str],
    /// Options that name a file of settings, where an address may stand too.
    pub config: &'static [&'static str],
    /// Where it listens without any of them.
    pub default: Option<&'static str>,
    /// Options with the number of processes, which becomes `workers`.
    pub workers: &'static [&'static str],
    /// Options with a value, and options without, that one of N must not have.
    pub without: (&'static [&'static str], &'static [&'static str]),
    /// What has to be added where no preset does it, so that it takes its socket and stays one process.
    pub with: &'static [&'static str],
    /// What `--http-socket` and the like say beside an address.
    pub protocol: &'static [(&'static str, &'static str)],
    /// The program that runs in its place, beside it.
    pub by: Option<&'static str>,
    pub advice: &'static str,
    /// It may well run a program without a socket, and then there is nothing to advise.
    pub perhaps: bool,
}

const NOTHING: Server = Server {
    programs: &[],
    preset: None,
    bind: &[],
    host: &[],
    port: &[],
    config: &[],
    default: None,
    workers: &[],
    without: (&[], &[]),
    with: &[],
    protocol: &[],
    by: None,
    advice: "",
    perhaps: false,
};

pub const SERVERS: [Server; 14] = [
    Server {
        programs: &["gunicorn", "gunicorn3"],
        preset: Some("gunicorn"),
        bind: &["-b", "--bind"],
        config: &["-c", "--config"],
        default: Some("127.0.0.1:8000"),
        workers: &["-w", "--workers"],
        // With --reuse-port it opens sockets of its own, whatever it is handed.
        without: (&["-p", "--pid"], &["-D", "--daemon", "--reuse-port"]),
        advice: "If gunicorn has a settings file of its own: its `bind` and `workers` have no effect any more, and \
                 `pidfile`, `daemon` and `reuse_port` have to go.",
        ..NOTHING
    },
    Server {
        programs: &["uvicorn"],
        preset: Some("uvicorn"),
        host: &["--host"],
        port: &["--port"],
        bind: &["--uds"],
        default: Some("127.0.0.1:8000"),
        workers: &["--workers"],
        without: (&["--fd"], &["--reload"]),
        ..NOTHING
    },
    Server {
        programs: &["hypercorn"],
        preset: Some("hypercorn"),
        bind: &["-b", "--bind"],
        config: &["-c", "--config"],
        default: Some("127.0.0.1:8000"),
        workers: &["-w", "--workers"],
        without: (&["-p", "--pid"], &["-D", "--daemon", "--reload"]),
        ..NOTHING
    },
    Server {
        programs: &["daphne"],
        host: &["-b", "--bind"],
        port: &["-p", "--port"],
        bind: &["-u", "--unix-socket"],
        default: Some("127.0.0.1:8000"),
        without: (&["--fd"], &[]),
        with: &["--fd", "{fd}"],
        advice: "daphne gives up requests under way when it is told to stop; uvicorn and hypercorn finish them.",
        ..NOTHING
    },
    Server {
        programs: &["waitress-serve"],
        preset: Some("waitress"),
        host: &["--host"],
        port: &["--port"],
        bind: &["--listen", "--unix-socket"],
        default: Some("0.0.0.0:8080"),
        by: Some("python3"),
        ..NOTHING
    },
    Server {
        programs: &["uwsgi", "uwsgi-core", "uwsgi_python"],
        preset: Some("uwsgi"),
        bind: &["--http", "--http-socket", "--socket", "-s", "--uwsgi-socket"],
        config: &["--ini", "--yaml", "--json", "--xml"],
        workers: &["-p", "--processes", "--workers"],
        without: (
            &[
                "-d",
                "--daemonize",
                "--daemonize2",
                "--pidfile",
                "--safe-pidfile",
                "--master-fifo",
                "--stats",
            ],
            &["--die-on-term", "--vacuum", "--reuse-port", "--lazy-apps"],
        ),
        protocol: &[("--http", "http"), ("--http-socket", "http")],
        advice: "If uWSGI has a settings file of its own: `socket`, `http`, `processes`, `daemonize`, `die-on-term` and \
                 `pidfile` have to go from it.",
        ..NOTHING
    },
    Server {
        programs: &["puma"],
        preset: Some("puma"),
        bind: &["-b", "--bind"],
        port: &["-p", "--port"],
        config: &["-C", "--config"],
        workers: &["-w", "--workers"],
        without: (
            &["--pidfile", "-S", "--state", "--control-url", "--control-token"],
            &["--preload"],
        ),
        advice: "`bind`, `port` and `workers` of config/puma.rb have no effect any more. Take `pidfile` out of it: workers \
                 would share it.",
        ..NOTHING
    },
    Server {
        programs: &["unicorn", "unicorn_rails"],
        preset: Some("unicorn"),
        bind: &["-l", "--listen"],
        host: &["-o", "--host"],
        port: &["-p", "--port"],
        config: &["-c", "--config-file"],
        default: Some("0.0.0.0:8080"),
        without: (&["-P", "--pid"], &["-D", "--daemonize"]),
        advice: "Say `worker_processes 1` in unicorn's own settings file, or there are that many times as many, \
                 and take `listen` and `pid` out of it.",
        ..NOTHING
    },
    Server {
        programs: &["starman"],
        preset: Some("starman"),
        bind: &["-l", "--listen", "-S", "--socket"],
        host: &["-o", "--host"],
        port: &["-p", "--port"],
        default: Some("5000"),
        workers: &["--workers"],
        without: (&["--pid"], &["-D", "--daemonize"]),
        ..NOTHING
    },
    Server {
        programs: &["php-cgi"],
        preset: Some("php-cgi"),
        bind: &["-b", "--bindpath"],
        ..NOTHING
    },
    Server {
        programs: &["node", "nodejs"],
        preset: Some("node"),
        without: (&[], &["--watch"]),
        advice: "The first server that the program makes, listen(PORT), gets the socket instead.",
        perhaps: true,
        ..NOTHING
    },
    Server { programs: &["granian"], perhaps: true, ..NOTHING },
    Server { programs: &["bun"], perhaps: true, ..NOTHING },
    Server {
        programs: &["npm", "npx", "yarn", "pnpm", "uv", "foreman", "honcho"],
        advice: "This runs the program as a child of its own, which gets neither the sockets nor the signals: \
                 name the program itself in `command`, such as [\"node\", \"server.js\"].",
        ..NOTHING
    },
];
