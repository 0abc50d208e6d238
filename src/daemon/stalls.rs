//! Samples of sockets and workers that the core has ordered, and the watch that says when there is
//! something to sample.
//!
//! Both look at what is given to workers by the settings in service. The watch is a set of its own, so
//! that it is in nobody's way who watches the same sockets for another reason.

use super::Daemon;
use super::token::Token;
use crate::herd::{Event, Load, Queue, QueueId, WorkerState, WorkerView};
use crate::linux::poll::{Interest, Poll};
use crate::linux::queue;
use crate::linux::sockets::{Kind, Socket};
use crate::linux::usage::{self, Subject};
use crate::log::Priority;
use std::io;

/// What is needed to sample, and to know when.
#[derive(Debug, Default)]
pub struct Stalls {
    /// Set once somebody has asked for a watch.
    watch: Option<Poll>,
}

impl Stalls {
    /// Nobody is told any more.
    fn forget(&mut self, poll: &Poll) {
        if let Some(watch) = self.watch.take() {
            // It was added, so this cannot fail.
            let _ = poll.remove(&watch);
        }
    }
}

impl Daemon {
    pub(super) fn watch_sockets(&mut self) {
        // A new set for each watch: what else was watched is forgotten with the old one.
        self.stalls.forget(&self.poll);
        match watch(self.listeners().map(|(_, socket)| socket), &self.poll) {
            Ok(watch) => self.stalls.watch = Some(watch),
            Err(why) => {
                let text =
                    format_args!("cannot see when connections wait, so no stall is noticed: {why}");
                self.log.say(Priority::Warning, text);
            }
        }
    }

    /// Something waits in a socket that is watched.
    pub(super) fn knocked(&mut self) {
        self.stalls.forget(&self.poll);
        self.events.push_back(Event::Knocked);
    }

    pub(super) fn sample(&mut self) {
        let listeners: Vec<(QueueId, &Socket)> = self.listeners().collect();
        let sockets: Vec<&Socket> = listeners.iter().map(|(_, socket)| *socket).collect();
        let look = |(&(id, _), queue): (&(QueueId, &Socket), queue::Queue)| {
            let waiting = queue.waiting?;
            Some(Queue {
                id,
                // Every worker is given all of them.
                slot: None,
                waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
                full: queue.limit.is_some_and(|limit| waiting >= limit),
            })
        };
        let queues: Vec<Queue> =
            listeners.iter().zip(queue::of(&sockets)).filter_map(look).collect();
        // Who uses how much matters only while something waits.
        let waits = queues.iter().any(|queue| queue.waiting > 0);
        let ready = |worker: &WorkerView| waits && worker.state == WorkerState::Ready;
        let ready = self.herd.view().filter(ready);
        let cpu = ready.filter_map(|worker| {
            let pid = self.children.unreaped(worker.id)?;
            let cgroup = self.children.group(worker.id).map(|group| group.path().to_owned());
            Some((worker.id, usage::cpu(&Subject { pid, cgroup })?))
        });
        let load = Load { queues, cpu: cpu.collect() };
        self.events.push_back(Event::Sampled(load));
    }

    /// The sockets workers accept on.
    fn listeners(&self) -> impl Iterator<Item = (QueueId, &Socket)> {
        let spec = self.generations.get(self.herd.generation());
        let given = spec.map(|spec| spec.launch.sockets.as_slice()).unwrap_or_default();
        given.iter().filter_map(|&index| {
            let socket = self.sockets.get(index).filter(|socket| socket.kind == Kind::Listener)?;
            Some((QueueId(u32::try_from(index).ok()?), socket))
        })
    }
}

/// Has `poll` say when something waits in one of these sockets.
fn watch<'a>(sockets: impl Iterator<Item = &'a Socket>, poll: &Poll) -> io::Result<Poll> {
    let watch = Poll::new()?;
    for socket in sockets {
        watch.add(socket, 0, Interest::Read)?;
    }
    poll.add(&watch, Token::Knock.into(), Interest::Read)?;
    Ok(watch)
}
