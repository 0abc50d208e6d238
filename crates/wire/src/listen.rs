//! `LISTEN_*`: how systemd says which descriptors it hands over (sd_listen_fds(3)).
//!
//! Reads and writes text only; whether the descriptors are there, and of what kind, is
//! `linux::sockets`. The one non-obvious fact: names may repeat, and the order between several
//! `.socket` units is undefined, so both are kept exactly as they came.

/// Variables that speak to herder itself. No worker inherits them: it is given its own, or none.
///
/// `LISTEN_PIDFDID` names herder's pidfd (systemd 259): a worker that inherits it next to a correct
/// `LISTEN_PID` is told by libsystemd that it has no sockets.
pub const HERDERS_OWN: [&str; 11] = [
    "FDSTORE",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "MAINPID",
    "MAINPIDFDID",
    "NOTIFY_SOCKET",
    "SYSTEMD_EXEC_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// `fs.nr_open`, the limit of every limit, as the kernel sets it (proc_sys_fs(5)).
const MOST_FDS: u32 = 1 << 20;

/// The descriptors a process was started with: 3, 4, … in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// How many.
    pub fds: u32,
    /// The name of each, as it came.
    pub names: Vec<String>,
}

impl Handover {
    /// What the environment hands to the process `pid`; `None` if nothing, or if it is meant for
    /// another process.
    ///
    /// # Errors
    ///
    /// A sentence on variables that contradict themselves.
    pub fn parse(
        env: impl Fn(&str) -> Option<String>,
        pid: u32,
    ) -> Result<Option<Handover>, String> {
        let number = |name: &str, value: &str| {
            value
                .parse::<u32>()
                .map_err(|_| format!("{name}={} is no number", value.escape_debug()))
        };
        let (Some(listen_pid), Some(fds)) = (env("LISTEN_PID"), env("LISTEN_FDS")) else {
            return Ok(None);
        };
        if number("LISTEN_PID", &listen_pid)? != pid {
            return Ok(None);
        }
        let fds = number("LISTEN_FDS", &fds)?;
        if fds == 0 {
            return Ok(None);
        }
        if fds > MOST_FDS {
            return Err(format!("LISTEN_FDS={fds}: no process has that many descriptors"));
        }
        let Some(names) = env("LISTEN_FDNAMES") else {
            let names = vec!["unknown".to_owned(); fds as usize];
            return Ok(Some(Handover { fds, names }));
        };
        let names: Vec<String> = names.split(':').map(str::to_owned).collect();
        if names.len() != fds as usize {
            return Err(format!(
                "LISTEN_FDS={fds}, but LISTEN_FDNAMES has {} names: whatever started herder must give each descriptor one name",
                names.len()
            ));
        }
        Ok(Some(Handover { fds, names }))
    }

    /// `LISTEN_FDS` and `LISTEN_FDNAMES` for a process that is given descriptors of these names;
    /// `LISTEN_PID`, its own pid, is known only once it runs.
    pub fn compose<'a>(names: impl IntoIterator<Item = &'a str>) -> [(&'static str, String); 2] {
        let names: Vec<&str> = names.into_iter().collect();
        [("LISTEN_FDS", names.len().to_string()), ("LISTEN_FDNAMES", names.join(":"))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Option<Handover>, String> {
        let value = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        Handover::parse(value, 42)
    }

    #[test]
    fn order_and_names_are_kept_as_they_came() {
        let names = "a2.socket:aa:aa:aa";
        let handover =
            parse(&[("LISTEN_PID", "42"), ("LISTEN_FDS", "4"), ("LISTEN_FDNAMES", names)]);
        let handover = handover.unwrap().unwrap();
        assert_eq!(handover.fds, 4);
        assert_eq!(handover.names, ["a2.socket", "aa", "aa", "aa"]);
        let composed = Handover::compose(handover.names.iter().map(String::as_str));
        assert_eq!(
            composed,
            [("LISTEN_FDS", "4".to_owned()), ("LISTEN_FDNAMES", names.to_owned())]
        );
    }

    #[test]
    fn what_is_not_meant_for_this_process_is_nothing() {
        for variables in [
            &[][..],
            &[("LISTEN_PID", "42")],
            &[("LISTEN_FDS", "1")],
            &[("LISTEN_PID", "41"), ("LISTEN_FDS", "1")],
            &[("LISTEN_PID", "41"), ("LISTEN_FDS", "nonsense")],
            &[("LISTEN_PID", "42"), ("LISTEN_FDS", "0")],
            &[("LISTEN_PID", "42"), ("LISTEN_FDS", "0"), ("LISTEN_FDNAMES", "")],
        ] {
            assert_eq!(parse(variables), Ok(None), "{variables:?}");
        }
    }

    #[test]
    fn unnamed_descriptors_are_unknown_as_in_libsystemd() {
        let handover = parse(&[("LISTEN_PID", "42"), ("LISTEN_FDS", "2")]).unwrap().unwrap();
        assert_eq!(handover.names, ["unknown", "unknown"]);
    }

    #[test]
    fn contradictions_are_errors() {
        for (fds, names, complaint) in [
            ("2", "one", "LISTEN_FDS=2, but LISTEN_FDNAMES has 1 names"),
            ("1", "one:two", "LISTEN_FDS=1, but LISTEN_FDNAMES has 2 names"),
            ("-1", "one", "LISTEN_FDS=-1 is no number"),
            ("4294967295", "one", "no process has that many"),
        ] {
            let error =
                parse(&[("LISTEN_PID", "42"), ("LISTEN_FDS", fds), ("LISTEN_FDNAMES", names)]);
            assert!(error.as_ref().is_err_and(|text| text.contains(complaint)), "{error:?}");
        }
        assert!(parse(&[("LISTEN_PID", "me"), ("LISTEN_FDS", "1")]).is_err());
    }

    #[test]
    fn herders_own_variables_include_the_one_that_hides_sockets() {
        for name in ["LISTEN_PIDFDID", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "FDSTORE"] {
            assert!(HERDERS_OWN.contains(&name), "{name}");
        }
    }
}
