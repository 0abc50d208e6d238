//! Probes that the core has ordered: commands and HTTP requests, one at a time for each worker, none longer
//! than `probe.timeout`.
//!
//! A probe that could not be asked, because herder itself lacks something, is said in the log and counts as passed.

use super::children::Children;
use super::helper::Helper;
use super::settings::Configuration;
use super::token::Token;
use crate::launch::Probe;
use crate::log::{Log, LogLevel};
use herder_core::{Event, Generation, Herd, SlotId, Span, WorkerId};
use herder_linux::fetch::Fetch;
use herder_linux::poll::{self, Poll};
use herder_wire::notify::one_line;
use herder_wire::url::Url;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;

/// How much of what a probe prints is kept.
const REASON: usize = 200;

/// If the end of a time-out is noticed later than by this part of it, herder itself was held up, and the probe is given
/// its time again.
const LATE: u64 = 16;

/// The probes that have not been answered, by worker; `None` is that of the instance.
#[derive(Debug, Default)]
pub struct Probes(BTreeMap<Option<WorkerId>, Running>);

#[derive(Debug)]
struct Running {
    /// In microseconds.
    until: u64,
    timeout: Span,
    /// It was given time again, because herder was late.
    excused: bool,
    question: Question,
}

#[derive(Debug)]
enum Question {
    Command(Helper),
    Request(Url, Fetch),
}

impl Probes {
    /// When the first has taken too long.
    pub fn deadline(&self) -> Option<u64> {
        self.0.values().map(|running| running.until).min()
    }
}

impl Question {
    /// What came of it, if that is known by now.
    fn outcome(&mut self, token: Token, poll: &Poll) -> Option<Result<(), String>> {
        match self {
            Question::Command(helper) => helper.outcome(),
            Question::Request(url, fetch) => {
                let outcome = fetch.advance(url);
                if outcome.is_none() {
                    // It is watched, so this cannot fail.
                    let _ = poll.modify(&*fetch, token.into(), fetch.interest());
                }
                outcome
            }
        }
    }
}

/// What a probe is about.
struct Subject {
    worker: Option<WorkerId>,
    slot: SlotId,
    generation: Generation,
}

/// What asking needs of the other parts.
#[derive(Debug)]
pub struct Scene<'a> {
    pub herd: &'a Herd,
    pub settings: &'a Configuration,
    pub children: &'a mut Children,
    pub poll: &'a Poll,
    pub log: &'a mut Log,
}

impl Probes {
    /// Asks a worker, or the instance. Returns the outcome if that is known at once.
    pub fn start(&mut self, worker: Option<WorkerId>, scene: &mut Scene<'_>) -> Option<Event> {
        let subject = match worker {
            Some(id) => {
                let place = scene.children.place(id);
                place.map(|(slot, generation)| Subject { worker, slot, generation })
            }
            None => {
                let generation = scene.herd.generation();
                Some(Subject { worker, slot: SlotId(0), generation })
            }
        };
        match subject.map(|subject| ask(&subject, scene)) {
            Some(Ok(Some((timeout, question)))) => {
                if let Question::Command(helper) = &question {
                    scene.children.helper_started(helper.pid());
                }
                let until = poll::now().saturating_add(timeout.0);
                let running = Running { until, timeout, excused: false, question };
                self.0.insert(worker, running);
                None
            }
            Some(Err(why)) => Some(Event::Probed { worker, outcome: Err(why) }),
            // The worker is gone, or it could not be asked.
            Some(Ok(None)) | None => Some(Event::Probed { worker, outcome: Ok(()) }),
        }
    }

    /// Something has happened to a probe. Returns its outcome, if that is known by now.
    pub fn ready(&mut self, id: WorkerId, poll: &Poll, children: &mut Children) -> Option<Event> {
        let worker = Some(id).filter(|id| id.0 > 0);
        let outcome = self.0.get_mut(&worker)?.question.outcome(Token::Probe(id), poll)?;
        Some(self.end(worker, outcome, children))
    }

    /// Gives up on probes that have taken too long.
    pub fn expire(&mut self, poll: &Poll, children: &mut Children) -> Vec<Event> {
        let now = poll::now();
        let late = self.0.iter().filter(|(_, running)| running.until <= now);
        let late: Vec<Option<WorkerId>> = late.map(|(worker, _)| *worker).collect();
        let mut events = Vec::new();
        for worker in late {
            let Some(running) = self.0.get_mut(&worker) else { continue };
            let token = Token::Probe(worker.unwrap_or(WorkerId(0)));
            let timeout = running.timeout;
            let outcome = match running.question.outcome(token, poll) {
                Some(outcome) => outcome,
                // herder was late, stopped perhaps, and it may not even have sent its question.
                None if now - running.until > timeout.part(LATE).0 && !running.excused => {
                    (running.until, running.excused) = (now.saturating_add(timeout.0), true);
                    continue;
                }
                None => Err(format!("no answer within {timeout}")),
            };
            events.push(self.end(worker, outcome, children));
        }
        events
    }

    fn end(
        &mut self,
        worker: Option<WorkerId>,
        outcome: Result<(), String>,
        children: &mut Children,
    ) -> Event {
        if let Some(Running { question: Question::Command(helper), .. }) = self.0.remove(&worker) {
            children.helper_ended(helper.pid());
        }
        Event::Probed { worker, outcome: outcome.map_err(|why| one_line(&why, REASON)) }
    }
}

/// Sends the question, and says how long the answer may take; `None` if herder cannot ask. `Err` is an answer already:
/// there is nothing to connect to.
fn ask(subject: &Subject, scene: &mut Scene<'_>) -> Result<Option<(Span, Question)>, String> {
    let Some(spec) = scene.settings.get(subject.generation) else { return Ok(None) };
    let (Some(probe), Some(rules)) = (&spec.launch.probe, spec.settings.policy.probe) else {
        return Ok(None);
    };
    let id = subject.worker.unwrap_or(WorkerId(0));
    let token = Token::Probe(id);
    let (slot, generation) = (subject.slot, subject.generation);
    let asked = match probe {
        Probe::Http(url) => {
            let url = Url::parse(&url.render(slot.0, id.0, generation.0));
            let url = url.map_err(|why| format!("`probe.http` {why}"))?;
            let watched = match Fetch::start(&url) {
                Ok(fetch) => {
                    let fetch = fetch?;
                    scene.poll.add(&fetch, token.into(), fetch.interest()).map(|()| fetch)
                }
                Err(why) => Err(why),
            };
            watched.map(|fetch| Question::Request(url, fetch)).map_err(|why| why.to_string())
        }
        Probe::Exec(command) => {
            let mut env = spec.launch.render(slot, id, generation, Path::new("/"), &[]).env;
            let pid = scene.children.unreaped(id).map(|pid| format!("HERDER_WORKER_PID={pid}"));
            // Digits have no NUL in them.
            env.extend(pid.and_then(|pid| CString::new(pid).ok()).map(Cow::Owned));
            let inheritance = scene.children.inheritance();
            let helper = Helper::start(scene.poll, token, command, env, spec, inheritance);
            helper.map(Question::Command)
        }
    };
    match asked {
        Ok(question) => Ok(Some((rules.timeout, question))),
        Err(why) => {
            let text = format!("cannot probe {id}: {why}, ignoring");
            scene.log.say(LogLevel::Warning, text);
            Ok(None)
        }
    }
}
