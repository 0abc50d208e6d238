//! Presets as a user meets them: a few lines of settings, and what comes of them.

use super::super::{
    KEYS, Machine, Overrides, Place, Problem, Settings, Template, effective, key, load,
};
use super::*;

const MACHINE: Machine = Machine { cpus: 3, web_concurrency: None };

fn read(text: &str) -> Result<Settings, Vec<String>> {
    load(Some(("web.toml", text)), &Overrides::default(), &MACHINE)
        .map_err(|problems| problems.0.iter().map(Problem::to_string).collect())
}

fn with(preset: &str, command: &[&str]) -> Result<Settings, Vec<String>> {
    read(&format!("preset = \"{preset}\"\ncommand = {command:?}\n"))
}

fn argv(settings: &Settings) -> String {
    settings.command.iter().map(Template::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_preset_is_made_of_settings_templates_and_sentences() {
    for preset in PRESETS {
        assert_eq!(find(preset.name), Ok(preset));
        assert!(!preset.about.ends_with('.') && !preset.notes.is_empty(), "{}", preset.name);
        assert!(preset.notes.iter().all(|note| note.ends_with('.')), "{:?}", preset.notes);
        for setting in preset.settings {
            let name =
                setting.key.split_once("environment.").map_or(setting.key, |_| "environment");
            assert!(key(name).is_some_and(|key| key.name != "preset"), "{}", setting.key);
            assert!(!setting.reason.is_empty() && !setting.reason.ends_with('.'));
        }
        assert_eq!(preset.entries().is_empty(), preset.settings.is_empty());
        for word in preset.arguments.iter().flat_map(|argument| argument.words) {
            let template = Template::parse(word).unwrap();
            assert_eq!(template.to_string(), *word);
        }
        // What is added is neither refused nor added again.
        let example = read(&preset.settings_file()).unwrap();
        let origin = Place::Preset(preset.name);
        let set = effective(&example).iter().filter(|line| line.origin == Some(&origin)).count();
        let overridden = preset.settings.iter().filter(|setting| setting.key == "command").count();
        assert!(set + overridden >= preset.settings.len(), "{}", preset.name);
        let words: Vec<_> = example.command.iter().map(Template::to_string).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let again = with(preset.name, &words).unwrap();
        assert_eq!((&again.command, again.added.len()), (&example.command, 0), "{}", preset.name);
    }
}

#[test]
fn names_that_are_no_presets_are_explained() {
    for name in IMPOSSIBLE.iter().map(|server| server.name).chain(DESCRIBED) {
        assert!(PRESETS.iter().all(|preset| preset.name != name));
        let told = with(name, &["run"]).unwrap_err();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("web.toml:1:10: `preset`: "), "{told:?}");
    }
}

#[test]
fn arguments_are_added_behind_the_server_wherever_it_stands() {
    let uvicorn = "--fd {fd} --workers 1 --backlog {backlog}";
    let puma = "--bind-to-activated-sockets only -w 0";
    for (preset, command, expected) in [
        ("uvicorn", "uvicorn a:b", format!("uvicorn {uvicorn} a:b")),
        ("uvicorn", "/v/bin/uvicorn a:b", format!("/v/bin/uvicorn {uvicorn} a:b")),
        ("uvicorn", "python3.11 -m uvicorn a:b", format!("python3.11 -m uvicorn {uvicorn} a:b")),
        (
            "uvicorn",
            "/v/bin/python a:b --factory",
            format!("/v/bin/python /usr/lib/herder/uvicorn {uvicorn} a:b --factory"),
        ),
        (
            "uvicorn",
            "nice -n 5 python -X dev -W error a:b",
            format!("nice -n 5 python -X dev -W error /usr/lib/herder/uvicorn {uvicorn} a:b"),
        ),
        // Directories may be called like the server.
        (
            "uvicorn",
            "/srv/uvicorn/bin/python --app-dir /srv/uvicorn a:b",
            format!("/srv/uvicorn/bin/python /usr/lib/herder/uvicorn {uvicorn} --app-dir /srv/uvicorn a:b"),
        ),
        (
            "uvicorn",
            "env PYTHONPATH=/srv/uvicorn uvicorn a:b",
            format!("env PYTHONPATH=/srv/uvicorn uvicorn {uvicorn} a:b"),
        ),
        (
            "uvicorn",
            "uv run --directory /srv/uvicorn uvicorn --app-dir /uvicorn a:b",
            format!("uv run --directory /srv/uvicorn uvicorn {uvicorn} --app-dir /uvicorn a:b"),
        ),
        ("uvicorn", "setsid --wait uvicorn a:b", format!("setsid --wait uvicorn {uvicorn} a:b")),
        ("uvicorn", "python -Im uvicorn a:b", format!("python -Im uvicorn {uvicorn} a:b")),
        (
            "uvicorn",
            "pypy3 -O -u --log-config=/etc/x a:b",
            format!("pypy3 -O -u /usr/lib/herder/uvicorn {uvicorn} --log-config=/etc/x a:b"),
        ),
        (
            "uvicorn",
            "python ./adapters/uvicorn a:b",
            format!("python ./adapters/uvicorn {uvicorn} a:b"),
        ),
        (
            "hypercorn",
            "hypercorn a:b",
            "hypercorn -b fd://{fd} -w 0 --backlog {backlog} --graceful-timeout 86400 a:b".into(),
        ),
        (
            "hypercorn",
            "python a:b",
            "python /usr/lib/herder/hypercorn -b fd://{fd} -w 0 --backlog {backlog} --graceful-timeout 86400 a:b"
                .into(),
        ),
        (
            "gunicorn",
            "nice -n 5 v/bin/gunicorn a:b",
            "nice -n 5 v/bin/gunicorn -w 1 --backlog {backlog} --graceful-timeout 86400 a:b".into(),
        ),
        (
            "waitress",
            "v/bin/python --threads=8 a:b",
            "v/bin/python /usr/lib/herder/waitress --backlog {backlog} --threads=8 a:b".into(),
        ),
        (
            "uwsgi",
            "uwsgi app.ini",
            "uwsgi --master --hook-master-start unix_signal:15 gracefully_kill_them_all --need-app app.ini"
                .into(),
        ),
        ("puma", "bundle exec puma", format!("bundle exec puma {puma}")),
        ("puma", "ruby /usr/bin/puma -C c.rb", format!("ruby /usr/bin/puma {puma} -C c.rb")),
        ("unicorn", "unicorn config.ru", "unicorn config.ru".into()),
        ("node", "node app.js", "node -r /usr/lib/herder/node.js app.js".into()),
        (
            "node",
            "/usr/bin/nodejs -r dotenv/config app.js",
            "/usr/bin/nodejs -r /usr/lib/herder/node.js -r dotenv/config app.js".into(),
        ),
        ("php-cgi", "/usr/bin/php-cgi8.2 -d x=1", "/usr/bin/php-cgi8.2 -d x=1".into()),
        ("php-fpm", "php-fpm8.2 -y c", "php-fpm8.2 --nodaemonize -y c".into()),
        ("go", "/srv/server --fast", "/srv/server --fast".into()),
        ("starman", "starman app.psgi", "starman --workers 1 -I /usr/lib/herder/ -M HerderStarman app.psgi".into()),
    ] {
        let words: Vec<_> = command.split(' ').collect();
        let settings = with(preset, &words).unwrap_or_else(|told| panic!("{command}: {told:?}"));
        assert_eq!(argv(&settings), expected);
        let words = settings.added.iter().map(|added| added.words.len()).sum::<usize>();
        assert_eq!(settings.command.len(), command.split(' ').count() + words, "{command}");
    }
}

#[test]
fn what_is_there_in_any_spelling_is_not_added() {
    for (preset, command) in [
        ("uvicorn", "uvicorn --fd=4 --workers=1 --backlog=9 a:b"),
        ("uvicorn", "uvicorn a:b --fd 4 --workers 1 --backlog 9"),
        ("hypercorn", "hypercorn -b fd://3 -w0 --backlog 9 --graceful-timeout 9 a:b"),
        ("hypercorn", "hypercorn -bfd://{fd} -w0 --backlog 9 --graceful-timeout 9 a:b"),
        (
            "hypercorn",
            "hypercorn --bind=fd://{fd} --workers=0 --backlog 9 --graceful-timeout 9 a:b",
        ),
        ("gunicorn", "gunicorn --workers 8 --preload --backlog 9 --graceful-timeout=9 a:b"),
        ("gunicorn", "gunicorn -w8 --backlog 9 --graceful-timeout=9 a:b"),
        ("waitress", "python /usr/lib/herder/waitress --backlog=9 a:b"),
        ("puma", "puma --bind-to-activated-sockets -w 2"),
        ("node", "node --require=/x -r /usr/lib/herder/node.js a.js"),
        ("php-fpm", "php-fpm -F"),
    ] {
        let words: Vec<_> = command.split(' ').collect();
        let settings = with(preset, &words).unwrap_or_else(|told| panic!("{command}: {told:?}"));
        assert_eq!((argv(&settings).as_str(), settings.added), (command, vec![]));
    }
}

#[test]
fn contradictions_are_told_with_what_to_do() {
    for (preset, command, parts) in [
        ("uvicorn", "uvicorn --workers 4 a:b", ["`--workers` has uvicorn manage", "set `workers`"]),
        ("uvicorn", "uvicorn a:b --port=80", ["`--port=80` says where", "ListenStream="]),
        ("uvicorn", "uvicorn a:b --reload", ["`--reload` runs", "`herder reload`"]),
        ("hypercorn", "hypercorn -w 4 a:b", ["`-w` has hypercorn manage", "set `workers`"]),
        ("hypercorn", "hypercorn -b :80 a:b", ["`-b` says where", "ListenStream="]),
        ("gunicorn", "gunicorn -b fd://3 a:b", ["`-b` is not heeded", "ListenStream="]),
        ("gunicorn", "gunicorn -b127.1:80 a:b", ["`-b127.1:80` is not heeded", "ListenStream="]),
        ("gunicorn", "gunicorn a:b --daemon", ["makes the server leave", "remove it"]),
        ("waitress", "python --port=80 a:b", ["`--port=80` says where", "ListenStream="]),
        (
            "waitress",
            "/v/bin/waitress-serve a:b",
            [
                "`/v/bin/waitress-serve` cannot serve a socket",
                "[\"/v/bin/python3\", \"MODULE:APPLICATION\"]",
            ],
        ),
        (
            "waitress",
            "/v/bin/python -m waitress a:b",
            ["`waitress` cannot serve a socket", "[\"/v/bin/python\", \"MODULE:APPLICATION\"]"],
        ),
        ("waitress", "python serve.py", ["does not run `waitress`", "or a Python and the appl"]),
        ("uwsgi", "uwsgi --http :80", ["`--http` says where", "--protocol http"]),
        ("puma", "puma -p 80", ["`-p` says where", "ListenStream="]),
        ("puma", "rails server", ["does not run `puma`", "herder presets puma"]),
        ("unicorn", "unicorn -D", ["makes the server leave", "remove it"]),
        ("node", "node --watch app.js", ["`--watch` runs the program", "`herder reload`"]),
        ("node", "npm start", ["without the socket", "herder presets node"]),
        ("node", "sh -c node", ["is about that; a shell", "herder presets node"]),
        ("php-cgi", "php-cgi -b 9000", ["`-b` says where", "ListenStream="]),
        ("starman", "starman --listen :80", ["`--listen` says where", "ListenStream="]),
    ] {
        // `sh -c "node app.js"`, a word of its own.
        let command = command.replace("-c node", "-c node_app");
        let words: Vec<_> = command.split(' ').collect();
        let told = with(preset, &words).unwrap_err();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("web.toml:2:1: `command`"), "{told:?}");
        assert!(parts.iter().all(|part| told[0].contains(part)), "{command}: {told:?}");
    }
}

