//! Calls over the control socket: what is done about each, and what its caller is told.
//!
//! Nothing is ever “busy”: what is asked goes to the core, and the answer is what came of it. A
//! caller that goes away meanwhile changes nothing.

use super::Daemon;
use crate::log::{self, LogLevel};
use herder_core::{Event, Generation, Request, RequestId, RequestOutcome, SlotId, WorkerId};
use herder_linux::control::{Call, ClientId, Peer};
use herder_linux::poll;
use herder_wire::control::{self, Failure, Method, Received, Reply};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A client that waits for an answer.
#[derive(Debug)]
pub struct Caller {
    client: ClientId,
    method: Method,
    /// By the generic interface, whose answers say nothing.
    generic: bool,
    /// It wants to be told of progress.
    more: bool,
    /// What it was told last.
    told: Arc<[u8]>,
    /// How many workers are to be replaced, as far as that was known last.
    of: u32,
    /// What a reload is to bring.
    reload: Option<Generation>,
}

/// The calls that are not answered yet.
#[derive(Debug, Default)]
pub struct Calls {
    requests: BTreeMap<RequestId, Caller>,
    newest: u64,
}

impl Calls {
    /// Whether a caller wants to be told of progress.
    pub fn want_news(&self) -> bool {
        self.requests.values().any(|caller| caller.more)
    }
}

/// How the instance is doing, for all clients that ask in one turn.
#[derive(Debug, Default)]
pub struct Shown {
    last: Option<Arc<[u8]>>,
    one_of_several: Option<Arc<[u8]>>,
}

impl Daemon {
    pub(super) fn answer_call(&mut self, call: &Call, shown: &mut Shown) {
        let now = self.clock();
        let id = call.client;
        match control::receive(&call.request) {
            Received::Reply(reply) => self.server.send(id, &reply, now),
            Received::Garbage => self.server.hang_up(id, now),
            Received::Call(asked) if asked.method.changes() => {
                if let Err(reason) = self.permits(call) {
                    // Every user may try, without a limit: that must not fill the journal.
                    let method = asked.method.name();
                    self.log.say(LogLevel::Debug, format_args!("{method} refused: {reason}"));
                    let reply = control::failed(&Failure::NotPermitted { reason });
                    return self.server.send(id, if asked.oneway { &[] } else { &reply }, now);
                }
                self.log_change(&asked.method, &call.peer);
                if asked.oneway {
                    self.server.send(id, &[], now);
                }
                let control::Call { method, oneway, more, generic } = asked;
                let caller = (!oneway).then(|| Caller {
                    client: id,
                    method: method.clone(),
                    generic,
                    more,
                    told: Arc::default(),
                    of: 0,
                    reload: None,
                });
                self.change(method, caller);
            }
            // A oneway call wants no answer.
            Received::Call(asked) if asked.oneway => self.server.send(id, &[], now),
            Received::Call(asked) => self.tell(id, asked, shown),
        }
    }

