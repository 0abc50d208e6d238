//! Probes that the core has ordered: commands and HTTP requests, one at a time for each worker, none longer
//! than `probe.timeout`.
//!
//! A probe that could not even be asked, because herder itself lacks something, is said in the log and
//! held against nobody.

use super::Daemon;
use super::helper::Helper;
use super::token::Token;
use crate::launch::Probe;
use crate::log::LogLevel;
use herder_core::{Event, Generation, SlotId, Span, WorkerId};
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

/// Who notices the end of a time-out later than by this part of it was held up.
const LATE: u64 = 16;

/// Those that have not been answered, by worker; `None` is of the instance.
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

impl Daemon {
    /// Asks.
    pub(super) fn start_probe(&mut self, worker: Option<WorkerId>) {
        let subject = match worker {
            Some(id) => {
                let place = self.children.place(id);
                place.map(|(slot, generation)| Subject { worker, slot, generation })
            }
            None => {
                let generation = self.herd.generation();
                Some(Subject { worker, slot: SlotId(0), generation })
            }
        };
        let question = subject.map(|subject| self.ask(&subject));
        let until = |timeout: Span| poll::now().saturating_add(timeout.0);
        match question {
            Some(Ok(Some((timeout, question)))) => {
                if let Question::Command(helper) = &question {
                    self.children.helpers.insert(helper.pid());
                }
                let running = Running { until: until(timeout), timeout, excused: false, question };
                self.probes.0.insert(worker, running);
            }
            Some(Err(why)) => {
                self.events.push_back(Event::Probed { worker, outcome: Err(why) });
            }
            // It is gone, or nobody could ask.
            Some(Ok(None)) | None => {
                self.events.push_back(Event::Probed { worker, outcome: Ok(()) });
            }
        }
    }

    /// A probe on its way, and how long that may take; `None` if herder cannot ask. `Err` is an answer
    /// already: there is nobody to connect to.
    fn ask(&mut self, subject: &Subject) -> Result<Option<(Span, Question)>, String> {
        let Some(spec) = self.generations.get(subject.generation) else { return Ok(None) };
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
                        self.poll.add(&fetch, token.into(), fetch.interest()).map(|()| fetch)
                    }
                    Err(why) => Err(why),
                };
                watched.map(|fetch| Question::Request(url, fetch)).map_err(|why| why.to_string())
            }
            Probe::Exec(command) => {
                let mut env = spec.launch.render(slot, id, generation, Path::new("/"), &[]).env;
                let pid = self.children.unreaped(id).map(|pid| format!("HERDER_WORKER_PID={pid}"));
                // Digits have no NUL in them.
                env.extend(pid.and_then(|pid| CString::new(pid).ok()).map(Cow::Owned));
                let inheritance = self.children.inheritance();
                let helper = Helper::start(&self.poll, token, command, env, spec, inheritance);
                helper.map(Question::Command)
            }
        };
        match asked {
            Ok(question) => Ok(Some((rules.timeout, question))),
            Err(why) => {
                self.log.say(LogLevel::Warning, format_args!("cannot probe {id}: {why}, ignoring"));
                Ok(None)
            }
        }
    }

    /// Something has happened to a probe.
    pub(super) fn probe_ready(&mut self, id: WorkerId) {
        let worker = Some(id).filter(|id| id.0 > 0);
        let Some(running) = self.probes.0.get_mut(&worker) else { return };
        if let Some(outcome) = running.question.outcome(Token::Probe(id), &self.poll) {
            self.end_probe(worker, outcome);
        }
    }

    /// Gives up on probes that have taken too long.
    pub(super) fn expire_probes(&mut self) {
        let now = poll::now();
        let late = self.probes.0.iter().filter(|(_, running)| running.until <= now);
        let late: Vec<Option<WorkerId>> = late.map(|(worker, _)| *worker).collect();
        for worker in late {
            let Some(running) = self.probes.0.get_mut(&worker) else { continue };
            let token = Token::Probe(worker.unwrap_or(WorkerId(0)));
            let timeout = running.timeout;
            let outcome = match running.question.outcome(token, &self.poll) {
                Some(outcome) => outcome,
                // It was herder that was late, stopped perhaps, and it may not even have sent its question.
                None if now - running.until > timeout.part(LATE).0 && !running.excused => {
                    (running.until, running.excused) = (now.saturating_add(timeout.0), true);
                    continue;
                }
                None => Err(format!("no answer within {timeout}")),
            };
            self.end_probe(worker, outcome);
        }
    }

    fn end_probe(&mut self, worker: Option<WorkerId>, outcome: Result<(), String>) {
        if let Some(Running { question: Question::Command(helper), .. }) =
            self.probes.0.remove(&worker)
        {
            self.children.helpers.remove(&helper.pid());
        }
        let outcome = outcome.map_err(|why| one_line(&why, REASON));
        self.events.push_back(Event::Probed { worker, outcome });
    }
}
