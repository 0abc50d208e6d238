//! What all formats keep to: settings that herder takes, units that systemd takes, and nothing left out silently.

use super::*;
use herder_config::{Machine, Overrides, Settings, load};
use herder_core::Span;

const MACHINE: Machine = Machine { cpus: 2, web_concurrency: None };

const FIXTURES: [(Kind, &str, &str); 5] = [
    (Kind::PhpFpm, "www.conf", include_str!("../../../tests/import/www.conf")),
    (Kind::PhpFpm, "shop.conf", include_str!("../../../tests/import/shop.conf")),
    (Kind::Procfile, "Procfile", include_str!("../../../tests/import/Procfile")),
    (Kind::Pm2, "ecosystem.json", include_str!("../../../tests/import/ecosystem.json")),
    (Kind::Supervisord, "supervisord.conf", include_str!("../../../tests/import/supervisord.conf")),
];

fn import_text(kind: Kind, text: &str) -> Result<Import, String> {
    let source = Source { name: "the file", directory: Some("/srv/app"), text, prefix: "" };
    import(kind, &source)
}

fn of(kind: Kind, text: &str) -> Import {
    import_text(kind, text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

fn file<'a>(files: &'a [File], path: &str) -> &'a str {
    let found = files.iter().find(|file| file.path == path);
    &found.unwrap_or_else(|| panic!("no {path} in {files:?}")).text
}

fn settings(text: &str) -> Settings {
    load(Some(("imported", text)), &Overrides::default(), &MACHINE)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// A settings file with what it suggests switched on.
fn uncommented(text: &str) -> String {
    let suggestion = |line: &str| {
        let rest = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        rest.unwrap_or(line).to_owned() + "\n"
    };
    text.lines().map(suggestion).collect()
}

/// That every file is one that its reader takes.
fn files_are_right(import: &Import) {
    let files = import.files();
    let mut paths: Vec<_> = files.iter().map(|file| &file.path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), files.len(), "a file is there twice");
    for file in &files {
        if file.path.ends_with(".toml") {
            settings(&file.text);
            settings(&uncommented(&file.text));
        } else {
            let mut lines =
                file.text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            let section = if file.path.contains(".socket.d/") { "[Socket]" } else { "[Service]" };
            assert_eq!(lines.next(), Some(section), "{}", file.path);
            for line in lines {
                let key = line.split_once('=').map_or("", |(key, _)| key);
                assert!(!key.is_empty() && key.chars().all(|c| c.is_ascii_alphabetic()), "{line}");
            }
        }
    }
    let comments = import.preamble();
    assert!(comments.lines().all(|line| line.starts_with('#')), "{comments}");
}

#[test]
fn what_is_printed_is_what_herder_and_systemd_take() {
    for (kind, name, text) in FIXTURES {
        let import = of(kind, text);
        assert_eq!(recognise(name, text), Ok(kind), "{name}");
        assert!(import.names().count() > 0, "{name}");
        files_are_right(&import);
    }
}

/// However a file ends, or is mangled, what comes out is right or there is an error of one line.
#[test]
fn half_a_file_is_half_imported_or_refused() {
    let mut imported = 0;
    for (kind, _, text) in FIXTURES {
        for end in (0..text.len()).step_by(13).filter(|end| text.is_char_boundary(*end)) {
            for text in
                [text[..end].to_owned(), text[end..].to_owned(), text.replacen('"', "'", end / 40)]
            {
                match import_text(kind, &text) {
                    Ok(import) => {
                        files_are_right(&import);
                        imported += 1;
                    }
                    Err(why) => assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
                }
            }
        }
    }
    assert!(imported > 100, "{imported}");
}

