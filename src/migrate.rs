//! `herder import`: reads another manager's file, and prints or writes what [`herder_import`] makes of it.
//!
//! Nothing is ever overwritten, and nothing is written unless all of it can be: an import must not
//! damage the settings of a machine that is in service.

use herder_import::{File, Import, Kind, Source, import, recognise};
use herder_linux::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The largest file that is read: settings files are much smaller.
const LARGEST: u64 = 4 << 20;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The kind of the file; recognised by its name and content if `None`.
    pub kind: Option<Kind>,
    /// Where to write, instead of printing.
    pub output: Option<PathBuf>,
    /// What comes before each instance's name.
    pub prefix: String,
    /// Where relative paths start from; else where the file is.
    pub directory: Option<PathBuf>,
}

/// Imports a file, or standard input for `-`, and returns what is to be printed.
pub fn run(file: &Path, options: &Options) -> Result<String, Error> {
    let name = file.display().to_string();
    let (text, mode) =
        read(file).map_err(|why| Error::Failed(format!("cannot read {name}: {why}")))?;
    let kind = options.kind.map_or_else(|| recognise(&name, &text), Ok).map_err(Error::Failed)?;
    let directory = directory_of(file, options.directory.as_deref());
    let source = Source {
        name: if name == "-" { "standard input" } else { &name },
        directory: directory.as_deref().and_then(Path::to_str),
        text: &text,
        prefix: &options.prefix,
    };
    let imported = import(kind, &source).map_err(Error::Failed)?;
    match &options.output {
        None => Ok(imported.text()),
        Some(output) => write(&imported, output, mode),
    }
}

/// The text, and the permissions of the file.
fn read(file: &Path) -> io::Result<(String, u32)> {
    let (bytes, mode) = if file == Path::new("-") {
        (bounded(io::stdin())?, 0o600)
    } else {
        let file = fs::File::open(file)?;
        let mode = file.metadata()?.permissions().mode();
        (bounded(file)?, mode)
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
    Ok((text, mode))
}

fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(io::Error::new(ErrorKind::InvalidData, "it is too large for a settings file")),
        false => Ok(bytes),
    }
}

/// An absolute path, links in it as they are: a link to the current release is to stay one.
fn directory_of(file: &Path, told: Option<&Path>) -> Option<PathBuf> {
    let there = match told {
        Some(told) => told,
        None if file == Path::new("-") => return None,
        None => file.parent()?,
    };
    std::path::absolute(if there == Path::new("") { Path::new(".") } else { there }).ok()
}

/// Writes all files below a directory, or none, and tells which.
fn write(imported: &Import, output: &Path, mode: u32) -> Result<String, Error> {
    let below = |file: &File| output.join(file.path.trim_start_matches('/'));
    let files: Vec<(PathBuf, File)> =
        imported.files().into_iter().map(|file| (below(&file), file)).collect();
    let taken: Vec<_> = files
        .iter()
        .filter(|(path, _)| path.symlink_metadata().is_ok())
        .map(|(path, _)| path.display().to_string())
        .collect();
    if !taken.is_empty() {
        return Err(Error::Failed(format!(
            "nothing is written, because of what is there already: {}; move it away, or write to another directory with \
             --output",
            taken.join(", ")
        )));
    }
    let mut report = imported.preamble();
    for (path, file) in &files {
        let mode = if file.private { mode & 0o666 | 0o600 } else { 0o644 };
        write_new(path, &file.text, mode).map_err(|why| {
            Error::Failed(format!(
                "cannot write {}: {why}; what was written before it stays",
                path.display()
            ))
        })?;
        report.push_str(&format!("{}\n", path.display()));
        if file.private && mode & 0o004 == 0 {
            report.push_str(&format!(
                "# {} is readable for as few as what it was made from: let the user of its service read it\n",
                path.display()
            ));
        }
    }
    let lost = imported.count_lost();
    if lost > 0 {
        report.push_str(&format!(
            "# {lost} settings were not carried over; the files and the lines above say why\n"
        ));
    }
    Ok(report)
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    // O_EXCL also refuses a symbolic link that another process may have put there meanwhile.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const PROCFILE: &str = "web: bin/web $PORT\n";

    fn imported(text: &str, output: &Path) -> Result<String, Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Procfile");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        run(&file, &Options { output: Some(output.to_owned()), ..Options::default() })
    }

    #[test]
    fn files_are_written_below_a_directory_with_the_rights_of_their_source() {
        let folder = tempfile::tempdir().unwrap();
        let report = imported(PROCFILE, folder.path()).unwrap();
        let settings = folder.path().join("etc/herder/web.toml");
        let socket = folder.path().join("etc/systemd/system/herder@web.socket.d/listen.conf");
        assert!(report.contains(&format!("{}\n", settings.display())), "{report}");
        assert!(fs::read_to_string(&socket).unwrap().contains("ListenStream=5000"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&settings), mode(&socket)), (0o640, 0o644));
    }

    #[test]
    fn nothing_is_overwritten_and_then_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("etc/systemd/system/herder@web.socket.d/listen.conf");
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        symlink("/no/such/target", &socket).unwrap();
        let why = imported(PROCFILE, folder.path()).unwrap_err();
        assert_eq!(why.exit_status(), 1);
        assert!(why.to_string().contains(&socket.display().to_string()), "{why}");
        assert!(!folder.path().join("etc/herder").exists());
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("Procfile");
        fs::write(&binary, [0xff, 0xfe]).unwrap();
        for (file, part) in [
            (Path::new("/no/such/Procfile"), "No such file"),
            (folder.path(), "directory"),
            (&binary, "UTF-8"),
        ] {
            let why = run(file, &Options::default()).unwrap_err();
            let told = why.to_string();
            assert_eq!(why.exit_status(), 1);
            assert!(told.contains(part) && told.contains(&file.display().to_string()), "{told}");
        }
    }

    #[test]
    fn paths_start_where_the_file_is() {
        let told =
            |file: &str, told: Option<&str>| directory_of(Path::new(file), told.map(Path::new));
        assert_eq!(told("/srv/app/Procfile", None), Some("/srv/app".into()));
        assert_eq!(told("/srv/app/Procfile", Some("/opt/x")), Some("/opt/x".into()));
        assert_eq!(told("-", None), None);
        assert_eq!(told("Procfile", None), Some(std::env::current_dir().unwrap()));
    }
}
