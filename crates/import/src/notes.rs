//! What cannot, or need not, be carried over, and where it stood.

/// Where a setting was found: what it says there and its line.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `pm = dynamic`
    pub text: String,
    /// `pm`
    pub name: String,
    pub line: usize,
}

impl Origin {
    pub fn new(name: &str, value: &str, line: usize) -> Origin {
        // A screen has room for so much of it, and the line says where the rest is.
        const LONGEST: usize = 60;
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = match value.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{name} = {}…", &value[..end]),
            None => format!("{name} = {value}"),
        };
        Origin { text, name: name.to_owned(), line }
    }

    /// For a comment beside what it has become.
    pub fn short(&self) -> String {
        format!("{}, line {}", self.name, self.line)
    }
}

/// Settings that have no place in these files, together if it is for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// What each says, and its line; 0 for what stands in no line.
    pub settings: Vec<(String, usize)>,
    /// Why, and what to do.
    pub why: String,
}

/// Something that is not needed any more, once for each reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needless {
    pub names: Vec<String>,
    pub why: String,
}

/// All of it, of an instance or of a file as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    pub lost: Vec<Lost>,
    pub needless: Vec<Needless>,
}

impl Notes {
    pub fn lose(&mut self, origin: &Origin, why: impl Into<String>) {
        let (setting, why) = ((origin.text.clone(), origin.line), why.into());
        match self.lost.iter_mut().find(|known| known.why == why) {
            Some(known) if known.settings.contains(&setting) => {}
            Some(known) => known.settings.push(setting),
            None => self.lost.push(Lost { settings: vec![setting], why }),
        }
    }

    /// How many settings are lost.
    pub fn count_lost(&self) -> usize {
        self.lost.iter().map(|lost| lost.settings.len()).sum()
    }

    pub fn need_not(&mut self, origin: &Origin, why: &str) {
        let name = origin.name.clone();
        match self.needless.iter_mut().find(|known| known.why == why) {
            Some(known) if known.names.contains(&name) => {}
            Some(known) => known.names.push(name),
            None => self.needless.push(Needless { names: vec![name], why: why.to_owned() }),
        }
    }
}