/// A line with a value that makes sense for a setting, and what is to be seen of it if its name is not.
fn sample(kind: Kind, name: &str) -> (String, &'static str) {
    let (name, value, seen) = match (kind, name) {
        (_, "listen" | "pm.status_listen") => (name, "127.0.0.1:9000", ""),
        (_, "socket") => (name, "tcp://127.0.0.1:9000", ""),
        (_, "env") if kind == Kind::PhpFpm => ("env[SAMPLE]", "1", "SAMPLE = \"1\""),
        (_, "php_value" | "php_admin_value") => (name, "7", "sample=7"),
        (_, "php_flag" | "php_admin_flag") => (name, "on", "sample=1"),
        (_, "security.limit_extensions") => (name, ".sample", ".sample"),
        (_, "pm") if kind == Kind::PhpFpm => (name, "dynamic", ""),
        (_, "listen.mode" | "umask" | "socket_mode") => (name, "0660", ""),
        (_, "environment") => (name, "SAMPLE=\"1\"", "SAMPLE = \"1\""),
        (_, "stopsignal") => (name, "QUIT", ""),
        (_, "autorestart" | "autostart" | "wait_ready" | "watch") => (name, "true", ""),
        (_, "stopasgroup" | "killasgroup") => (name, "true", ""),
        (_, "chdir" | "directory" | "prefix" | "cwd") => (name, "/sample", ""),
        (Kind::Pm2, "script" | "cmd" | "command") => (name, "sample.js", "sample.js"),
        (Kind::Pm2, "args" | "node_args" | "exec_interpreter") => (name, "sample", "\"sample\""),
        (Kind::Pm2, "name") => (name, "sample", "/sample.toml"),
        (Kind::Pm2, "env" | "env_*") => (name, "{\"SAMPLE\": \"1\"}", "SAMPLE = \"1\""),
        (Kind::Pm2, "exec_mode") => (name, "fork", ""),
        (Kind::Pm2, "instance_var" | "increment_var") => (name, "SAMPLE", ""),
        (Kind::Supervisord, "command") => (name, "/bin/sample", "/bin/sample"),
        _ => (name, "7", ""),
    };
    let line = match kind {
        Kind::Pm2 => {
            let name = if name == "env_*" { "env_x" } else { name };
            let bare = value.starts_with('{') || value == "7" || value == "true";
            let value = if bare { value.to_owned() } else { format!("\"{value}\"") };
            format!("\"{name}\": {value}")
        }
        _ if name.starts_with("php_") => format!("{name}[sample] = {value}"),
        _ => format!("{name} = {value}"),
    };
    (line, seen)
}

/// That a setting is told of: by its name and line, or by what has become of it.
fn is_told(kind: Kind, text: &str, name: &str, seen: &str) {
    let import = of(kind, text);
    files_are_right(&import);
    let told = import.text();
    let found = if seen.is_empty() { told.contains(name) } else { told.contains(seen) };
    assert!(found, "nothing is said of {name}, {seen:?}:\n{text}\n{told}");
    assert!(!told.contains(UNKNOWN), "{name} is not known:\n{told}");
}

