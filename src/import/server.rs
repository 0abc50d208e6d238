//! The servers that are known by name: how each takes its socket as one of N, and which of its options have
//! become herder's or systemd's business. The one place that says so to an imported command line.

use super::instance::{Instance, Sockets, Value};
use super::notes::Origin;
use super::words::Mark;

/// A server, and what is to be done with its command line.
struct Server {
    /// Names of the program.
    programs: &'static [&'static str],
    /// Options with an address, which become `ListenStream=`.
    bind: &'static [&'static str],
    host: &'static [&'static str],
    port: &'static [&'static str],
    /// Options that name a file of settings, where an address may stand too.
    config: &'static [&'static str],
    /// Where it listens without any of them.
    default: Option<&'static str>,
    /// Options with the number of processes, which becomes `workers`.
    workers: &'static [&'static str],
    /// Options with a value, and options without, that one of N must not have.
    without: (&'static [&'static str], &'static [&'static str]),
    /// What has to be added, so that it takes its socket and stays one process.
    with: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// Settings of herder's, each with its value in TOML.
    settings: &'static [(&'static str, &'static str)],
    advice: &'static str,
    /// It may well run a program without a socket, and then there is nothing to advise.
    perhaps: bool,
}

const NOTHING: Server = Server {
    programs: &[],
    bind: &[],
    host: &[],
    port: &[],
    config: &[],
    default: None,
    workers: &[],
    without: (&[], &[]),
    with: &[],
    environment: &[],
    settings: &[],
    advice: "",
    perhaps: false,
};

const SERVERS: [Server; 12] = [
    Server {
        programs: &["gunicorn", "gunicorn3"],
        bind: &["-b", "--bind"],
        config: &["-c", "--config"],
        default: Some("127.0.0.1:8000"),
        workers: &["-w", "--workers"],
        // With --reuse-port it opens sockets of its own, whatever it is handed.
        without: (&["-p", "--pid"], &["-D", "--daemon", "--reuse-port"]),
        with: &["-w", "1"],
        settings: &[("min-ready-time", "\"10s\"")],
        advice: "Each worker is a gunicorn with one worker process; the sockets and `-w 1` win over `bind` and \
                 `workers` of a settings file of its own. gunicorn says READY=1 before it has loaded the application: \
                 min-ready-time has to be longer than that takes.",
        ..NOTHING
    },
    Server {
        programs: &["uvicorn"],
        host: &["--host"],
        port: &["--port"],
        bind: &["--uds"],
        default: Some("127.0.0.1:8000"),
        workers: &["--workers"],
        without: (&["--fd"], &["--reload"]),
        with: &["--fd", "{fd}", "--workers", "1"],
        ..NOTHING
    },
    Server {
        programs: &["hypercorn"],
        bind: &["-b", "--bind"],
        config: &["-c", "--config"],
        default: Some("127.0.0.1:8000"),
        workers: &["-w", "--workers"],
        without: (&["-p", "--pid"], &["-D", "--daemon", "--reload"]),
        with: &["-b", "fd://{fd}", "-w", "0"],
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
        programs: &["puma"],
        bind: &["-b", "--bind"],
        port: &["-p", "--port"],
        config: &["-C", "--config"],
        workers: &["-w", "--workers"],
        without: (
            &["--pidfile", "-S", "--state", "--control-url", "--control-token"],
            &["--preload"],
        ),
        with: &["--bind-to-activated-sockets=only", "-w", "0"],
        advice: "The options at the end make puma take its socket and stay one process, whatever config/puma.rb \
                 says of `bind`, `port` and `workers`. Take `pidfile` out of that file: workers would share it.",
        ..NOTHING
    },
    Server {
        programs: &["unicorn", "unicorn_rails"],
        bind: &["-l", "--listen"],
        host: &["-o", "--host"],
        port: &["-p", "--port"],
        config: &["-c", "--config-file"],
        default: Some("0.0.0.0:8080"),
        without: (&["-P", "--pid"], &["-D", "--daemonize"]),
        settings: &[("stop-signal", "\"SIGQUIT\"")],
        advice: "Say `worker_processes 1` in unicorn's own settings file, or there are that many times as many, \
                 and take `listen` and `pid` out of it.",
        ..NOTHING
    },
    Server {
        programs: &["starman"],
        bind: &["-l", "--listen"],
        host: &["-o", "--host"],
        port: &["-p", "--port"],
        default: Some("5000"),
        workers: &["--workers"],
        without: (&["--pid"], &["-D", "--daemonize"]),
        with: &["--workers", "1"],
        environment: &[("SERVER_STARTER_PORT", "{host}:{port}={fd}")],
        settings: &[("stop-signal", "\"SIGQUIT\"")],
        ..NOTHING
    },
    Server {
        programs: &["php-cgi"],
        bind: &["-b", "--bindpath"],
        settings: &[("stdin", "\"socket\""), ("success-exit-status", "[0]")],
        ..NOTHING
    },
    Server {
        programs: &["node", "nodejs"],
        advice: "The program has to take the socket that it is handed, server.listen({ fd: 3 }), where it says \
                 listen(PORT) now: a port can be opened once, and systemd has done it.",
        perhaps: true,
        ..NOTHING
    },
    Server {
        programs: &["waitress-serve"],
        host: &["--host"],
        port: &["--port"],
        bind: &["--listen", "--unix-socket"],
        default: Some("0.0.0.0:8080"),
        settings: &[("stop-signal", "\"SIGINT\"")],
        advice: "waitress-serve has no option for a socket that is handed over; its API has: \
                 waitress.serve(app, sockets=[socket.socket(fileno=3)]).",
        ..NOTHING
    },
    Server {
        programs: &["granian", "bun"],
        perhaps: true,
        advice: "This server cannot take a socket that is handed over, and so cannot be one of N on one socket.",
        ..NOTHING
    },
    Server {
        programs: &["npm", "npx", "yarn", "pnpm", "uv", "foreman", "honcho"],
        advice: "This runs the program as a child of its own, which gets neither the sockets nor the signals: \
                 name the program itself in `command`, such as [\"node\", \"server.js\"].",
        ..NOTHING
    },
];

