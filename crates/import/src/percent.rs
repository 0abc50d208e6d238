//! Python's `%(name)s`, and the lists `A="1",B="2"`, as supervisord has them in its values.

use super::words::{Mark, is_name};

/// PATH as systemd gives it to services (systemd.exec(5)), with /sbin and /bin where those are their own.
const SERVICE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `%(…)s` stands for.
pub struct Values<'a> {
    pub program: &'a str,
    /// The group it belongs to, which is its own if no other is named.
    pub group: &'a str,
    /// How many processes there are.
    pub processes: u32,
    pub here: Option<&'a str>,
    /// Variables whose values stand in the file.
    pub known: Vec<(String, String)>,
}

/// A text without `%(…)s`, with marks instead.
pub struct Expanded {
    pub text: String,
    /// The parts that could not be expanded.
    pub trouble: Vec<String>,
}

impl Values<'_> {
    pub fn expand(&self, value: &str) -> Expanded {
        let (mut text, mut trouble) = (String::new(), Vec::new());
        let mut rest = value;
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('%') {
                text.push('%');
                rest = after;
                continue;
            }
            let parsed = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
            let Some((name, format)) = parsed else {
                text.push('%');
                continue;
            };
            let letter = format.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(format.len());
            let (width, after) = format.split_at(letter);
            rest = after.get(1..).unwrap_or_default();
            text.push_str(&self.value(name, width, &mut trouble));
        }
        text.push_str(rest);
        Expanded { text, trouble }
    }

    fn value(&self, name: &str, width: &str, trouble: &mut Vec<String>) -> String {
        match name {
            "program_name" => self.program.to_owned(),
            "group_name" => self.group.to_owned(),
            "numprocs" => self.processes.to_string(),
            "here" => self.here.map(str::to_owned).unwrap_or_else(|| {
                trouble
                    .push("%(here)s is where the file is; import it with --directory".to_owned());
                ".".to_owned()
            }),
            "process_num" => {
                let zeros = width.strip_prefix('0').and_then(|width| width.parse::<usize>().ok());
                let zeros =
                    "0".repeat(zeros.filter(|width| (2..10).contains(width)).unwrap_or(1) - 1);
                if self.processes > 10 && !zeros.is_empty() {
                    trouble.push(format!(
                        "a slot is written without leading zeros: \"{zeros}\" before {{slot}} is right for the first 10 \
                         workers only"
                    ));
                }
                zeros + Mark::SLOT
            }
            _ => match name.strip_prefix("ENV_").filter(|name| is_name(name)) {
                Some(name) => match self.known.iter().rev().find(|(known, _)| known == name) {
                    Some((_, value)) => value.clone(),
                    None if name == "PATH" => SERVICE_PATH.to_owned(),
                    None => Mark::variable(name),
                },
                None => {
                    trouble.push(format!("%({name})s is not known here: write what it stands for"));
                    format!("%({name})s")
                }
            },
        }
    }
}

/// `KEY="value",KEY2=value2`, with quotes as Python's shlex has them.
pub fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, after) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => after[1..].split_once(quote)?,
            _ => after.split_at(after.find([',', '\n']).unwrap_or(after.len())),
        };
        pairs.push((name.trim().to_owned(), value.trim_end().to_owned()));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::super::words::template;
    use super::*;

    fn values(processes: u32) -> Values<'static> {
        let known = vec![("A".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())];
        Values { program: "web", group: "all", processes, here: Some("/etc/s"), known }
    }

    #[test]
    fn what_is_known_is_expanded() {
        for (text, expanded) in [
            ("%(program_name)s-%(process_num)d %% %(here)s/x", "web-{slot} % /etc/s/x"),
            ("%(group_name)s of %(numprocs)d", "all of 4"),
            ("80%(process_num)02d", "800{slot}"),
            ("%(ENV_A)s{a}", "2{{a}}"),
            (
                "/v/bin:%(ENV_PATH)s",
                "/v/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("%", "%"),
            ("100% sure", "100% sure"),
            ("%(open", "%(open"),
        ] {
            let Expanded { text: came, trouble } = values(4).expand(text);
            assert_eq!((template(&came).as_str(), trouble.len()), (expanded, 0), "{text}");
        }
    }

    #[test]
    fn what_is_not_is_said() {
        assert_eq!(values(11).expand("%(process_num)02d").trouble.len(), 1);
        let unknown = values(1).expand("%(host_node_name)s");
        assert_eq!((unknown.text.as_str(), unknown.trouble.len()), ("%(host_node_name)s", 1));
        assert!(Mark::has_variable(&values(1).expand("%(ENV_HOME)s").text));
        let evil = values(1).expand("%(ENV_A}\";reboot;)s");
        assert!(!Mark::has_variable(&evil.text) && evil.trouble.len() == 1);
        let nowhere = Values { here: None, ..values(1) };
        assert_eq!(nowhere.expand("%(here)s/x").trouble.len(), 1);
    }

    #[test]
    fn lists_of_variables_are_read() {
        let read = |text| {
            let list: Option<Vec<(String, String)>> = pairs(text);
            list.map(|list| {
                list.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
            })
        };
        assert_eq!(
            read("A=\"x,y\", B='z' ,C=/p:q\nD=1").unwrap(),
            ["A=x,y", "B=z", "C=/p:q", "D=1"]
        );
        assert_eq!(read("").unwrap(), Vec::<String>::new());
        assert_eq!(read("A=\"x"), None);
        assert_eq!(read("A"), None);
    }
}
