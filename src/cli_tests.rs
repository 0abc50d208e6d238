//! What the command line takes, and what its help says.

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn run_takes_a_file_options_and_a_command() {
    let line = "herder run web.toml -n shop -l 80 --listen a=@b -w auto -s x=1 --log-format json -- /bin/x -w {fd}";
    let Ok(Command::Run(run)) = parse(line) else { panic!() };
    assert_eq!(run.file, Some("web.toml".into()));
    assert_eq!((run.name.as_deref(), run.log_format), (Some("shop"), Format::Json));
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        run.settings.overrides(),
        Overrides {
            listen: texts(&["80", "a=@b"]),
            workers: Some("auto".into()),
            set: texts(&["x=1"]),
            command: texts(&["/bin/x", "-w", "{fd}"]),
        }
    );
}

#[test]
fn a_file_and_a_command_are_told_apart() {
    let Ok(Command::Run(run)) = parse("herder run -- /bin/x y") else { panic!() };
    assert_eq!((run.file, run.settings.command), (None, vec!["/bin/x".to_owned(), "y".into()]));
}

#[test]
fn clients_take_an_instance() {
    let Ok(Command::Reload(reload)) = parse("herder reload web --timeout 90") else { panic!() };
    assert_eq!(
        (reload.instance.as_deref(), reload.wait.timeout),
        (Some("web"), Some(Duration::from_secs(90)))
    );
    let Ok(Command::Status(status)) = parse("herder status --json") else { panic!() };
    assert!(status.json && status.instance.is_none());
    let Ok(Command::Scale(scale)) = parse("herder scale web 4") else { panic!() };
    assert_eq!((scale.instance.as_str(), scale.workers), ("web", 4));
    let Ok(Command::Recycle(recycle)) = parse("herder recycle --slot 0") else { panic!() };
    assert_eq!((recycle.instance, recycle.slot), (None, Some(0)));
    let Ok(Command::Top(top)) = parse("herder top -d 500ms") else { panic!() };
    assert_eq!((top.instance, top.interval), (None, Duration::from_millis(500)));
    assert!(matches!(parse("herder demo-worker"), Ok(Command::DemoWorker)));
}

#[test]
fn import_takes_a_file_and_what_it_is() {
    let Ok(Command::Import(import)) = parse("herder import --from pm2 --prefix a- -") else {
        panic!()
    };
    assert_eq!((import.file, import.from), ("-".into(), Some(ImportFrom::Pm2)));
    assert_eq!((import.prefix.as_str(), import.output), ("a-", None));
}

#[test]
fn mistakes_are_usage_errors_and_help_is_none() {
    for (line, status) in [
        ("herder", 64),
        ("herder rum", 64),
        ("herder run --no-such-option", 64),
        ("herder check", 64),
        ("herder import", 64),
        ("herder import --from upstart x", 64),
        ("herder reload --timeout soon", 64),
        ("herder run a b", 64),
        ("herder scale 4", 64),
        ("herder scale web +1", 64),
        ("herder scale web -1", 64),
        ("herder scale web 10001", 64),
        ("herder reload --abort --previous", 64),
        ("herder log-level web loud", 64),
        ("herder stop-worker web", 64),
        ("herder --help", 0),
        ("herder run --help", 0),
        ("herder --version", 0),
    ] {
        assert_eq!(exit_status(&parse(line).unwrap_err()), status, "{line}");
    }
}

#[test]
fn every_exit_status_and_placeholder_is_in_the_help() {
    let help = Cli::command().render_long_help().to_string();
    for status in ["0 ", "64 ", "69 ", "70 ", "71 ", "75 ", "78 ", "1 ", "3 ", "4 "] {
        assert!(help.contains(&format!(" {status}")), "{status}");
    }
    for placeholder in ["slot", "worker", "generation", "fd", "host", "port", "addr", "path"] {
        assert!(RUN_HELP.contains(&format!("{{{placeholder}}}")), "{placeholder}");
        assert!(herder_config::Template::parse(&format!("{{{placeholder}}}")).is_ok());
    }
}