/// Programs that become the one named after them.
const WRAPPERS: [&str; 10] =
    ["bundle", "exec", "env", "nice", "poetry", "pipenv", "run", "python", "python3", "-m"];

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// `php-cgi8.2` and `python3.11` are what they are without the number.
fn unversioned(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
}

/// The server that a command line starts, and which of its words names it.
fn find(words: &[String]) -> Option<(usize, &'static Server)> {
    for (index, word) in words.iter().enumerate() {
        let name = base(word);
        let known = |server: &&Server| {
            server.programs.iter().any(|known| *known == name || *known == unversioned(name))
        };
        match SERVERS.iter().find(known) {
            Some(server) => return Some((index, server)),
            None if WRAPPERS.contains(&name) || WRAPPERS.contains(&unversioned(name)) => {}
            None => return None,
        }
    }
    None
}

/// Whether a command line starts one of the servers.
pub fn is_known(words: &[String]) -> bool {
    find(words).is_some_and(|(_, server)| {
        !server.bind.is_empty() || !server.port.is_empty() || server.programs.contains(&"node")
    })
}

/// What herder needs to know of a server beside its arguments.
pub fn settings(program: &str, instance: &mut Instance) {
    if let Some((_, server)) = find(&[program.to_owned()]) {
        apply(server, instance);
    }
}

fn apply(server: &Server, instance: &mut Instance) {
    for (key, value) in server.settings {
        instance.set(key, Value::Toml(value), None);
    }
    for (name, value) in server.environment {
        instance.set_variable(name, value, None);
    }
    let is_about_this = !server.perhaps || instance.sockets == Sockets::FromSystemd;
    if !server.advice.is_empty() && is_about_this {
        instance.advise(server.advice);
    }
}

/// What was found among the options of a server.
#[derive(Default)]
struct Found {
    addresses: Vec<String>,
    host: Option<String>,
    port: Option<String>,
    workers: Option<String>,
    has_config: bool,
}