/// What node runs may have an option of the same name.
#[test]
fn options_of_a_program_that_is_run_are_its_own() {
    let read = with("node", &["node", "app.js", "--watch", "-r", "x"]).unwrap();
    assert_eq!(argv(&read), "node -r /usr/lib/herder/node.js app.js --watch -r x");
}

#[test]
fn the_file_wins_over_the_preset_and_the_command_line_over_both() {
    let text = "preset = \"puma\"\ncommand = [\"puma\"]\nmax-starting = 9\n\
                environment.RAILS_ENV = \"production\"\nsuccess-exit-status = [3]\n";
    let settings = read(text).unwrap();
    assert_eq!(settings.policy.max_starting, Some(9));
    assert_eq!(settings.policy.success.codes.iter().collect::<Vec<_>>(), [&3]);
    assert!(settings.policy.success.signals.is_empty(), "a list is replaced as a whole");
    assert!(matches!(settings.origins["max-starting"], Place::File { line: 3, .. }));

    let overrides = Overrides {
        set: vec!["preset=php-fpm".into(), "environment.A=1".into()],
        command: vec!["php-fpm".into()],
        ..Overrides::default()
    };
    let settings = load(Some(("web.toml", text)), &overrides, &MACHINE).unwrap();
    assert_eq!(argv(&settings), "php-fpm --nodaemonize");
    assert_eq!(settings.stop_signal, 3);
    assert_eq!(settings.origins["stop-signal"].to_string(), "preset php-fpm");
    assert_eq!(settings.origins["preset"].to_string(), "command line, --set preset");
    let names: Vec<_> = settings.environment.keys().map(String::as_str).collect();
    assert_eq!(names, ["A", "FPM_SOCKETS", "RAILS_ENV"], "a table is merged");
}

