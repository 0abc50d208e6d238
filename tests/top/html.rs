//! A screen as a page: what tmux says of a screen's looks, in the colours of a light and of a dark
//! terminal.

use std::fmt::Write;

/// How a terminal shows the sixteen colours.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    pub name: &'static str,
    text: &'static str,
    background: &'static str,
    colours: [&'static str; 16],
}

/// As GNOME's terminal has it.
pub const DARK: Palette = Palette {
    name: "dark",
    text: "#d3d7cf",
    background: "#1e1e1e",
    colours: [
        "#2e3436", "#cc0000", "#4e9a06", "#c4a000", "#3465a4", "#75507b", "#06989a", "#d3d7cf",
        "#555753", "#ef2929", "#8ae234", "#fce94f", "#729fcf", "#ad7fa8", "#34e2e2", "#eeeeec",
    ],
};

/// The same on white.
pub const LIGHT: Palette =
    Palette { name: "light", text: "#171421", background: "#ffffff", ..DARK };

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Look {
    bold: bool,
    dim: bool,
    underlined: bool,
    reversed: bool,
    text: Option<usize>,
    background: Option<usize>,
}

impl Look {
    /// Takes in the parameters of SGR (ECMA-48, section 8.3.117).
    fn set(&mut self, parameters: &str) {
        let mut parameters = parameters.split([';', ':']).map(|text| text.parse().unwrap_or(0));
        while let Some(parameter) = parameters.next() {
            match parameter {
                0 => *self = Look::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                4 => self.underlined = true,
                7 => self.reversed = true,
                22 => (self.bold, self.dim) = (false, false),
                24 => self.underlined = false,
                27 => self.reversed = false,
                colour @ 30..=37 => self.text = Some(colour - 30),
                38 => self.text = Some(indexed(&mut parameters)),
                39 => self.text = None,
                colour @ 40..=47 => self.background = Some(colour - 40),
                48 => self.background = Some(indexed(&mut parameters)),
                49 => self.background = None,
                colour @ 90..=97 => self.text = Some(colour - 82),
                colour @ 100..=107 => self.background = Some(colour - 92),
                other => panic!("an unknown text attribute: {other}"),
            }
        }
    }

    fn style(self, palette: Palette) -> String {
        let mut text = self.text.map_or(palette.text, |colour| palette.colours[colour]);
        let mut background =
            self.background.map_or(palette.background, |colour| palette.colours[colour]);
        if self.reversed {
            (text, background) = (background, text);
        }
        let weight = if self.bold { ";font-weight:bold" } else { "" };
        let line = if self.underlined { ";text-decoration:underline" } else { "" };
        // Between text and background, as terminals do it.
        let faint = if self.dim {
            format!(";color:color-mix(in srgb, {text} 60%, {background})")
        } else {
            String::new()
        };
        format!("color:{text};background:{background}{weight}{line}{faint}")
    }
}

/// One of the terminal's own colours: there are to be no others.
fn indexed(parameters: &mut impl Iterator<Item = usize>) -> usize {
    assert_eq!(parameters.next(), Some(5), "a colour that is not of the terminal's palette");
    parameters.next().filter(|colour| *colour < 16).expect("a colour of the terminal's own")
}

/// A page that shows the screen, each character in a place of its own.
pub fn page(painted: &str, palette: Palette) -> String {
    let mut body = String::new();
    let mut look = Look::default();
    for line in painted.lines() {
        body.push_str("<div>");
        let mut rest = line;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("\x1b[") {
                let end = after.find(|letter: char| letter.is_ascii_alphabetic()).unwrap();
                assert_eq!(&after[end..=end], "m", "{line:?}");
                look.set(&after[..end]);
                rest = &after[end + 1..];
                continue;
            }
            let end = rest.find('\x1b').unwrap_or(rest.len());
            // tmux marks line drawing by shifts.
            let text: String = rest[..end].chars().filter(|letter| !letter.is_control()).collect();
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            write!(body, "<span style=\"{}\">{text}</span>", look.style(palette)).unwrap();
            rest = &rest[end..];
            rest = rest.strip_prefix("\x1b(B").unwrap_or(rest);
        }
        body.push_str("</div>\n");
    }
    let Palette { text, background, .. } = palette;
    format!(
        "<!doctype html><meta charset=\"utf-8\"><style>\
         body{{margin:8px;background:{background};color:{text};\
         font:14px/17px 'DejaVu Sans Mono',monospace}}\
         div{{white-space:pre;height:17px}}span{{display:inline-block;height:17px}}</style>\n{body}"
    )
}