/// Makes a server's command line one of N: its addresses become the instance's, its number of processes
/// `workers`, and it gets what it needs to take its socket. Returns what is to run, with marks.
///
/// `port` is what a mark for the port stands for, if that is known.
pub fn adopt(
    words: &[String],
    port: Option<&str>,
    instance: &mut Instance,
    origin: &Origin,
) -> Vec<String> {
    let Some((at, server)) = find(words) else { return words.to_vec() };
    let (mut kept, mut found) = (words[..=at].to_vec(), Found::default());
    let mut rest = words[at + 1..].iter().peekable();
    while let Some(word) = rest.next() {
        let (option, attached) = option(word, server);
        let is = |options: &[&str]| options.contains(&option);
        let mut value = || attached.clone().or_else(|| rest.next().cloned()).unwrap_or_default();
        if is(server.bind) {
            found.addresses.push(value());
        } else if is(server.host) {
            found.host = Some(value());
        } else if is(server.port) {
            found.port = Some(value());
        } else if is(server.workers) {
            found.workers = Some(value());
        } else if is(server.without.0) {
            value();
            instance.need_not(&Origin::new(option, "", origin.line), WITHOUT);
        } else if is(server.without.1) {
            instance.need_not(&Origin::new(option, "", origin.line), WITHOUT);
        } else {
            found.has_config |= is(server.config);
            kept.push(word.clone());
        }
    }
    kept.extend(server.with.iter().map(|word| placeholder(word)));
    apply(server, instance);
    if let Some(workers) = &found.workers {
        instance.set("workers", Value::Number(workers), Some(origin));
    }
    listen(server, found, port, instance, origin);
    kept
}