#[test]
fn every_setting_that_is_known_is_told_of() {
    use super::known::{Directive, php_fpm, pm2, supervisord};
    let names = |tables: &[&'static [Directive]]| -> Vec<&'static str> {
        let directives = tables.iter().flat_map(|table| table.iter());
        directives.flat_map(|directive| directive.names).copied().collect()
    };
    for name in names(&[php_fpm::GLOBAL]) {
        let (line, seen) = sample(Kind::PhpFpm, name);
        is_told(Kind::PhpFpm, &format!("[global]\n{line}\n[www]\nuser = w\n"), name, seen);
    }
    for name in names(&[php_fpm::POOL]) {
        let (line, seen) = sample(Kind::PhpFpm, name);
        for listen in ["", "listen = /run/x.sock\n", "listen = 9000\n"] {
            // As with php-fpm, the last of two counts.
            is_told(Kind::PhpFpm, &format!("[www]\n{listen}{line}\n"), name, seen);
        }
    }
    for name in names(&[supervisord::PROGRAM, supervisord::FCGI]) {
        let (line, seen) = sample(Kind::Supervisord, name);
        let text = format!("[fcgi-program:a]\ncommand=x\nsocket=unix:///run/x.sock\n{line}\n");
        is_told(Kind::Supervisord, &text, name, seen);
    }
    for name in names(&[supervisord::DAEMON]) {
        let (line, seen) = sample(Kind::Supervisord, name);
        let text = format!("[supervisord]\n{line}\n[program:a]\ncommand=x\n");
        is_told(Kind::Supervisord, &text, name, seen);
    }
    for (name, _) in supervisord::SECTIONS {
        let section = if name.ends_with(':') { format!("{name}b") } else { (*name).to_owned() };
        let text = format!("[program:a]\ncommand=x\n[{section}]\nfiles=b\n");
        is_told(Kind::Supervisord, &text, name, "");
    }
    for name in names(&[pm2::APP]) {
        let (line, seen) = sample(Kind::Pm2, name);
        let script = if seen == "sample.js" { "" } else { "\"script\": \"x.js\", " };
        let shown = if name == "env_*" { "env_x" } else { name };
        is_told(Kind::Pm2, &format!("{{\"apps\": [{{{script}{line}}}]}}"), shown, seen);
    }
    for name in names(&[pm2::TOP]).into_iter().filter(|name| !["apps", "pm2"].contains(name)) {
        let text = format!("{{\"apps\": [{{\"script\": \"x\"}}], \"{name}\": 7}}");
        is_told(Kind::Pm2, &text, name, "");
    }
}

#[test]
fn an_unknown_setting_is_named_with_its_line() {
    for (kind, text, told) in [
        (Kind::PhpFpm, "[global]\nnew_one = 1\n[www]\nuser = w\n", "line 2: new_one = 1"),
        (Kind::PhpFpm, "[www]\n\nnew.one[x] = 1\n", "line 3: new.one[x] = 1"),
        (Kind::PhpFpm, "[www]\nstray\n", "line 2: stray"),
        (Kind::Supervisord, "[program:a]\ncommand=x\nnew_one=1\n", "line 3: new_one = 1"),
        (Kind::Supervisord, "[program:a]\ncommand=x\nsocket=1\n", "line 3: socket = 1"),
        (Kind::Supervisord, "[new]\na=1\n[program:a]\ncommand=x\n", "line 1: [new]"),
        (Kind::Supervisord, "[supervisord]\nnew=1\n[program:a]\ncommand=x\n", "line 2: new = 1"),
        (
            Kind::Pm2,
            "{\"apps\": [{\n\"script\": \"x\",\n\"new_one\": [1]\n}]}",
            "line 3: new_one = [1]",
        ),
        (Kind::Pm2, "{\"apps\": [{\"script\": \"x\"}],\n\"new\": 1}", "line 2: new = 1"),
        (Kind::Procfile, "web: x\n\nno entry\n", "line 3: no entry"),
    ] {
        let import = of(kind, text);
        let came = import.text();
        assert!(came.contains(&format!("# - {told}\n")), "{told} in\n{came}");
        assert_eq!(import.count_lost(), 1, "{came}");
    }
}

/// `exec A=1 x` would run a program called `A=1`.
#[test]
fn variables_before_a_program_that_needs_a_shell_are_for_env() {
    for (line, script) in [
        ("RAILS_ENV=production bin/jobs $ARGS", "exec env RAILS_ENV=production bin/jobs $ARGS"),
        ("A=\"$B c\" exec bin/jobs", "A=\"$B c\" exec bin/jobs"),
        ("exec bin/jobs $ARGS", "exec bin/jobs $ARGS"),
        ("bin/jobs a=$ARGS", "exec bin/jobs a=$ARGS"),
    ] {
        let files = of(Kind::Procfile, &format!("work: {line}\n")).files();
        let toml = settings(file(&files, "/etc/herder/work.toml"));
        let command: Vec<_> = toml.command.iter().map(ToString::to_string).collect();
        assert_eq!(command, ["/bin/sh", "-c", script]);
    }
}

#[test]
fn the_last_command_of_a_script_replaces_the_shell_where_that_is_safe() {
    for (line, script) in [
        (
            "python manage.py migrate && gunicorn site",
            "python manage.py migrate && exec gunicorn site",
        ),
        ("a; A=1 b -c", "a; exec env A=1 b -c"),
        ("a && exec b", "a && exec b"),
        ("a && b | c", "a && b | c"),
        ("a && b &", "a && b &"),
        ("a && echo \"x && y\"", "a && echo \"x && y\""),
        ("if a; then b; else c; fi", "if a; then b; else c; fi"),
        ("while a; do b; sleep 1; done", "while a; do b; sleep 1; done"),
        ("a | b", "a | b"),
    ] {
        let files = of(Kind::Procfile, &format!("work: {line}\n")).files();
        let toml = settings(file(&files, "/etc/herder/work.toml"));
        let command: Vec<_> = toml.command.iter().map(ToString::to_string).collect();
        assert_eq!(command, ["/bin/sh", "-c", script]);
    }
}

/// Heroku's own line for Rails.
#[test]
fn a_default_takes_the_place_of_a_variable_and_is_named() {
    let line = "web: bundle exec puma -t 5:5 -p ${PORT:-3000} -e ${RACK_ENV:-development}\n";
    let import = of(Kind::Procfile, line);
    let files = import.files();
    let toml = settings(file(&files, "/etc/herder/web.toml"));
    let command: Vec<_> = toml.command.iter().map(ToString::to_string).collect();
    assert_eq!(
        command[..7],
        ["bundle", "exec", "puma", "--bind-to-activated-sockets", "only", "-w", "0"]
    );
    assert_eq!(command[7..], ["-t", "5:5", "-e", "development"]);
    assert_eq!(import.count_lost(), 1);
    assert!(import.text().contains("# - line 1: ${RACK_ENV:-development}\n"), "{}", import.text());
}

/// To which no preset can add anything.
#[test]
fn a_server_that_a_shell_has_to_run_stays_as_it_is() {
    let text = "[program:a]\ncommand=%(ENV_HOME)s/bin/uvicorn a:b --port 8000 --workers 3\n";
    let import = of(Kind::Supervisord, text);
    let files = import.files();
    let toml = settings(file(&files, "/etc/herder/a.toml"));
    let script = toml.command[2].to_string();
    assert!(script.ends_with("/bin/uvicorn a:b --port 8000 --workers 3"), "{script}");
    assert_eq!((toml.policy.workers, toml.sockets, toml.preset), (1, Some(vec![]), None));
    assert!(import.text().contains("It opens its own port as before."), "{}", import.text());
}

#[test]
fn the_signal_of_a_preset_is_not_replaced() {
    let text = "[program:a]\ncommand=gunicorn -b :80 x\nstopsignal=QUIT\n";
    let files = of(Kind::Supervisord, text).files();
    let toml = file(&files, "/etc/herder/a.toml");
    assert!(toml.contains("\n#stop-signal = \"QUIT\"\n"), "{toml}");
    assert_eq!(settings(toml).stop_signal, 15);
}

/// pm2 looks there, too.
#[test]
fn a_script_that_is_a_known_program_is_in_path() {
    let files =
        of(Kind::Pm2, "{\"name\": \"a\", \"script\": \"npm\", \"args\": \"start\"}").files();
    let toml = settings(file(&files, "/etc/herder/a.toml"));
    assert_eq!(toml.command[0].to_string(), "npm");
}

/// pm2 goes on when it has waited in vain, herder does not.
#[test]
fn a_time_after_which_pm2_goes_on_is_no_limit() {
    let import = of(Kind::Pm2, "{\"script\": \"x\", \"listen_timeout\": 3000}");
    assert_eq!(import.count_lost(), 1, "{}", import.text());
    assert!(!import.text().contains("\nstart-timeout"), "{}", import.text());
}

#[test]
fn a_stock_pool_of_debians() {
    let files = of(Kind::PhpFpm, FIXTURES[0].2).files();
    let toml = settings(file(&files, "/etc/herder/www.toml"));
    let command: Vec<_> = toml.command.iter().map(ToString::to_string).collect();
    assert_eq!(command, ["php-cgi"]);
    let policy = &toml.policy;
    assert_eq!((policy.workers, policy.most_workers(), policy.scaling.is_some()), (1, 5, true));
    assert_eq!(toml.stdin, herder_config::Stdin::Socket);
    assert!(toml.policy.success.codes.contains(&0));
    assert_eq!(toml.environment["PHP_FCGI_MAX_REQUESTS"].to_string(), "0");
    let socket = file(&files, "/etc/systemd/system/herder@www.socket.d/listen.conf");
    for line in ["ListenStream=/run/php/php8.2-fpm.sock", "SocketUser=www-data", "SocketMode=0660"]
    {
        assert!(socket.contains(&format!("{line}\n")), "{socket}");
    }
    let service = file(&files, "/etc/systemd/system/herder@www.service.d/service.conf");
    assert!(
        service.contains("User=www-data\n") && service.contains("Group=www-data\n"),
        "{service}"
    );
}

#[test]
fn a_pool_that_grows_and_shrinks_has_bounds() {
    for (pool, workers, idle) in [
        ("pm = static\npm.max_children = 8\npm.min_spare_servers = 2", "8", None),
        ("pm = dynamic\npm.min_spare_servers = 3\npm.max_children = 8", "3..8", None),
        ("pm = dynamic\npm.max_children = 8\npm.process_idle_timeout = 9s", "1..8", None),
        ("pm = ondemand\npm.max_children = 8", "0..8", None),
        ("pm = ondemand\npm.max_children = 8\npm.process_idle_timeout = 2m", "0..8", Some(120)),
        ("pm = ondemand\npm.max_children = 8\npm.process_idle_timeout = 9", "0..8", Some(9)),
    ] {
        let import = of(Kind::PhpFpm, &format!("[www]\nlisten = 9000\n{pool}\n"));
        assert_eq!(import.count_lost(), 0, "{}", import.text());
        let settings = settings(file(&import.files(), "/etc/herder/www.toml"));
        let (policy, is_fixed) = (&settings.policy, settings.policy.scaling.is_none());
        let written = match is_fixed {
            true => policy.workers.to_string(),
            false => format!("{}..{}", policy.workers, policy.most_workers()),
        };
        assert_eq!(
            (written.as_str(), settings.idle_timeout),
            (workers, idle.map(Span::secs)),
            "{pool}"
        );
    }
    for pool in [
        "pm = ondemand\npm.max_children = 8\npm.process_idle_timeout = soon",
        "pm = ondemand\npm.max_children = many\npm.process_idle_timeout = 9",
        "pm = dynamic\npm.min_spare_servers = 9\npm.max_children = 8",
    ] {
        let import = of(Kind::PhpFpm, &format!("[www]\nlisten = 9000\n{pool}\n"));
        files_are_right(&import);
        assert_eq!(import.count_lost(), 1, "{}", import.text());
    }
}

#[test]
fn what_a_worker_may_use_is_carried_over() {
    let text = "[global]\nrlimit_core = unlimited\n[www]\nlisten = 9000\nprocess.priority = 5\n\
                rlimit_files = 1000000\nrlimit_core = 0\n";
    let files = of(Kind::PhpFpm, text).files();
    let limits = settings(file(&files, "/etc/herder/www.toml")).limits;
    use herder_config::{Resource, ResourceLimit};
    let both = |number| ResourceLimit { soft: number, hard: number };
    assert_eq!(limits.nice, Some(5));
    // 0 is php-fpm's word for what was before.
    assert_eq!(
        limits.resources,
        [(Resource::Core, both(u64::MAX)), (Resource::Nofile, both(1_000_000))].into()
    );
    let service = file(&files, "/etc/systemd/system/herder@www.service.d/service.conf");
    assert!(service.contains("\nLimitNOFILE=1000000\n"), "{service}");

    let negative = "[www]\nlisten = 9000\nprocess.priority = -5\nrlimit_files = 9\n";
    let files = of(Kind::PhpFpm, negative).files();
    let service = file(&files, "/etc/systemd/system/herder@www.service.d/service.conf");
    assert!(service.contains("\nNice=-5\n") && !service.contains("LimitNOFILE"), "{service}");

    for (value, bytes) in
        [("\"300M\"", Some(300 << 20)), ("5000000", Some(5_000_000)), ("false", None)]
    {
        let import =
            of(Kind::Pm2, &format!("{{\"script\": \"x\", \"max_memory_restart\": {value}}}"));
        let policy = settings(file(&import.files(), "/etc/herder/x.toml")).policy;
        assert_eq!(policy.max_memory.map(|size| size.0), bytes, "{value}");
        assert_eq!(import.count_lost(), 0, "{}", import.text());
    }
    let import = of(Kind::Pm2, "{\"script\": \"x\", \"max_memory_restart\": \"300 MB\"}");
    assert_eq!(import.count_lost(), 1, "{}", import.text());
}

#[test]
fn names_are_kept_apart_and_prefixed() {
    let text = "[program:web]\ncommand=a\n[fcgi-program:web]\ncommand=b\nsocket=tcp://:80\n";
    let source = Source { name: "x", directory: None, text, prefix: "shop-" };
    let import = import(Kind::Supervisord, &source).unwrap();
    assert_eq!(import.names().collect::<Vec<_>>(), ["shop-web", "shop-web-2"]);
}

#[test]
fn what_cannot_be_imported_says_what_to_do() {
    for (kind, text, part) in [
        (Kind::PhpFpm, "[global]\ninclude = /etc/pool.d/*.conf\n", "/etc/pool.d/*.conf"),
        (Kind::PhpFpm, "", "[www]"),
        (Kind::Procfile, "# none\n", "web: bin/server"),
        (Kind::Supervisord, "[include]\nfiles = a\n", "[include]"),
        (Kind::Supervisord, "", "[program:x]"),
        (Kind::Pm2, "{ apps: [] } // js", "JSON.stringify"),
        (Kind::Pm2, "{\"apps\": []}", "no apps"),
        (Kind::Pm2, "{\"apps\": [{\n\"name\": \"x\"}]}", ":1: an app without a `script`"),
        (Kind::Pm2, "{\"apps\": [7]}", "has to be an object"),
        (Kind::Pm2, "7", "neither"),
        (Kind::Procfile, "web: \u{F0010}x\u{F0011}", "U+F0001"),
    ] {
        let why = import_text(kind, text).unwrap_err();
        assert!(why.starts_with("the file") && why.contains(part) && !why.contains('\n'), "{why}");
    }
}

/// Values that try to be more than values.
#[test]
fn nothing_escapes_from_where_it_is_put() {
    let evil = "x\\nExecStart=/bin/evil\\u0085[Service]\\r";
    let json = format!(
        "{{\"apps\": [{{\"name\": \"{evil}\", \"script\": \"{evil}\", \"user\": \"{evil}\", \"cwd\": \"/{evil}\", \"{evil}\": 1, \
         \"env\": {{\"A\": \"{evil}\", \"{evil}\": \"1\"}}, \"port\": \"{evil}\"}}]}}"
    );
    let import = of(Kind::Pm2, &json);
    files_are_right(&import);
    let told = import.text();
    assert!(
        !told.lines().any(|line| line.starts_with("ExecStart") || line.starts_with("[Service")),
        "{told}"
    );
    for value in [
        "user=b",
        "numprocs=1",
        "startsecs=1",
        "exitcodes=0",
        "stopsignal=TERM",
        "directory=/x",
        "umask=0",
    ] {
        let text = format!(
            "[program:a]\ncommand=x\n{value}\n  check = [\"evil\"]\n  ExecStart=/bin/evil\n"
        );
        let import = of(Kind::Supervisord, &text);
        files_are_right(&import);
        for file in import.files() {
            assert!(
                file.path.ends_with(".conf") || settings(&file.text).check.is_none(),
                "{}",
                file.text
            );
            assert!(!file.text.lines().any(|line| line.starts_with("ExecStart")), "{}", file.text);
        }
    }
}
