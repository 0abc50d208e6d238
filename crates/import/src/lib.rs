//! `herder import`: turns the files of other process managers into settings of herder and drop-ins of systemd.
//!
//! Pure: a text in, files' names and texts out; `migrate` reads and writes them. Only files that are
//! data are read here; a settings file that is a program (Ruby, Python, JavaScript) is covered by the tables
//! of herder-migrate(7). The rule that all formats keep is that nothing is left out silently: each setting
//! is *carried* over, *needless* now, or *lost*, with the reason and what to do; an unknown one is lost, too.
//!
//! Each format has a file with what is known of it as data ([`known`]) and what becomes of that. They fill in
//! an [`instance`], which is checked by herder's own reader of settings, and `render` writes it out. How a
//! server takes its socket is in `server`.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod ini;
mod instance;
mod json;
mod known;
mod notes;
mod percent;
mod php_fpm;
mod pm2;
mod procfile;
mod recognise;
mod render;
mod server;
mod supervisord;
#[cfg(test)]
mod tests;
mod words;

use self::instance::Instance;
use self::notes::{Notes, Origin};

pub use recognise::recognise;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pool of php-fpm.
    PhpFpm,
    /// A Procfile, as Heroku, foreman and honcho have it.
    Procfile,
    /// pm2's ecosystem file, in JSON.
    Pm2,
    /// supervisord.conf, or a file it includes.
    Supervisord,
}

/// What is imported.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file, as it is shown.
    pub name: &'a str,
    /// The directory that relative paths in it start from, absolute, if it is known.
    pub directory: Option<&'a str>,
    /// What is in it.
    pub text: &'a str,
    /// What comes before the name of each instance.
    pub prefix: &'a str,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Import {
    source: String,
    prefix: String,
    instances: Vec<Instance>,
    /// What is about the file as a whole.
    notes: Notes,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its absolute path.
    pub path: String,
    /// What is in it.
    pub text: String,
    /// It may hold secrets: the environment of workers.
    pub private: bool,
}

/// Reads a file of that kind; an error is one line.
pub fn import(kind: Kind, source: &Source<'_>) -> Result<Import, String> {
    if words::Mark::is_in(source.text) {
        return Err(format!("{}: it has characters for private use, such as U+F0001", source.name));
    }
    match kind {
        Kind::PhpFpm => php_fpm::import(source),
        Kind::Procfile => procfile::import(source),
        Kind::Pm2 => pm2::import(source),
        Kind::Supervisord => supervisord::import(source),
    }
}

/// The settings that are known of a kind, as their manual spells them.
pub fn known_names(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::PhpFpm => known::php_fpm::names().collect(),
        Kind::Procfile => Vec::new(),
        Kind::Pm2 => known::pm2::names().collect(),
        Kind::Supervisord => known::supervisord::names().collect(),
    }
}

const NO_USER: &str = "No user is named: it runs as one of its own, which owns no files and reads only what every user may. \
                       User= in a drop-in of the service names another.";
const UNKNOWN: &str =
    "it is not known; look it up, and say it in herder's words if it still matters";

impl Import {
    fn of(source: &Source<'_>) -> Import {
        Import {
            source: source.name.to_owned(),
            prefix: source.prefix.to_owned(),
            instances: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// Adds an instance, under a name that no other has.
    fn add(&mut self, mut instance: Instance) {
        let wanted = instance::instance_name(&format!("{}{}", self.prefix, instance.name));
        let taken = |name: &String| self.instances.iter().any(|known| known.name == *name);
        let names = std::iter::once(wanted.clone()).chain((2..).map(|n| format!("{wanted}-{n}")));
        if !instance.service.iter().any(|line| line.key == "User") {
            instance.advise(NO_USER);
        }
        instance.check_preset(&render::settings(&instance));
        instance.name = names.into_iter().find(|name| !taken(name)).unwrap_or(wanted);
        self.instances.push(instance);
    }

    fn lose(&mut self, origin: &Origin, why: impl Into<String>) {
        self.notes.lose(origin, why);
    }

    fn unknown(&mut self, origin: &Origin) {
        self.lose(origin, UNKNOWN);
    }

    fn strange(&mut self, line: usize, text: &str) {
        let origin = Origin { text: text.to_owned(), name: text.to_owned(), line };
        self.lose(&origin, "this line is no setting");
    }

    fn need_not(&mut self, origin: &Origin, why: &str) {
        self.notes.need_not(origin, why);
    }

    fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// The names of the instances.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.instances.iter().map(|instance| instance.name.as_str())
    }

    /// How many settings could not be carried over.
    pub fn count_lost(&self) -> usize {
        let of_instances = self.instances.iter().map(|instance| instance.notes.count_lost());
        self.notes.count_lost() + of_instances.sum::<usize>()
    }

    /// What is to be known of the file as a whole, and what to do next, as comments.
    pub fn preamble(&self) -> String {
        render::preamble(self)
    }

    /// The files, each instance's together.
    pub fn files(&self) -> Vec<File> {
        self.instances.iter().flat_map(render::files).collect()
    }

    /// Everything, to be read.
    pub fn text(&self) -> String {
        render::everything(self)
    }
}
