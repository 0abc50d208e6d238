//! The command line of `herder import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `herder import`
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the settings, and the drop-ins of systemd's units for the sockets and for users and limits, of each \
program, pool, app or process type. What could not be carried over stands in their comments, with the reason \
and what to do. Settings that are programs (config/puma.rb, gunicorn.conf.py) cannot be read; the tables of \
herder-migrate(7) have their words.

Exit status: 0 done, 1 it cannot be read, understood or written, 64 wrong command line

Examples:
  herder import /etc/php/8.2/fpm/pool.d/www.conf
  herder import --output / --prefix shop- /srv/shop/Procfile
  node -p 'JSON.stringify(require(\"./ecosystem.config.js\"))' | herder import --from pm2 -

Manual: herder-import(1), herder-migrate(7)")]
pub struct Import {
    /// The file to read; `-` is standard input
    pub file: PathBuf,
    /// What the file is [default: as its name or its content says]
    #[arg(long, value_enum, value_name = "KIND")]
    pub from: Option<ImportFrom>,
    /// Write the files below this directory, such as `/`, instead of printing; nothing is overwritten
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// What comes before the name of each instance, such as `shop-`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Where relative paths start from [default: where the file is]
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// `--from`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportFrom {
    /// A pool of php-fpm
    PhpFpm,
    /// A Procfile, as Heroku, foreman and honcho have it
    Procfile,
    /// pm2's ecosystem file, as JSON
    Pm2,
    /// supervisord.conf, or a file it includes
    Supervisord,
}