/// An option and the value in the same word, `--port=80` or `-p80`.
fn option<'a>(word: &'a str, server: &Server) -> (&'a str, Option<String>) {
    if let Some((option, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
        return (option, Some(value.to_owned()));
    }
    let with_value = [server.bind, server.host, server.port, server.workers, server.without.0];
    match word.split_at_checked(2) {
        Some((short, value))
            if !value.is_empty()
                && short != "--"
                && with_value.iter().any(|options| options.contains(&short)) =>
        {
            (short, Some(value.to_owned()))
        }
        _ => (word, None),
    }
}

const WITHOUT: &str = "options that one of N workers must not have";

/// The words of the table as marks, because they are not yet herder's.
fn placeholder(word: &str) -> String {
    word.replace("{fd}", Mark::FD)
}

fn listen(
    server: &Server,
    found: Found,
    port: Option<&str>,
    instance: &mut Instance,
    origin: &Origin,
) {
    let mut addresses = found.addresses;
    if found.host.is_some() || found.port.is_some() {
        let default = server.default.unwrap_or_default();
        let (default_host, default_port) = default.rsplit_once(':').unwrap_or(("", default));
        let host = found.host.unwrap_or_else(|| default_host.to_owned());
        let port = found.port.unwrap_or_else(|| default_port.to_owned());
        addresses.push(format!("{host}:{port}"));
    }
    let takes = !server.bind.is_empty() || !server.port.is_empty();
    if addresses.is_empty() && takes && !instance.is_listening() {
        match (port, server.default) {
            (Some(port), _) => addresses.push(port.to_owned()),
            (None, Some(default)) if !found.has_config => addresses.push(default.to_owned()),
            (None, _) => instance
                .listen_somewhere("Where it listens stands in the server's own settings file"),
        }
    }
    for address in addresses {
        let address = address.replace(Mark::PORT, port.unwrap_or(Mark::PORT));
        match address.contains(Mark::PORT) {
            true => instance.listen_somewhere("Its port was to be told by the environment"),
            false => {
                let address = as_systemd_writes(&address, instance);
                if address.starts_with('/') {
                    instance.advise(PATH_ACCESS);
                }
                instance.listen(&address, Some(origin));
            }
        }
    }
}

const PATH_ACCESS: &str = "Everybody may connect to the path; SocketUser=, SocketGroup= and SocketMode= in \
                               the drop-in say who may.";

/// `tcp://0.0.0.0:80`, `unix:run/a.sock`, `:80`, `*:80` and `localhost:80` as `ListenStream=` has them.
pub fn as_systemd_writes(address: &str, instance: &Instance) -> String {
    let address = address.strip_prefix("tcp://").unwrap_or(address);
    let path = address.strip_prefix("unix://").or_else(|| address.strip_prefix("unix:"));
    let is_path = |text: &str| text.contains('/') && !text.contains("://");
    if let Some(path) = path.or_else(|| is_path(address).then_some(address)) {
        return instance.absolute(path);
    }
    match address.rsplit_once(':') {
        Some(("" | "*", port)) => port.to_owned(),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => {
            format!("[{host}]:{port}")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::{split, template};
    use super::*;

    fn adopted(line: &str, port: Option<&str>) -> (String, Instance) {
        let mut instance = Instance::new("a".into(), "x".into());
        instance.set_directory("/srv/app", None);
        let origin = Origin::new("command", line, 3);
        let words = adopt(&split(line).unwrap(), port, &mut instance, &origin);
        let words: Vec<_> = words.iter().map(|word| template(word)).collect();
        (words.join(" "), instance)
    }

    #[test]
    fn command_lines_become_those_of_one_of_n() {
        for (line, command, listens, workers) in [
            (
                "/srv/venv/bin/gunicorn -b 0.0.0.0:8000 --workers=4 -p /run/g.pid site.wsgi",
                "/srv/venv/bin/gunicorn site.wsgi -w 1",
                "0.0.0.0:8000",
                "4",
            ),
            (
                "gunicorn --bind unix:run/g.sock -D site",
                "gunicorn site -w 1",
                "/srv/app/run/g.sock",
                "",
            ),
            ("python3 -m gunicorn site", "python3 -m gunicorn site -w 1", "127.0.0.1:8000", ""),
            (
                "uvicorn app:app --host 0.0.0.0 --port 80 --workers 2",
                "uvicorn app:app --fd {fd} --workers 1",
                "0.0.0.0:80",
                "2",
            ),
            (
                "uvicorn app:app --port 80",
                "uvicorn app:app --fd {fd} --workers 1",
                "127.0.0.1:80",
                "",
            ),
            ("hypercorn -b :80 -w 3 a:b", "hypercorn a:b -b fd://{fd} -w 0", "80", "3"),
            (
                "bundle exec puma -b tcp://127.0.0.1:3000 -t 5:5 -w 2 --preload",
                "bundle exec puma -t 5:5 --bind-to-activated-sockets=only -w 0",
                "127.0.0.1:3000",
                "2",
            ),
            ("gunicorn -w4 -b:80 x", "gunicorn x -w 1", "80", "4"),
            ("unicorn -l 8080 -E production -D", "unicorn -E production", "8080", ""),
            ("/usr/bin/php-cgi8.2 -b 127.0.0.1:9000", "/usr/bin/php-cgi8.2", "127.0.0.1:9000", ""),
        ] {
            let (words, instance) = adopted(line, None);
            assert_eq!(words, command);
            let listening: Vec<_> =
                instance.socket.iter().map(|setting| setting.value.as_str()).collect();
            assert_eq!(listening, [listens], "{line}");
            let told = instance.settings.iter().find(|setting| setting.key == "workers");
            assert_eq!(told.map_or("", |setting| &setting.value), workers, "{line}");
            assert!(instance.notes.lost.is_empty(), "{line}: {:?}", instance.notes.lost);
        }
    }

    #[test]
    fn what_stands_elsewhere_is_asked_for() {
        let (_, instance) = adopted("bundle exec puma -C config/puma.rb", None);
        assert_eq!((instance.sockets, instance.socket.len()), (Sockets::FromSystemd, 0));
        assert!(instance.advice.iter().any(|advice| advice.contains("ListenStream=")));
        let (_, instance) = adopted("bundle exec puma -C config/puma.rb", Some("5000"));
        assert_eq!(instance.socket[0].value, "5000");
    }

    #[test]
    fn others_are_left_alone() {
        for line in ["/srv/app/run -b 80 -w 4", "celery -A x worker", "ruby gunicorn", ""] {
            let (words, instance) = adopted(line, None);
            assert_eq!(words, line);
            assert!(instance.socket.is_empty() && !is_known(&split(line).unwrap()), "{line}");
        }
    }

    #[test]
    fn every_setting_in_the_table_is_one_that_herder_takes() {
        for server in &SERVERS {
            let mut instance = Instance::new("a".into(), "x".into());
            apply(server, &mut instance);
            assert!(instance.notes.lost.is_empty(), "{:?}", instance.notes.lost);
            assert_eq!(instance.settings.len(), server.settings.len());
        }
    }

    #[test]
    fn addresses_are_written_as_systemd_writes_them() {
        let mut instance = Instance::new("a".into(), "x".into());
        instance.set_directory("/d/", None);
        for (address, written) in [
            ("tcp://0.0.0.0:3000", "0.0.0.0:3000"),
            ("unix:///run/x", "/run/x"),
            ("unix:tmp/x", "/d/tmp/x"),
            ("tmp/x.sock", "/d/tmp/x.sock"),
            ("*:80", "80"),
            (":80", "80"),
            ("80", "80"),
            ("localhost:80", "127.0.0.1:80"),
            ("::1:80", "[::1]:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(as_systemd_writes(address, &instance), written);
        }
    }
}
