//! The clients of the control socket: what they ask for, what they are told, and when.
//!
//! Nothing is ever “busy”: what a client asks for goes to the core, and the answer is what came of it. A client that goes away
//! meanwhile changes nothing. What changes the instance is not done here but returned to the composition.

mod calls;
mod permission;
mod streams;

pub use calls::{Asked, Caller, Change};
pub use permission::permits;

use super::children::Children;
use super::snapshot::Snapshot;
use super::token::Token;
use crate::launch::ControlGroup;
use crate::log::{Entry, Log, LogLevel};
use calls::Calls;
use herder_core::{Herd, Request, RequestId, RequestOutcome};
use herder_linux::control::{CLIENTS, Call, ClientId, Peer, Server};
use herder_linux::poll::{self, Poll};
use herder_wire::control::{self, Failure, Method, Received, Reply};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use streams::Streams;

/// Watchers that are told in a turn.
const TOLD_PER_TURN: usize = 32;

/// The control socket, its clients, and what they wait for.
#[derive(Debug)]
pub struct Operators {
    server: Server,
    calls: Calls,
    streams: Streams,
}

/// How the instance is doing, for all clients that ask in one turn.
#[derive(Debug, Default)]
pub struct Shown {
    last: Option<Arc<[u8]>>,
    one_of_several: Option<Arc<[u8]>>,
}

/// Clients come and go.
impl Operators {
    pub fn new(server: Server) -> Operators {
        Operators { server, calls: Calls::default(), streams: Streams::default() }
    }

    /// Watches the control socket and its clients.
    ///
    /// # Errors
    ///
    /// What epoll_ctl(2) says.
    pub fn watch(&self, poll: &Poll) -> io::Result<()> {
        poll.add(&self.server, Token::Control.into(), poll::Interest::Read)
    }

    /// Clients want to connect, have sent something, can be sent more, or have hung up. Those that may change something
    /// get the places kept for operators: a worker must not be able to take an operator's place. Whether a client is
    /// gone that watched or listened.
    pub fn ready(&mut self, group: Option<&ControlGroup>) -> bool {
        let trusted = |peer: &Peer| permission::may_change(peer, group).is_ok();
        self.server.advance(clock(), &trusted);
        self.forget_those_gone()
    }

    /// Closes the connections of clients whose time is over.
    pub fn expire(&mut self) {
        self.server.expire(clock());
    }

    /// When a client's time is over, or something is to be told.
    pub fn deadline(&self) -> Option<u64> {
        let clients = self.server.deadline().and_then(|at| u64::try_from(at.as_micros()).ok());
        let streams = self.streams.deadline(self.calls.want_news());
        [clients, streams].into_iter().flatten().min()
    }

    /// Clients that have left without a word stay among the streams until this is called: before their number can exceed
    /// that of clients.
    fn make_room_for_streams(&mut self) {
        if self.streams.len() >= CLIENTS {
            self.forget_those_gone();
        }
    }

    fn forget_those_gone(&mut self) -> bool {
        let server = &self.server;
        self.streams.retain(|client| server.has(client))
    }
}

/// Calls and their answers.
impl Operators {
    /// The calls to be answered in this turn, a bounded number.
    pub fn calls(&mut self) -> Vec<Call> {
        self.server.calls(clock())
    }

    /// Reads a call. `permits` says whether its client may change anything, and why not. Returns what is asked for, if
    /// there is something to do or to tell.
    pub fn receive(
        &mut self,
        call: &Call,
        permits: impl FnOnce() -> Result<(), String>,
        log: &mut Log,
    ) -> Option<Asked> {
        let (id, now) = (call.client, clock());
        match control::receive(&call.request) {
            Received::Reply(reply) => self.server.send(id, &reply, now),
            Received::Garbage => self.server.hang_up(id, now),
            Received::Call(asked) => {
                let oneway = asked.oneway;
                let Some(change) = Change::of(&asked.method) else {
                    if !oneway {
                        return Some(Asked::Look(id, asked));
                    }
                    // Such a call wants no answer, and nothing else would come of it.
                    self.server.send(id, &[], now);
                    return None;
                };
                if let Err(reason) = permits() {
                    // Every user may try, without a limit: that must not fill the journal.
                    let method = asked.method.name();
                    log.say(LogLevel::Debug, format_args!("{method} refused: {reason}"));
                    let reply = control::failed(&Failure::NotPermitted { reason });
                    self.server.send(id, if oneway { &[] } else { &reply }, now);
                    return None;
                }
                let entry = log.write(calls::entry(&asked.method, &call.peer));
                self.happened(&entry);
                if oneway {
                    self.server.send(id, &[], now);
                }
                return Some(Asked::Change(change, (!oneway).then(|| Caller::new(id, asked))));
            }
        }
        None
    }

