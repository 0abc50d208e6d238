//! An imported command line of a known server becomes that of one of N: what its options say goes to herder or
//! systemd, and a preset does the rest. Which servers there are is data, in `known::servers`.

use super::instance::{Instance, Setting, Sockets, Value};
use super::known::servers::{SERVERS, Server};
use super::notes::Origin;
use super::words::{Mark, is_name};
use herder_config::preset;

/// Programs that become the one named after them.
const WRAPPERS: [&str; 17] = [
    "bundle",
    "exec",
    "env",
    "nice",
    "ionice",
    "chrt",
    "setsid",
    "poetry",
    "pipenv",
    "run",
    "python",
    "python3",
    "-m",
    "newrelic-admin",
    "run-program",
    "ddtrace-run",
    "opentelemetry-instrument",
];

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// `php-cgi8.2` and `python3.11` are what they are without the number.
fn unversioned(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
}

/// What stands between such a program and the one it becomes: variables of env's, options and their numbers, as
/// in `nice -n 5`.
fn is_wrappers_own(word: &str) -> bool {
    let is_variable = word.split_once('=').is_some_and(|(name, _)| is_name(name));
    is_variable || word.starts_with('-') || word.parse::<i32>().is_ok()
}

/// The server that a command line starts, and which of its words names it.
fn find(words: &[String]) -> Option<(usize, &'static Server)> {
    for (index, word) in words.iter().enumerate() {
        if index > 0 && is_wrappers_own(word) {
            continue;
        }
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

/// Whether a program is one of those known here, and so somewhere in PATH.
pub fn is_known(program: &str) -> bool {
    find(&[program.to_owned()]).is_some()
}

/// Whether a command line starts a server that is told where to listen.
pub fn listens(words: &[String]) -> bool {
    find(words).is_some_and(|(_, server)| !server.bind.is_empty() || !server.port.is_empty())
}

/// What herder needs to know of a server beside its arguments.
pub fn settings(program: &str, instance: &mut Instance) {
    if let Some((_, server)) = find(&[program.to_owned()]) {
        apply(server, instance);
    }
}

fn apply(server: &Server, instance: &mut Instance) {
    let has_socket = instance.sockets == Sockets::FromSystemd;
    // Every preset demands a socket.
    if let Some(preset) = server.preset.filter(|_| has_socket) {
        instance.set("preset", Value::Text(preset), None);
    }
    if server.perhaps && !has_socket {
        return;
    }
    // Where the preset's own example has it: then no connection is lost that was accepted and not read from.
    let example = server
        .preset
        .and_then(|name| preset::find(name).ok())
        .map_or("", |preset| preset.example.socket);
    let over_tcp =
        |line: &&Setting| line.key == "ListenStream" && !line.value.starts_with(['/', '@']);
    if example.contains("DeferAcceptSec=") && instance.socket.iter().any(|line| over_tcp(&line)) {
        instance.in_socket("DeferAcceptSec", "5", None);
    }
    if !server.advice.is_empty() {
        instance.advise(server.advice);
    }
    // Those that cannot be one of N.
    let why = server.programs.first().and_then(|name| preset::find(name).err());
    if let Some((message, advice)) = why.filter(|_| server.preset.is_none() && server.perhaps) {
        instance.advise(format!("{message}; {advice}."));
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
    if let Some(by) = server.by {
        kept[at] = beside(&words[at], by);
    }
    let mut rest = words[at + 1..].iter().peekable();
    while let Some(word) = rest.next() {
        let (option, attached) = option(word, server);
        let is = |options: &[&str]| options.contains(&option);
        let protocol = server.protocol.iter().find(|(known, _)| *known == option);
        let mut value = || attached.clone().or_else(|| rest.next().cloned()).unwrap_or_default();
        if is(server.bind) {
            found.addresses.push(value());
            if let Some((_, protocol)) = protocol {
                kept.extend(["--protocol".to_owned(), (*protocol).to_owned()]);
            }
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
    if let Some(workers) = &found.workers {
        instance.set("workers", Value::Number(workers), Some(origin));
    }
    listen(server, found, port, instance, origin);
    apply(server, instance);
    kept
}

/// A program in the directory of another: `venv/bin/waitress-serve`, `venv/bin/python3`.
fn beside(program: &str, other: &str) -> String {
    match program.rsplit_once('/') {
        Some((directory, _)) => format!("{directory}/{other}"),
        None => other.to_owned(),
    }
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

const PATH_ACCESS: &str = "Every user may connect to the path; SocketUser=, SocketGroup= and SocketMode= in \
                               the drop-in restrict that.";

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
        for (line, command, preset, listens, workers) in [
            (
                "/srv/venv/bin/gunicorn -b 0.0.0.0:8000 --workers=4 -p /run/g.pid site.wsgi",
                "/srv/venv/bin/gunicorn site.wsgi",
                "gunicorn",
                "0.0.0.0:8000",
                "4",
            ),
            (
                "gunicorn --bind unix:run/g.sock -D site",
                "gunicorn site",
                "gunicorn",
                "/srv/app/run/g.sock",
                "",
            ),
            ("env A=1 gunicorn -b :8000 site", "env A=1 gunicorn site", "gunicorn", "8000", ""),
            (
                "nice -n 5 ddtrace-run gunicorn -b :80 x",
                "nice -n 5 ddtrace-run gunicorn x",
                "gunicorn",
                "80",
                "",
            ),
            (
                "newrelic-admin run-program gunicorn x",
                "newrelic-admin run-program gunicorn x",
                "gunicorn",
                "127.0.0.1:8000",
                "",
            ),
            (
                "python3 -m gunicorn site",
                "python3 -m gunicorn site",
                "gunicorn",
                "127.0.0.1:8000",
                "",
            ),
            ("gunicorn -w4 -b:80 --reuse-port x", "gunicorn x", "gunicorn", "80", "4"),
            (
                "uvicorn app:app --host 0.0.0.0 --port 80 --workers 2 --fd 3",
                "uvicorn app:app",
                "uvicorn",
                "0.0.0.0:80",
                "2",
            ),
            ("uvicorn app:app --port 80", "uvicorn app:app", "uvicorn", "127.0.0.1:80", ""),
            ("hypercorn -b :80 -w 3 a:b", "hypercorn a:b", "hypercorn", "80", "3"),
            ("daphne -p 80 a:b", "daphne a:b --fd {fd}", "", "127.0.0.1:80", ""),
            (
                "venv/bin/waitress-serve --port=80 --threads=4 a:b",
                "venv/bin/python3 --threads=4 a:b",
                "waitress",
                "0.0.0.0:80",
                "",
            ),
            (
                "uwsgi --http-socket 127.0.0.1:80 -p 4 --plugin python3 --module a --die-on-term",
                "uwsgi --protocol http --plugin python3 --module a",
                "uwsgi",
                "127.0.0.1:80",
                "4",
            ),
            (
                "bundle exec puma -b tcp://127.0.0.1:3000 -t 5:5 -w 2 --preload",
                "bundle exec puma -t 5:5",
                "puma",
                "127.0.0.1:3000",
                "2",
            ),
            ("unicorn -l 8080 -E production -D", "unicorn -E production", "unicorn", "8080", ""),
            ("starman -p 80 --workers 9 app.psgi", "starman app.psgi", "starman", "80", "9"),
            (
                "/usr/bin/php-cgi8.2 -b 127.0.0.1:9000",
                "/usr/bin/php-cgi8.2",
                "php-cgi",
                "127.0.0.1:9000",
                "",
            ),
        ] {
            let (words, instance) = adopted(line, None);
            assert_eq!(words, command);
            let lines = |key: &str| -> Vec<&str> {
                let lines = instance.socket.iter().filter(|line| line.key == key);
                lines.map(|setting| setting.value.as_str()).collect()
            };
            assert_eq!(lines("ListenStream"), [listens], "{line}");
            let deferred = ["puma", "unicorn", "uwsgi"].contains(&preset);
            assert_eq!(!lines("DeferAcceptSec").is_empty(), deferred, "{line}");
            let told = |key: &str| {
                let setting = instance.settings.iter().find(|setting| setting.key == key);
                setting.map_or("", |setting| setting.value.trim_matches('"')).to_owned()
            };
            assert_eq!(
                (told("workers").as_str(), told("preset").as_str()),
                (workers, preset),
                "{line}"
            );
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
            assert!(instance.socket.is_empty() && !listens(&split(line).unwrap()), "{line}");
        }
    }

    #[test]
    fn every_preset_in_the_table_is_one_and_what_it_refuses_goes() {
        for server in SERVERS.iter().filter(|server| server.preset.is_some()) {
            let name = server.preset.unwrap_or_default();
            let preset = preset::find(name).unwrap_or_else(|(why, _)| panic!("{why}"));
            let taken = [
                server.bind,
                server.host,
                server.port,
                server.workers,
                server.without.0,
                server.without.1,
            ];
            for option in preset.refused.iter().flat_map(|refused| refused.options) {
                assert!(taken.iter().any(|options| options.contains(option)), "{name}: {option}");
            }
        }
    }

    #[test]
    fn a_program_without_a_socket_gets_no_preset_and_no_advice_about_one() {
        for (line, advised) in
            [("node jobs.js", false), ("bun jobs.ts", false), ("npm run jobs", true)]
        {
            let (words, instance) = adopted(line, None);
            assert_eq!(
                (words.as_str(), instance.settings.len()),
                (line, 1),
                "{:?}",
                instance.settings
            );
            assert_eq!(!instance.advice.is_empty(), advised, "{line}: {:?}", instance.advice);
        }
        let mut instance = Instance::new("a".into(), "x".into());
        instance.sockets = Sockets::FromSystemd;
        let origin = Origin::new("command", "bun", 1);
        adopt(&split("bun x.ts").unwrap(), None, &mut instance, &origin);
        assert!(instance.advice.iter().any(|advice| advice.contains("preset = \"node\"")));
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
