//! All instances for people: a line for each.

use super::columns::{Column, NOTHING, table};
use super::human::one_line;
use super::paint::{Paint, Tone};
use herder_linux::error::Error;
use herder_wire::status::{State, Status, Usage};
use herder_wire::units::{percent, size};

/// From left to right. The number is the rank: columns with a higher one are left out earlier.
const COLUMNS: [Column; 9] = [
    Column::text("NAME", 0, 12),
    Column::word("STATE", 0),
    Column::number("READY", 1),
    Column::number("GEN", 7),
    Column::number("RESPAWNS", 6),
    Column::number("CPU", 3),
    Column::number("MEMORY", 4),
    Column::number("WAITING", 2),
    Column::text("STATUS", 5, 12),
];

/// An instance and what it has said, or why it has not.
pub type Line<'a> = (&'a str, Result<&'a Status, &'a Error>);

/// The table of `herder status` without a name. The caller reports why instances did not answer.
pub fn render(instances: &[Line<'_>], width: Option<usize>, paint: Paint) -> String {
    let rows: Vec<Vec<String>> =
        instances.iter().map(|(name, answer)| row(name, *answer)).collect();
    let tones = instances.iter().map(|(_, answer)| match answer {
        Ok(status) => match status.state {
            State::Serving => Tone::Plain,
            State::Starting | State::Degraded | State::Reloading => Tone::Warning,
            State::Stopping => Tone::Dim,
        },
        Err(Error::Denied(_)) => Tone::Dim,
        Err(_) => Tone::Bad,
    });
    let lines = table(&COLUMNS, &rows, width);
    let painted = [Tone::Strong].into_iter().chain(tones).zip(lines);
    painted.map(|(tone, line)| paint.paint(tone, &line) + "\n").collect()
}

fn row(name: &str, answer: Result<&Status, &Error>) -> Vec<String> {
    let nothing = || NOTHING.to_owned();
    let status = match answer {
        Ok(status) => status,
        Err(error) => {
            let state = if matches!(error, Error::Denied(_)) { "not allowed" } else { "no answer" };
            let mut row = vec![nothing(); COLUMNS.len()];
            row[0] = one_line(name);
            row[1] = state.to_owned();
            return row;
        }
    };
    let Usage { cpu_share, memory_bytes, .. } = sum(status);
    let waiting: Vec<u64> = status.sockets.iter().filter_map(|socket| socket.waiting).collect();
    vec![
        one_line(name),
        status.state.to_string(),
        format!("{}/{}", status.ready, status.wanted),
        status.generation.to_string(),
        status.counters.respawns.to_string(),
        cpu_share.map_or_else(nothing, percent),
        memory_bytes.map_or_else(nothing, size),
        if waiting.is_empty() { nothing() } else { waiting.iter().sum::<u64>().to_string() },
        one_line(&status.status),
    ]
}

/// The sum of the known usage of herder and its workers.
fn sum(status: &Status) -> Usage {
    let all = || status.workers.iter().map(|worker| worker.usage).chain([status.usage]);
    let known = |figures: Vec<u64>| (!figures.is_empty()).then(|| figures.iter().sum());
    let shares: Vec<f64> = all().filter_map(|usage| usage.cpu_share).collect();
    Usage {
        cpu_share: (!shares.is_empty()).then(|| shares.iter().sum()),
        memory_bytes: known(all().filter_map(|usage| usage.memory_bytes).collect()),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::human::width_of;
    use herder_wire::status::example::example;

    #[test]
    fn every_instance_is_a_line_and_those_that_are_silent_too() {
        let (three, many) = (example(3), example(300));
        let (denied, late) = (Error::Denied(String::new()), Error::Failed(String::new()));
        let lines: [Line<'_>; 4] = [
            ("web", Ok(&three)),
            ("api", Ok(&many)),
            ("mail", Err(&denied)),
            ("queue", Err(&late)),
        ];
        assert_eq!(
            render(&lines, None, Paint(false)),
            "\
NAME   STATE          READY  GEN  RESPAWNS     CPU  MEMORY  WAITING  STATUS
web    degraded         2/3    3        12   20.2%     69M       17  degraded 2/3: slot 0 was killed for want of memory
api    degraded     299/300    3        12  14255%  420.5G       17  degraded 299/300: slot 0 was killed for want of memory
mail   not allowed        -    -         -       -       -        -  -
queue  no answer          -    -         -       -       -        -  -
"
        );
        for width in 30..120 {
            for line in render(&lines, Some(width), Paint(false)).lines() {
                assert!(width_of(line) <= width, "{width}: {line}");
            }
        }
    }
}
