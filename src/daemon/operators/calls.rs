//! Calls over the control socket that are not answered yet, and the words of their answers.

use crate::daemon::children::Children;
use crate::log::{self, Entry, LogLevel};
use herder_core::{Generation, Herd, Request, RequestId, RequestOutcome, SlotId, WorkerId};
use herder_linux::control::{ClientId, Peer};
use herder_wire::control::{self, Failure, Method, Reply};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a client asks for.
#[derive(Debug)]
pub enum Asked {
    /// To be told something.
    Look(ClientId, control::Call),
    /// A change; the caller, if there is one, wants an answer.
    Change(Change, Option<Caller>),
}

/// A change that a client asks for.
#[derive(Debug)]
pub enum Change {
    Reload {
        previous: bool,
    },
    LogLevel(LogLevel),
    /// Assignments of `herder set`.
    Settings(Vec<String>),
    /// What the core does.
    Request(Box<Request>),
}

impl Change {
    /// `None` for a method that changes nothing.
    pub fn of(method: &Method) -> Option<Change> {
        let request = |what| Change::Request(Box::new(what));
        Some(match method {
            Method::Reload { previous } => Change::Reload { previous: *previous },
            Method::SetLogLevel { level } => Change::LogLevel(*level),
            Method::Set { settings } => Change::Settings(settings.clone()),
            Method::AbortReload => request(Request::AbortReload),
            Method::Scale { workers } => request(Request::Scale { workers: *workers }),
            Method::Recycle { slot } => request(Request::Recycle { slot: slot.map(SlotId) }),
            Method::StopWorker { worker } => {
                request(Request::StopWorker { worker: WorkerId(*worker) })
            }
            Method::Describe
            | Method::Status
            | Method::Watch { .. }
            | Method::Events
            | Method::GetLogLevel => return None,
        })
    }
}

/// The entry of the log that says which change was asked for, and by which client.
pub fn entry(method: &Method, peer: &Peer) -> Entry {
    let what = match method {
        Method::Reload { previous: true } => "for the settings before".to_owned(),
        Method::AbortReload => "to abort the reload".to_owned(),
        Method::Scale { workers: 1 } => "for 1 worker".to_owned(),
        Method::Scale { workers } => format!("for {workers} workers"),
        Method::Recycle { slot: None } => "for a new worker in every slot".to_owned(),
        Method::Recycle { slot: Some(slot) } => format!("for a new worker in slot {slot}"),
        Method::StopWorker { worker } => format!("to stop worker {worker}"),
        Method::Set { settings } => format!("for {}", settings.join(", ")),
        Method::SetLogLevel { level } => format!("for log entries up to {level}"),
        Method::Reload { previous: false }
        | Method::Describe
        | Method::Status
        | Method::Watch { .. }
        | Method::Events
        | Method::GetLogLevel => "for a reload".to_owned(),
    };
    let name = method.name();
    let name = name.rsplit_once('.').map_or(name, |(_, name)| name);
    log::change(name, &what, peer.uid, peer.pid)
}

/// A client that waits for an answer.
#[derive(Debug)]
pub struct Caller {
    client: ClientId,
    method: Method,
    /// The generation that a reload is to bring.
    reload: Option<Generation>,
    /// By the generic interface, whose answers say nothing.
    generic: bool,
    /// It wants to be told of progress.
    more: bool,
    /// What it was told last.
    told: Arc<[u8]>,
    /// How many workers are to be replaced, as far as that was known last.
    of: u32,
}

impl Caller {
    pub fn new(client: ClientId, call: control::Call) -> Caller {
        let control::Call { method, more, generic, .. } = call;
        Caller { client, method, reload: None, generic, more, told: Arc::default(), of: 0 }
    }

    pub fn client(&self) -> ClientId {
        self.client
    }

