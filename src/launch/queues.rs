//! `queues = "per-worker"`: which of a worker's sockets are its own, and what to change if the sockets do not
//! allow that.

use super::sockets::Selection;
use herder_config::{Problems, Queues, Settings};
use herder_core::QueueId;
use herder_wire::address::Address;

/// One position in the list of sockets that every worker gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its name, as in LISTEN_FDNAMES.
    pub name: String,
    /// The socket that every worker gets, or those of which each gets its share: indices into those offered.
    pub sockets: Vec<usize>,
    /// Each worker gets a share.
    pub shared_out: bool,
}

/// Which sockets a worker gets. The first ones are at the same position for every worker, so that `{fd:NAME}` is
/// the same number for all; further sockets of a worker's own come after them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(pub Vec<Position>);

impl Positions {
    /// The groups of which each worker gets its share.
    pub fn groups(&self) -> Vec<Vec<QueueId>> {
        let shared_out = self.0.iter().filter(|place| place.shared_out);
        shared_out.map(|place| place.sockets.iter().map(|&index| queue(index)).collect()).collect()
    }

    /// The sockets of a worker that has these queues: name and index, in order.
    pub fn of<'a>(&'a self, queues: &'a [QueueId]) -> impl Iterator<Item = (&'a str, usize)> {
        let own = move |place: &'a Position| {
            let sockets = place.sockets.iter().copied();
            sockets.filter(move |&index| !place.shared_out || queues.contains(&queue(index)))
        };
        let heads = self.0.iter().filter_map(move |place| Some((&*place.name, own(place).next()?)));
        let rest = move |place: &'a Position| own(place).skip(1).map(|index| (&*place.name, index));
        heads.chain(self.0.iter().flat_map(rest))
    }

    /// The most sockets a worker may get when there are so many.
    pub fn most(&self, workers: u32) -> usize {
        let most = |place: &Position| match place.shared_out {
            true => place.sockets.len().div_ceil(workers.max(1) as usize),
            false => place.sockets.len(),
        };
        self.0.iter().map(most).sum()
    }
}

fn queue(index: usize) -> QueueId {
    QueueId(u32::try_from(index).unwrap_or(u32::MAX))
}

/// Reports why workers cannot have queues of their own.
pub fn check(settings: &Settings, sockets: &Selection, instance: &str, problems: &mut Problems) {
    if settings.queues != Queues::PerWorker || sockets.is_assumed() {
        return;
    }
    let mut wrong = |message: String, advice: String| {
        let message = format!("`queues` is \"per-worker\", and {message}");
        problems.advise(settings.origins.get("queues"), "queues", message, advice);
    };
    let workers = settings.policy.most_workers().max(1);
    let mut any = false;
    for (place, address) in sockets.places().0.iter().zip(sockets.addresses()) {
        let Some(Address::Inet(_)) = address else { continue };
        any = true;
        if place.shared_out && (place.sockets.len() > 1 || workers == 1) {
            continue;
        }
        let address = address.map(ToString::to_string).unwrap_or_default();
        let listen = if sockets.is_datagram(place) { "ListenDatagram" } else { "ListenStream" };
        let unit = format!("herder@{instance}.socket");
        wrong(
            format!("there is one socket {} ({address}) for all workers", place.name),
            format!(
                "have systemd make one for each of {workers}: d=/etc/systemd/system/{unit}.d; mkdir -p $d; \
                 {{ echo [Socket]; echo {listen}=; for i in $(seq {workers}); do echo {listen}={address}; done; \
                 echo ReusePort=yes; }} >$d/zz-queues.conf; systemctl daemon-reload; \
                 systemctl stop herder@{instance}.service; systemctl restart {unit}"
            ),
        );
    }
    if !any {
        let message = match sockets.is_empty() {
            true => "workers get no socket",
            false => {
                "only TCP and UDP have queues of their own: a UNIX socket, or a file, is one for all"
            }
        };
        wrong(message.to_owned(), "remove `queues`, or listen on a port".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, sockets: &[usize], shared_out: bool) -> Position {
        Position { name: name.to_owned(), sockets: sockets.to_vec(), shared_out }
    }

    #[test]
    fn what_every_worker_has_stands_in_one_place() {
        let places = Positions(vec![
            place("web", &[0, 1, 2, 3], true),
            place("admin", &[4], false),
            place("dns", &[5, 6], true),
        ]);
        assert_eq!(
            places.groups(),
            [vec![QueueId(0), QueueId(1), QueueId(2), QueueId(3)], vec![QueueId(5), QueueId(6)]]
        );
        let of = |queues: &[u32]| -> Vec<(String, usize)> {
            let queues: Vec<QueueId> = queues.iter().map(|&queue| QueueId(queue)).collect();
            places.of(&queues).map(|(name, index)| (name.to_owned(), index)).collect()
        };
        let named = |list: &[(&str, usize)]| -> Vec<(String, usize)> {
            list.iter().map(|(name, index)| ((*name).to_owned(), *index)).collect()
        };
        assert_eq!(of(&[1, 5]), named(&[("web", 1), ("admin", 4), ("dns", 5)]));
        assert_eq!(of(&[0, 2, 6]), named(&[("web", 0), ("admin", 4), ("dns", 6), ("web", 2)]));
        assert_eq!([1, 2, 3, 4, 8].map(|workers| places.most(workers)), [7, 4, 4, 3, 3]);
    }
}
