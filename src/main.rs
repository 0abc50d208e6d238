//! The `herder` program: parses the command line, hands over, and turns what comes back into an
//! exit status.

use clap::Parser;
use herder::cli::{self, Cli, Command, LogFormat, MetricsFormat, Run};
use herder::cli::{ImportFrom, Recycle, Reload, Scale, StopWorker};
use herder::daemon::{self, Options};
use herder::log::Format;
use herder::{check, complete, demo, migrate, presets};
use herder_ctl::{self as ctl, diagnostics};
use herder_import::Kind;
use herder_linux::error::Error;
use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;

/// A bug in herder (EX_SOFTWARE of sysexits.h).
const BUG: i32 = 70;

fn main() -> ExitCode {
    exit_with_70_on_panic();
    if let Some(answered) = complete::answer() {
        return match answered {
            Ok(()) => ExitCode::SUCCESS,
            // The shell that asked shows no messages: it offers nothing.
            Err(_) => ExitCode::FAILURE,
        };
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Nobody can be told if this cannot be printed.
            let _ = answer.print();
            return ExitCode::from(cli::exit_status(&answer));
        }
    };
    if !matches!(cli.command, Command::Run(_) | Command::DemoWorker) {
        diagnostics::start();
    }
    match act(cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            diagnostics::error(&error);
            ExitCode::from(error.exit_status())
        }
    }
}

/// A panic is a bug, and says so in the exit status; the default is an abort, which looks like a
/// crash of something else. Does not unwind, and does not panic again when nobody reads stderr.
fn exit_with_70_on_panic() {
    panic::set_hook(Box::new(|panic| {
        let _ = writeln!(io::stderr(), "herder: this is a bug, please report it: {panic}");
        std::process::exit(BUG);
    }));
}

fn act(command: Command) -> Result<u8, Error> {
    match command {
        Command::Run(run) => daemon::run(options(run)),
        Command::Check(args) => {
            let settings = args.settings.overrides();
            let report = check::check(&args.file, &settings, &daemon::machine())?;
            // Whoever does not read to the end has seen enough.
            let _ = io::stdout().write_all(report.as_bytes());
            Ok(0)
        }
        Command::Presets(args) => {
            let text = presets::presets(args.preset.as_deref())?;
            let _ = io::stdout().write_all(text.as_bytes());
            Ok(0)
        }
        Command::Import(args) => {
            let options = migrate::Options {
                kind: args.from.map(kind),
                output: args.output,
                prefix: args.prefix,
                directory: args.directory,
            };
            let report = migrate::run(&args.file, &options)?;
            let _ = io::stdout().write_all(report.as_bytes());
            Ok(0)
        }
        Command::Status(args) => ctl::status(args.instance.as_deref(), args.json).map(|()| 0),
        Command::Health(args) => ctl::health(args.instance.as_deref()),
        Command::Events(args) => ctl::events(args.instance.as_deref(), args.json).map(|()| 0),
        Command::Reload(Reload { instance, previous, abort, wait }) => {
            let (instance, timeout) = (instance.as_deref(), wait.timeout.map(Into::into));
            match abort {
                true => ctl::abort_reload(instance, timeout),
                false => ctl::reload(instance, previous, timeout),
            }
            .map(|()| 0)
        }
        Command::Scale(Scale { instance, workers, wait }) => {
            ctl::scale(&instance, workers, wait.timeout.map(Into::into)).map(|()| 0)
        }
        Command::Recycle(Recycle { instance, slot, wait }) => {
            ctl::recycle(instance.as_deref(), slot, wait.timeout.map(Into::into)).map(|()| 0)
        }
        Command::StopWorker(StopWorker { instance, worker, wait }) => {
            ctl::stop_worker(&instance, worker, wait.timeout.map(Into::into)).map(|()| 0)
        }
        Command::Set(args) => ctl::set(&args.instance, args.settings).map(|()| 0),
        Command::LogLevel(args) => ctl::log_level(&args.instance, args.level).map(|()| 0),
        Command::Metrics(args) if args.serve => {
            ctl::serve(args.instance.as_deref(), &args.listen).map(|()| 0)
        }
        Command::Metrics(args) => {
            let format = match args.format {
                Some(MetricsFormat::Openmetrics) => ctl::Format::OpenMetrics,
                Some(MetricsFormat::Prometheus) => ctl::Format::Prometheus,
                // What reads files knows no other.
                None if args.output.is_some() => ctl::Format::Prometheus,
                None => ctl::Format::OpenMetrics,
            };
            ctl::metrics(args.instance.as_deref(), format, args.output.as_deref()).map(|()| 0)
        }
        Command::Top(args) => ctl::top(args.instance.as_deref(), args.interval.into()).map(|()| 0),
        Command::DemoWorker => demo::run().map(|()| 0),
    }
}

fn options(run: Run) -> Options {
    Options {
        overrides: run.settings.overrides(),
        file: run.file,
        name: run.name,
        log_format: match run.log_format {
            LogFormat::Auto => Format::Auto,
            LogFormat::Journal => Format::Journal,
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        },
        log_level: run.log_level,
    }
}

fn kind(from: ImportFrom) -> Kind {
    match from {
        ImportFrom::PhpFpm => Kind::PhpFpm,
        ImportFrom::Procfile => Kind::Procfile,
        ImportFrom::Pm2 => Kind::Pm2,
        ImportFrom::Supervisord => Kind::Supervisord,
    }
}
