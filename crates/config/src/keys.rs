//! The one table of settings: what each key is called, takes and means. Reading, suggestions,
//! `herder check` and the test that compares herder.toml(5) all go by it.

mod elastic;
pub mod environment;
mod hang;
mod limits;
mod operation;
mod program;
mod queues;
pub mod scaling;
mod workers;

use super::key::Key;

/// Every setting, in the order of the manual.
pub static KEYS: &[Key] = &ALL;

const PARTS: [&[Key]; 8] = [
    program::KEYS,
    workers::KEYS,
    scaling::KEYS,
    hang::KEYS,
    operation::KEYS,
    elastic::KEYS,
    queues::KEYS,
    limits::KEYS,
];

const COUNT: usize = {
    let (mut count, mut part) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
};

static ALL: [Key; COUNT] = {
    let mut all = [PARTS[0][0]; COUNT];
    let (mut count, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut row = 0;
        while row < PARTS[part].len() {
            all[count] = PARTS[part][row];
            count += 1;
            row += 1;
        }
        part += 1;
    }
    all
};

/// The row of a setting.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
