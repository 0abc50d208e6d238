//! The user workers run as, and what that user may do with a file, from its mode bits: access
//! control lists and security modules are not asked, so a “yes” may still meet a “no”.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::unistd::{AccessFlags, Gid, Group, Uid, access, getgrouplist};

use super::service::Service;

/// The user the workers run as.
#[derive(Debug)]
pub struct User {
    shown: String,
    identity: Identity,
}

#[derive(Debug)]
enum Identity {
    /// The user that runs `herder check`: the kernel can say what it may do.
    Current,
    /// Another user: what it may do is worked out from file modes.
    Other { uid: u32, gids: Vec<u32> },
    /// Made up by systemd at the start (DynamicUser=): nothing belongs to it.
    Dynamic { gids: Vec<u32> },
}

/// What is to be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Read a file.
    Read,
    /// Execute a file.
    Execute,
    /// Work in a directory.
    Enter,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Need::Read => "read",
            Need::Execute => "execute",
            Need::Enter => "enter and read",
        })
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl User {
    /// The user that runs `herder check`.
    pub fn current() -> User {
        let uid = Uid::effective();
        let name = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
        let shown = match name {
            Some(name) => format!("{name} (you)"),
            None => format!("uid {uid} (you)"),
        };
        User { shown, identity: Identity::Current }
    }

    /// The user the unit says: User=, DynamicUser=, else root.
    pub fn of_service(service: &Service) -> User {
        let name = service.property("User");
        let dynamic = service.property("DynamicUser") == "yes";
        let mut groups: Vec<_> =
            service.property("SupplementaryGroups").split_whitespace().collect();
        groups.extend(Some(service.property("Group")).filter(|group| !group.is_empty()));
        let mut gids: Vec<u32> = groups.iter().filter_map(|group| group_id(group)).collect();
        let unit = service.name();
        let made_up = Identity::Dynamic { gids: gids.clone() };
        if name.is_empty() && dynamic {
            let shown = format!("a user made up at start (DynamicUser= of {unit})");
            return User { shown, identity: made_up };
        }
        let known = find(if name.is_empty() { "root" } else { name });
        let shown = match (name, &known) {
            ("", _) => format!("root, because {unit} has neither User= nor DynamicUser="),
            // DynamicUser= with a User= that exists runs as that user (systemd.exec(5)).
            (_, Some(_)) => format!("{name} (User= of {unit})"),
            (_, None) if dynamic => format!("{name}, made up at start (DynamicUser= of {unit})"),
            (_, None) => format!("{name}, which DOES NOT EXIST (User= of {unit})"),
        };
        let identity = match known {
            Some(user) if user.uid == Uid::effective() => Identity::Current,
            Some(user) => {
                gids.extend(groups_of(&user));
                Identity::Other { uid: user.uid.as_raw(), gids }
            }
            None => made_up,
        };
        User { shown, identity }
    }

    /// Whether the user can do this, or why not.
    pub fn can(&self, need: Need, path: &Path) -> Result<(), String> {
        let path = fs::canonicalize(path).map_err(|error| error.to_string())?;
        let (uid, gids) = match &self.identity {
            Identity::Current => return can_i(need, &path),
            Identity::Other { uid, gids } => (Some(*uid), gids),
            Identity::Dynamic { gids } => (None, gids),
        };
        let mut above: Vec<_> = path.ancestors().skip(1).map(Path::to_owned).collect();
        above.reverse();
        for folder in above {
            allowed(uid, gids, &folder, 0o1)?;
        }
        allowed(uid, gids, &path, need.bits())
    }
}

impl Need {
    fn bits(self) -> u32 {
        match self {
            Need::Read => 0o4,
            Need::Execute => 0o1,
            Need::Enter => 0o5,
        }
    }
}

fn can_i(need: Need, path: &Path) -> Result<(), String> {
    let flags = match need {
        Need::Read => AccessFlags::R_OK,
        Need::Execute => AccessFlags::X_OK,
        Need::Enter => AccessFlags::R_OK | AccessFlags::X_OK,
    };
    access(path, flags).map_err(|error| io::Error::from(error).to_string())
}

/// The mode bits of one file, as the kernel goes by them: owner, else group, else others
/// (path_resolution(7)).
fn allowed(uid: Option<u32>, gids: &[u32], path: &Path, bits: u32) -> Result<(), String> {
    let metadata = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mode = metadata.permissions().mode();
    let granted = match uid {
        // Root may do everything, but execute a file only if one of its execute bits is set.
        Some(0) => 0o6 | u32::from(metadata.is_dir() || mode & 0o111 != 0),
        Some(uid) if uid == metadata.uid() => mode >> 6,
        _ if gids.contains(&metadata.gid()) => mode >> 3,
        _ => mode,
    };
    if granted & bits == bits {
        return Ok(());
    }
    Err(format!(
        "{} has mode {:04o} and belongs to {}",
        path.display(),
        mode & 0o7777,
        owner(&metadata)
    ))
}

fn owner(metadata: &fs::Metadata) -> String {
    let user = nix::unistd::User::from_uid(Uid::from_raw(metadata.uid())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(metadata.gid())).ok().flatten();
    format!(
        "{}:{}",
        user.map_or(metadata.uid().to_string(), |user| user.name),
        group.map_or(metadata.gid().to_string(), |group| group.name)
    )
}

/// User= takes names and numbers.
fn find(user: &str) -> Option<nix::unistd::User> {
    match user.parse() {
        Ok(uid) => nix::unistd::User::from_uid(Uid::from_raw(uid)).ok()?,
        Err(_) => nix::unistd::User::from_name(user).ok()?,
    }
}

fn group_id(group: &str) -> Option<u32> {
    match group.parse() {
        Ok(gid) => Some(gid),
        Err(_) => Group::from_name(group).ok()?.map(|group| group.gid.as_raw()),
    }
}

fn groups_of(user: &nix::unistd::User) -> Vec<u32> {
    let name = std::ffi::CString::new(user.name.as_str()).unwrap_or_default();
    let groups = getgrouplist(&name, user.gid).unwrap_or_default();
    groups.into_iter().map(Gid::as_raw).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn with_mode(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        (folder, file)
    }

    #[test]
    fn mode_bits_count_for_owner_group_and_others() {
        let (_folder, file) = with_mode(0o640);
        let metadata = fs::metadata(&file).unwrap();
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let stranger = uid.wrapping_add(12_345);
        assert_eq!(allowed(Some(stranger), &[gid], &file, 0o4), Ok(()));
        let told = allowed(Some(stranger), &[gid.wrapping_add(1)], &file, 0o4).unwrap_err();
        assert!(told.contains("has mode 0640 and belongs to "), "{told}");
        assert!(allowed(None, &[], &file, 0o4).is_err());
        assert!(allowed(Some(0), &[], &file, 0o1).is_err());
        assert_eq!(allowed(Some(0), &[], &file, 0o4), Ok(()));
    }

    #[test]
    fn a_closed_folder_above_is_named() {
        let (folder, file) = with_mode(0o644);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let unprivileged =
            User { shown: String::new(), identity: Identity::Dynamic { gids: Vec::new() } };
        let told = unprivileged.can(Need::Read, &file).unwrap_err();
        assert!(told.starts_with(&format!("{} has mode 0700", folder.path().display())), "{told}");
        assert_eq!(User::current().can(Need::Read, &file), Ok(()));
        assert_eq!(unprivileged.can(Need::Enter, Path::new("/")), Ok(()));
    }
}