    /// Answers what changes nothing.
    fn tell(&mut self, id: ClientId, asked: control::Call, shown: &mut Shown) {
        let now = self.clock();
        match asked.method {
            Method::Describe => {
                let reply = Reply::Description { description: &self.describe() }.last();
                self.server.send(id, &reply, now);
            }
            Method::Watch { interval } if asked.more => {
                let state = shown.one_of_several.get_or_insert_with(|| {
                    Reply::Status { status: &self.status() }.one_of_several().into()
                });
                self.server.make_endless(id);
                self.server.send_newest(id, state, now);
                self.make_room_for_streams();
                self.streams.watch(id, interval, poll::now());
            }
            Method::Status | Method::Watch { .. } => {
                let state = shown
                    .last
                    .get_or_insert_with(|| Reply::Status { status: &self.status() }.last().into());
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
                let level = Reply::syslog(self.log.level());
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

    /// Does what a caller with the right to change things asks for.
    fn change(&mut self, method: Method, caller: Option<Caller>) {
        let what = match method {
            Method::Reload { previous } => return self.reload(previous, caller),
            Method::SetLogLevel { level } => {
                self.log.set_level(level);
                if let Some(caller) = caller {
                    self.answer(&caller, Reply::Nothing {});
                }
                return;
            }
            Method::Set { settings } => {
                let outcome = self.set(&settings);
                if let Some(caller) = caller {
                    match outcome {
                        Ok(message) => self.answer(&caller, Reply::Done { message: &message }),
                        Err(reason) => self.fail(&caller, &Failure::Failed { reason, pid: None }),
                    }
                }
                return;
            }
            Method::AbortReload => Request::AbortReload,
            Method::Scale { workers } => Request::Scale { workers },
            Method::Recycle { slot } => Request::Recycle { slot: slot.map(SlotId) },
            Method::StopWorker { worker } => Request::StopWorker { worker: WorkerId(worker) },
            Method::Describe
            | Method::Status
            | Method::Watch { .. }
            | Method::Events
            | Method::GetLogLevel => return,
        };
        self.request(what, caller);
    }

    /// Passes a request on to the core; the caller, if there is one, waits for its outcome.
    pub(super) fn request(&mut self, what: Request, caller: Option<Caller>) {
        self.calls.newest += 1;
        let request = RequestId(self.calls.newest);
        if let Some(mut caller) = caller {
            if let Request::Reload { generation, .. } = what {
                caller.reload = Some(generation);
            }
            self.calls.requests.insert(request, caller);
        }
        self.events.push_back(Event::Asked { request, what });
    }

    fn log_change(&mut self, method: &Method, peer: &Peer) {
        let what = match method {
            Method::Reload { previous: true } => "for the settings before".to_owned(),
            Method::AbortReload => "to abort the reload".to_owned(),
            Method::Scale { workers: 1 } => "for 1 worker".to_owned(),
            Method::Scale { workers } => format!("for {workers} workers"),
            Method::Recycle { slot: None } => "for a new worker in every slot".to_owned(),
            Method::Recycle { slot: Some(slot) } => format!("for a new worker in slot {slot}"),
            Method::StopWorker { worker } => format!("to stop worker {worker}"),
            Method::Set { settings } => format!("for {}", settings.join(", ")),
            Method::SetLogLevel { level } => {
                format!("for log entries up to {}", level)
            }
            Method::Reload { previous: false }
            | Method::Describe
            | Method::Status
            | Method::Watch { .. }
            | Method::Events
            | Method::GetLogLevel => "for a reload".to_owned(),
        };
        let name = method.name();
        let name = name.rsplit_once('.').map_or(name, |(_, name)| name);
        let entry = self.log.write(log::change(name, &what, peer.uid, peer.pid));
        self.streams.happened(&entry);
    }

    /// Tells the caller that has asked how its request went.
    pub(super) fn answer_request(&mut self, request: RequestId, outcome: RequestOutcome) {
        let Some(caller) = self.calls.requests.remove(&request) else { return };
        let failed = |reason: String, pid| match caller.reload {
            Some(generation) => {
                Failure::ReloadFailed { generation: Some(generation.0), reason, pid }
            }
            None => Failure::Failed { reason, pid },
        };
        let failure = match outcome {
            RequestOutcome::Done(message) => {
                let (wanted, ready) = self.herd.strength();
                let status = self.herd.status_line();
                let message = if caller.reload.is_some() { &status } else { &message };
                let reply = match (&caller.method, caller.reload) {
                    (_, Some(Generation(generation))) => {
                        Reply::Reloaded { generation, message, replaced: ready, wanted }
                    }
                    (Method::Scale { .. }, None) => Reply::Scaled { message, ready, wanted },
                    (Method::Recycle { .. }, None) => {
                        Reply::Recycled { message, replaced: caller.of, wanted: caller.of }
                    }
                    (_, None) => Reply::Done { message },
                };
                return self.answer(&caller, reply);
            }
            RequestOutcome::Failed { reason, worker } => {
                let pid = worker.and_then(|worker| self.children.pid(worker));
                failed(reason, pid)
            }
            RequestOutcome::Superseded { by } => {
                failed(format!("superseded: a reload to {by} took over"), None)
            }
            RequestOutcome::NotFound(reason) => Failure::NotFound { reason },
            RequestOutcome::Stopped => Failure::Stopped,
        };
        self.fail(&caller, &failure);
    }

    /// Takes note of what only open requests know.
    pub(super) fn note_progress(&mut self) {
        for (&request, caller) in &mut self.calls.requests {
            if let Some((_, of)) = self.herd.request_progress(request) {
                caller.of = of;
            }
        }
    }

    /// Tells callers that want it of progress, if there was any.
    pub(super) fn tell_callers(&mut self) {
        let now = self.clock();
        let message = self.herd.status_line();
        let message = message.as_str();
        let (wanted, ready) = self.herd.strength();
        let requests = self.calls.requests.iter_mut().filter_map(|(&request, caller)| {
            let reply = match (&caller.method, caller.reload) {
                (_, Some(generation)) => {
                    let progress = self.herd.progress()?;
                    let (replaced, wanted) = (progress.replaced, progress.wanted);
                    let generation = (progress.generation == generation).then_some(generation.0)?;
                    Reply::Reloaded { generation, message, replaced, wanted }
                }
                (Method::Scale { .. }, None) => Reply::Scaled { message, ready, wanted },
                (Method::Recycle { .. }, None) => {
                    let (replaced, wanted) = self.herd.request_progress(request)?;
                    Reply::Recycled { message, replaced, wanted }
                }
                (_, None) => return None,
            };
            Some((caller, reply))
        });
        for (caller, reply) in requests.filter(|(caller, _)| caller.more) {
            let reply = reply.one_of_several();
            if *reply != *caller.told {
                caller.told = reply.into();
                self.server.send_newest(caller.client, &caller.told, now);
            }
        }
    }

    fn answer(&mut self, caller: &Caller, reply: Reply<'_>) {
        let reply = if caller.generic { Reply::Nothing {} } else { reply };
        self.send(caller.client, &reply.last());
    }

    pub(super) fn fail(&mut self, caller: &Caller, failure: &Failure) {
        self.send(caller.client, &control::failed(failure));
    }

    fn send(&mut self, client: ClientId, reply: &[u8]) {
        let now = self.clock();
        self.server.send(client, reply, now);
    }
}