    /// Answers a call that changes nothing.
    pub fn show(
        &mut self,
        id: ClientId,
        asked: control::Call,
        shown: &mut Shown,
        snapshot: &mut Snapshot<'_>,
    ) {
        let now = clock();
        match asked.method {
            Method::Describe => {
                let reply = Reply::Description { description: &snapshot.describe() }.last();
                self.server.send(id, &reply, now);
            }
            Method::Watch { interval } if asked.more => {
                let state = shown.one_of_several.get_or_insert_with(|| {
                    Reply::Status { status: &snapshot.status() }.one_of_several().into()
                });
                self.server.make_endless(id);
                self.server.send_newest(id, state, now);
                self.make_room_for_streams();
                self.streams.watch(id, interval, poll::now());
            }
            Method::Status | Method::Watch { .. } => {
                let state = shown.last.get_or_insert_with(|| {
                    Reply::Status { status: &snapshot.status() }.last().into()
                });
                self.server.send_shared(id, state, now);
            }
            Method::Events => {
                self.server.make_endless(id);
                // What was before is not for this one.
                self.tell_listeners();
                self.make_room_for_streams();
                self.streams.listen(id);
            }
            Method::GetLogLevel => {
                let level = Reply::syslog(snapshot.log.level());
                self.server.send(id, &Reply::LogLevel { level }.last(), now);
            }
            Method::Reload { .. }
            | Method::AbortReload
            | Method::Scale { .. }
            | Method::Recycle { .. }
            | Method::StopWorker { .. }
            | Method::Set { .. }
            | Method::SetLogLevel { .. } => {}
        }
    }

    /// Numbers a request to the core, of which a client, if there is one, wants to be told what comes of it.
    pub fn await_request(&mut self, what: &Request, caller: Option<Caller>) -> RequestId {
        self.calls.await_request(what, caller)
    }

    /// Tells a client that what it asked for is done, or why not.
    pub fn answer(&mut self, caller: &Caller, outcome: Result<Reply<'_>, &Failure>) {
        self.send(caller.client(), &caller.answer(outcome));
    }

    /// Tells the client that has asked how its request went.
    pub fn answer_request(
        &mut self,
        request: RequestId,
        outcome: RequestOutcome,
        herd: &Herd,
        children: &Children,
    ) {
        if let Some(caller) = self.calls.end_request(request) {
            let answer = caller.requested(outcome, herd, children);
            self.send(caller.client(), &answer);
        }
    }

    /// Takes note of what only open requests know.
    pub fn note_progress(&mut self, herd: &Herd) {
        self.calls.note_progress(herd);
    }

    fn send(&mut self, client: ClientId, reply: &[u8]) {
        self.server.send(client, reply, clock());
    }
}

/// Streams of news.
impl Operators {
    /// Something is not as it was.
    pub fn note_change(&mut self) {
        self.streams.note_change();
    }

    /// Something has happened, if this entry of the log is about an event.
    pub fn happened(&mut self, entry: &Entry) {
        self.streams.happened(entry);
    }

    /// Tells clients that watch, listen, or wait for progress what is new; before herder ends, `is_last`, without delay.
    pub fn tell(&mut self, snapshot: &mut Snapshot<'_>, is_last: bool) {
        let now = poll::now();
        if is_last || self.streams.events_are_due(now) {
            self.tell_listeners();
        }
        let news = self.calls.want_news();
        if self.streams.is_due(now, news) {
            self.forget_those_gone();
            let changed = self.streams.take_due(now);
            if self.streams.owes() {
                let status = snapshot.status();
                self.streams.take_in(Reply::Status { status: &status }.one_of_several().into());
            }
            if changed && news {
                for (client, reply) in self.calls.news(snapshot.herd) {
                    self.server.send_newest(client, &reply, clock());
                }
            }
            self.streams.rest(now, poll::now());
        }
        for _ in 0..TOLD_PER_TURN {
            let Some((client, state)) = self.streams.next_owed() else { break };
            self.server.send_newest(client, &state, clock());
        }
    }

    /// Tells clients that listen what has happened so far.
    fn tell_listeners(&mut self) {
        let Some((events, listeners)) = self.streams.take_events() else { return };
        for client in listeners {
            self.server.send_each(client, &events, clock());
        }
        self.forget_those_gone();
    }
}

fn clock() -> Duration {
    Duration::from_micros(poll::now())
}