#[test]
fn slow_starters_start_as_many_at_once_as_there_are_cpus() {
    let starting = |cpus| {
        let machine = Machine { cpus, web_concurrency: None };
        let text = "preset = \"uvicorn\"\ncommand = [\"uvicorn\", \"a:b\"]\n";
        load(Some(("web.toml", text)), &Overrides::default(), &machine)
            .map(|settings| settings.policy.max_starting)
    };
    assert_eq!((starting(1), starting(8)), (Ok(Some(2)), Ok(Some(8))));
    let go = with("go", &["/srv/server"]).unwrap();
    assert_eq!(go.policy.max_starting, None);
}

#[test]
fn a_preset_wants_a_command_and_a_socket() {
    let told = read("preset = \"uvicorn\"").unwrap_err();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("no `command` that runs it; write one, as `herder presets uvicorn`"));
    assert_eq!(argv(&read("preset = \"php-cgi\"").unwrap()), "php-cgi");
    let told = read("preset = \"php-cgi\"\nsockets = []").unwrap_err();
    assert!(told.iter().any(|line| line.contains("`sockets` says that it gets no socket")));
    // A command that is wrong in itself is told once.
    assert_eq!(read("preset = \"uvicorn\"\ncommand = \"uvicorn a:b\"").unwrap_err().len(), 1);
}

#[test]
fn the_placeholder_for_the_backlog_is_one_like_the_others() {
    assert!(KEYS.iter().any(|key| key.name == "preset"));
    assert_eq!(Template::parse("{backlog:web}").unwrap().to_string(), "{backlog:web}");
}
