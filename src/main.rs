//! The `herder` program: parses the command line, hands over, and turns what comes back into an
//! exit status.

use clap::Parser;
use herder::cli::{self, Cli, Command, LogFormat, LogLevel, Run};
use herder::daemon::{self, Options};
use herder::error::Error;
use herder::log::{Format, Priority};
use herder::{check, ctl, demo};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Nobody can be told if this cannot be printed.
            let _ = answer.print();
            return ExitCode::from(cli::exit_status(&answer));
        }
    };
    match act(cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("herder: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

fn act(command: Command) -> Result<u8, Error> {
    match command {
        Command::Run(run) => daemon::run(options(run)),
        Command::Check(args) => {
            let settings = args.settings.overrides();
            print!("{}", check::check(&args.file, &settings, &daemon::machine())?);
            Ok(0)
        }
        Command::Reload(args) => {
            ctl::reload(args.instance.as_deref(), args.timeout.map(Into::into)).map(|()| 0)
        }
        Command::Status(args) => ctl::status(args.instance.as_deref(), args.json).map(|()| 0),
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
        log_level: match run.log_level {
            LogLevel::Error => Priority::Error,
            LogLevel::Warning => Priority::Warning,
            LogLevel::Notice => Priority::Notice,
            LogLevel::Info => Priority::Info,
            LogLevel::Debug => Priority::Debug,
        },
    }
}