    /// Its answer: what it asked for is done, or why not.
    pub fn answer(&self, outcome: Result<Reply<'_>, &Failure>) -> Vec<u8> {
        match outcome {
            Ok(_) if self.generic => Reply::Nothing {}.last(),
            Ok(reply) => reply.last(),
            Err(failure) => control::failed(failure),
        }
    }

    /// Its answer once its request is over.
    pub fn requested(&self, outcome: RequestOutcome, herd: &Herd, children: &Children) -> Vec<u8> {
        let failed = |reason: String, pid| match self.reload {
            Some(generation) => {
                Failure::ReloadFailed { generation: Some(generation.0), reason, pid }
            }
            None => Failure::Failed { reason, pid },
        };
        let failure = match outcome {
            RequestOutcome::Done(message) => {
                let (wanted, ready) = herd.strength();
                let status = herd.status_line();
                let message = if self.reload.is_some() { &status } else { &message };
                return self.answer(Ok(match (&self.method, self.reload) {
                    (_, Some(Generation(generation))) => {
                        Reply::Reloaded { generation, message, replaced: ready, wanted }
                    }
                    (Method::Scale { .. }, None) => Reply::Scaled { message, ready, wanted },
                    (Method::Recycle { .. }, None) => {
                        Reply::Recycled { message, replaced: self.of, wanted: self.of }
                    }
                    (_, None) => Reply::Done { message },
                }));
            }
            RequestOutcome::Failed { reason, worker } => {
                failed(reason, worker.and_then(|worker| children.pid(worker)))
            }
            RequestOutcome::Superseded { by } => {
                failed(format!("superseded: a reload to {by} took over"), None)
            }
            RequestOutcome::NotFound(reason) => Failure::NotFound { reason },
            RequestOutcome::Stopped => Failure::Stopped,
        };
        self.answer(Err(&failure))
    }
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

    /// Gives a request to the core the next number.
    pub fn await_request(&mut self, what: &Request, caller: Option<Caller>) -> RequestId {
        self.newest += 1;
        let request = RequestId(self.newest);
        if let Some(mut caller) = caller {
            if let Request::Reload { generation, .. } = what {
                caller.reload = Some(*generation);
            }
            self.requests.insert(request, caller);
        }
        request
    }

    /// The request is over. Returns the caller to be told so.
    pub fn end_request(&mut self, request: RequestId) -> Option<Caller> {
        self.requests.remove(&request)
    }

    /// Takes note of what only open requests know.
    pub fn note_progress(&mut self, herd: &Herd) {
        for (&request, caller) in &mut self.requests {
            if let Some((_, of)) = herd.request_progress(request) {
                caller.of = of;
            }
        }
    }

    /// What is to be told to callers that want to be told of progress, if there was any.
    pub fn news(&mut self, herd: &Herd) -> Vec<(ClientId, Arc<[u8]>)> {
        let message = herd.status_line();
        let message = message.as_str();
        let (wanted, ready) = herd.strength();
        let requests = self.requests.iter_mut().filter_map(|(&request, caller)| {
            let reply = match (&caller.method, caller.reload) {
                (_, Some(generation)) => {
                    let progress = herd.progress()?;
                    let (replaced, wanted) = (progress.replaced, progress.wanted);
                    let generation = (progress.generation == generation).then_some(generation.0)?;
                    Reply::Reloaded { generation, message, replaced, wanted }
                }
                (Method::Scale { .. }, None) => Reply::Scaled { message, ready, wanted },
                (Method::Recycle { .. }, None) => {
                    let (replaced, wanted) = herd.request_progress(request)?;
                    Reply::Recycled { message, replaced, wanted }
                }
                (_, None) => return None,
            };
            Some((caller, reply))
        });
        let mut news = Vec::new();
        for (caller, reply) in requests.filter(|(caller, _)| caller.more) {
            let reply = reply.one_of_several();
            if *reply != *caller.told {
                caller.told = reply.into();
                news.push((caller.client, Arc::clone(&caller.told)));
            }
        }
        news
    }
}
