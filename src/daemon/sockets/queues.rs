//! Per-worker queues, carried out: selectors on groups of sockets, and watching queues that no worker serves.

use crate::daemon::settings::Spec;
use crate::daemon::token::Token;
use herder_core::{Herd, QueueId};
use herder_linux::poll::{Interest, Poll};
use herder_linux::sockets::Socket;
use herder_linux::steer::{self, Disorder, ReuseportGroup};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

/// The groups of sockets of which each worker has its own.
#[derive(Debug, Default)]
pub struct Queues {
    groups: Vec<Steered>,
    closed: BTreeSet<QueueId>,
    watched: BTreeSet<QueueId>,
}

#[derive(Debug)]
struct Steered {
    group: ReuseportGroup,
    /// Which of its queues are open, as the kernel was last told.
    open: Vec<bool>,
    /// Why it is left alone, once it is.
    obstacle: Option<Obstacle>,
}

#[derive(Debug)]
enum Obstacle {
    Order(Disorder),
    Refused(io::Error),
}

impl Queues {
    /// Begins with everything open, whatever an earlier herder has left there.
    pub fn begin(groups: Vec<ReuseportGroup>, sockets: &[Socket]) -> Queues {
        let mut queues = Queues::default();
        queues.also(groups, sockets);
        queues
    }

    /// The same, for those of these groups that are new, because the settings are. Says whether there are any.
    pub fn also(&mut self, groups: Vec<ReuseportGroup>, sockets: &[Socket]) -> bool {
        let begin = |group: ReuseportGroup| {
            let open = vec![true; group.members.len()];
            let obstacle = match group.disorder(sockets) {
                Some(disorder) => {
                    // Better no selector than one that is wrong; that there is none is no failure.
                    let _ = group.release(sockets);
                    Some(Obstacle::Order(disorder))
                }
                None => group.open(sockets, &open).err().map(Obstacle::Refused),
            };
            Steered { group, open, obstacle }
        };
        let before = self.groups.len();
        for group in groups {
            if self.groups.iter().all(|known| known.group.members != group.members) {
                self.groups.push(begin(group));
            }
        }
        self.groups.len() > before
    }

    /// Why the queues of groups cannot be opened and closed, a sentence for each such group.
    pub fn obstacles<'a>(&'a self, sockets: &'a [Socket]) -> impl Iterator<Item = String> + 'a {
        self.groups.iter().filter_map(|steered| {
            let socket = sockets.get(*steered.group.members.first()?)?;
            let why = match steered.obstacle.as_ref()? {
                Obstacle::Order(disorder) => disorder.to_string(),
                Obstacle::Refused(why) => why.to_string(),
            };
            Some(format!(
                "cannot steer new connections to {socket} past workers that are not ready, \
                 so they wait for the next worker there: {why}"
            ))
        })
    }

    /// Whether new connections go past this queue.
    pub fn is_closed(&self, queue: usize) -> bool {
        self.groups.iter().filter(|steered| steered.obstacle.is_none()).any(|steered| {
            let mut members = steered.group.members.iter().zip(&steered.open);
            members.any(|(member, open)| *member == queue && !open)
        })
    }

    /// Has new connections go past these queues and no others. Whether the kernel has refused that for a group.
    pub fn close(&mut self, closed: &[QueueId], sockets: &[Socket]) -> bool {
        self.closed = closed.iter().copied().collect();
        let mut refused = false;
        for steered in self.groups.iter_mut().filter(|steered| steered.obstacle.is_none()) {
            let is_open = |member: &usize| !self.closed.contains(&id(*member));
            let open: Vec<bool> = steered.group.members.iter().map(is_open).collect();
            if open == steered.open {
                continue;
            }
            if let Err(why) = steered.group.open(sockets, &open) {
                let _ = steered.group.release(sockets);
                steered.obstacle = Some(Obstacle::Refused(why));
                refused = true;
            }
            steered.open = open;
        }
        refused
    }

    /// Takes the selectors off.
    pub fn end(&self, sockets: &[Socket]) {
        for steered in &self.groups {
            // herder ends, and nothing can be done about a failure.
            let _ = steered.group.release(sockets);
        }
    }

    /// Watches these queues, each until something waits in it, and no others.
    pub fn watch(&mut self, queues: &[QueueId], poll: &Poll, sockets: &[Socket]) {
        let wanted: BTreeSet<QueueId> = queues.iter().copied().collect();
        for queue in self.watched.difference(&wanted) {
            if let Some(socket) = sockets.get(queue.0 as usize) {
                // Only if it could not be watched in the first place.
                let _ = poll.remove(socket);
            }
        }
        for queue in &wanted {
            let Some(socket) = sockets.get(queue.0 as usize) else { continue };
            let token = Token::Queue(*queue).into();
            // A queue that cannot be watched is served by its slot's next worker.
            let _ = match self.watched.contains(queue) {
                true => poll.modify(socket, token, Interest::ReadOnce),
                false => poll.add(socket, token, Interest::ReadOnce),
            };
        }
        self.watched = wanted;
    }
}

fn id(index: usize) -> QueueId {
    QueueId(u32::try_from(index).unwrap_or(u32::MAX))
}

/// The groups of which each worker has its own, by these settings.
pub fn groups(spec: &Spec, sockets: &[Socket]) -> Vec<ReuseportGroup> {
    let own = |group: &ReuseportGroup| {
        let mut members = group.members.iter();
        let used = &spec.launch.sockets;
        members.any(|member| used.contains(member))
    };
    match spec.settings.queues {
        herder_config::Queues::Shared => Vec::new(),
        herder_config::Queues::PerWorker => {
            steer::groups(sockets).into_iter().filter(own).collect()
        }
    }
}

/// The slots that serve the queue of a socket, where not all do.
pub fn slots_of(queue: QueueId, spec: Option<&Rc<Spec>>, herd: &Herd) -> Option<Vec<u32>> {
    let mut groups = spec?.launch.queues.iter();
    groups
        .any(|group| group.contains(&queue))
        .then(|| herd.slots_of(queue).map(|slot| slot.0).collect())
}
