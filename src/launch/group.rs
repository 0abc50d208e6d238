//! `control-group`: which group that is.

use herder_config::{Problems, Settings};
use nix::unistd::Group;

/// The number that means no group to the kernel (chown(2), setresgid(2)).
const NOBODYS: u32 = u32::MAX;

/// A group whose members may change the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlGroup {
    /// As in the settings.
    pub name: String,
    /// Its number.
    pub gid: u32,
}

/// Looks the group up; a number is taken as it is, without a lookup.
pub fn find(settings: &Settings, problems: &mut Problems) -> Option<ControlGroup> {
    const KEY: &str = "control-group";
    let name = settings.control_group.as_ref()?;
    let at = settings.origins.get(KEY);
    let shown = name.escape_debug();
    let number = name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse::<u32>());
    let gid = match number {
        Some(Ok(gid)) if gid != NOBODYS => Some(gid),
        Some(_) => {
            let most = NOBODYS - 1;
            problems.add(
                at,
                KEY,
                format!("`{KEY}`: {shown} is no group's number: the last is {most}"),
            );
            None
        }
        None => match Group::from_name(name) {
            Ok(Some(group)) => Some(group.gid.as_raw()),
            Ok(None) => {
                problems.advise(
                    at,
                    KEY,
                    format!("`{KEY}`: there is no group `{shown}` on this machine"),
                    format!(
                        "create it (`groupadd --system {shown}`), name one that `getent group` lists, \
                         or remove the key"
                    ),
                );
                None
            }
            Err(why) => {
                problems.advise(
                    at,
                    KEY,
                    format!("`{KEY}`: cannot look up the group `{shown}`: {}", why.desc()),
                    "write its number instead of its name",
                );
                None
            }
        },
    };
    gid.map(|gid| ControlGroup { name: name.clone(), gid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_config::Place;

    fn found(name: &str) -> Result<Option<u32>, String> {
        let mut settings = Settings { control_group: Some(name.to_owned()), ..Settings::default() };
        let place = Place::CommandLine("--set".to_owned());
        settings.origins.insert("control-group".to_owned(), place);
        let mut problems = Problems::default();
        let group = find(&settings, &mut problems).map(|group| group.gid);
        problems.none_or(group).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_group_is_a_name_or_a_number() {
        assert_eq!(found("root"), Ok(Some(0)));
        assert_eq!(found("0"), Ok(Some(0)));
        assert_eq!(found("4242"), Ok(Some(4242)), "it need not have a name");
        for (name, told) in [
            ("no-such-group", "there is no group `no-such-group` on this machine; create it"),
            ("-1", "there is no group `-1`"),
            ("4294967295", "4294967295 is no group's number"),
            ("99999999999", "99999999999 is no group's number"),
        ] {
            let error = found(name).unwrap_err();
            assert!(error.starts_with("command line, --set: `control-group`: "), "{error}");
            assert!(error.contains(told), "{error}");
        }
        let mut problems = Problems::default();
        assert_eq!(find(&Settings::default(), &mut problems), None);
        assert_eq!(problems.0, []);
    }
}
