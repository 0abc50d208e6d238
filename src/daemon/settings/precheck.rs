//! The `check` command of a reload: run before the first new worker, and its output is the reason
//! when it fails.

use super::source::Spec;
use crate::daemon::children::Inheritance;
use crate::daemon::helper::Helper;
use crate::daemon::token::Token;
use herder_core::{Event, Generation, SlotId, WorkerId};
use herder_linux::poll::Poll;
use std::path::Path;

/// Variables that tell a worker which one it is; the `check` command is no worker.
const OF_A_WORKER: [&str; 2] = ["HERDER_SLOT=", "HERDER_WORKER="];

/// A `check` command that runs.
#[derive(Debug)]
pub struct Precheck {
    generation: Generation,
    helper: Helper,
}

impl Precheck {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// Why it cannot be started, as a sentence.
    pub fn start(
        poll: &Poll,
        generation: Generation,
        spec: &Spec,
        inheritance: Inheritance,
    ) -> Result<Precheck, String> {
        let Some(check) = &spec.launch.check else {
            return Err("there is none".to_owned());
        };
        let rendered = spec.launch.render(SlotId(0), WorkerId(0), generation, Path::new("/"), &[]);
        let mut env = rendered.env;
        env.retain(|variable| {
            !OF_A_WORKER.iter().any(|name| variable.to_bytes().starts_with(name.as_bytes()))
        });
        let helper = Helper::start(poll, Token::Check, check, env, spec, inheritance)?;
        Ok(Precheck { generation, helper })
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.helper.pid()
    }

    /// The generation that it checks.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What came of it; `None` while it runs.
    pub fn outcome(&mut self) -> Option<Event> {
        let generation = self.generation;
        Some(Event::Checked { generation, outcome: self.helper.outcome()? })
    }
}
