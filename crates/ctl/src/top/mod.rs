//! `herder top`: instances on the screen, live.
//!
//! The middle is pure: [`State`](state::State) takes messages and gives orders, [`view`] draws it. Around
//! it, one thread waits for the terminal, for signals and for connections, and never for one of them
//! alone: an instance that hangs is seen to hang, and everything else goes on. What changes an instance
//! goes over a connection of its own, so that the view stays live meanwhile.

mod calls;
mod columns;
mod dialog;
mod feed;
mod figures;
mod header;
mod history;
mod input;
mod keys;
mod list;
mod overlay;
mod pane;
mod run;
mod state;
mod table;
mod terminal;
mod theme;
mod view;

use super::find::{Instance, Places};
use super::{ask, soon};
use feed::Feed;
use herder_linux::error::Error;
use run::Shell;
use state::Message;
use std::time::Duration;
use theme::Theme;

/// `herder top [INSTANCE]`: shows an instance, or the list of those that run, until the user quits.
/// `interval` is the time between two readings of the figures; events are shown at once.
///
/// # Errors
///
/// [`Error::Usage`] without a terminal or with an interval that is too short or too long;
/// [`Error::NotRunning`], [`Error::Denied`] or [`Error::Failed`] if there is nothing to be seen;
/// [`Error::System`] if the terminal is gone.
pub fn top(instance: Option<&str>, interval: Duration) -> Result<(), Error> {
    let range = dialog::SHORTEST..=dialog::LONGEST;
    if !range.contains(&interval) {
        return Err(Error::Usage(format!(
            "--interval is {interval:?}; give a span from {:?} to {:?}",
            range.start(),
            range.end()
        )));
    }
    if !terminal::is_there() {
        let name = instance.map(|name| format!(" {name}")).unwrap_or_default();
        return Err(Error::Usage(format!(
            "herder top needs a terminal to draw on; without one, use: herder status{name}"
        )));
    }
    let mut feeds: Vec<Feed> = chosen(instance)?.into_iter().map(Feed::new).collect();
    // With a single instance, an error ends the command as it does for every other command.
    let first = match feeds.as_mut_slice() {
        [only] => {
            let status = Box::new(only.first(interval, soon())?);
            Some(Message::Heard { pane: 0, status })
        }
        _ => None,
    };
    Shell::open(feeds, interval, Theme::new(terminal::is_colourful()))?.run(first)
}

/// The one that is meant; of several that run, all.
fn chosen(instance: Option<&str>) -> Result<Vec<Instance>, Error> {
    let places = Places::of_system();
    match (places.find(instance), instance) {
        (Ok(found), _) => Ok(vec![found]),
        (Err(Error::Usage(_)), None) => {
            let deadline = soon();
            let answers = ask::each(places.all().instances, |instance| {
                ask::connect(instance, deadline).map(drop)
            });
            Ok(answers.into_iter().map(|(instance, _)| instance).collect())
        }
        (Err(why), _) => Err(why),
    }
}
