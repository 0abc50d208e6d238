//! The connection over which an instance says how it is, made again when it is gone.

use super::state::Message;
use crate::ask;
use crate::client::{Connection, Trouble};
use crate::find::Instance;
use herder_linux::error::Error;
use herder_wire::control::Method;
use herder_wire::status::Status;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long the screen may stand still while a connection is made: longer than that takes, unless
/// herder hangs.
const BRIEFLY: Duration = Duration::from_millis(500);

/// How long to wait before a connection is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long to wait for what is already there.
const AT_ONCE: Duration = Duration::from_millis(1);

/// A sentence about an instance without its name at the beginning.
pub fn without_name(instance: &Instance, text: &str) -> String {
    text.strip_prefix(&format!("{}: ", instance.name)).unwrap_or(text).to_owned()
}

/// One instance.
#[derive(Debug)]
pub struct Feed {
    pub instance: Instance,
    connection: Option<Connection>,
    tried: Option<Instant>,
}

impl Feed {
    /// Not connected yet.
    pub fn new(instance: Instance) -> Feed {
        Feed { instance, connection: None, tried: None }
    }

    /// Connects, and waits for the first answer until the deadline.
    ///
    /// # Errors
    ///
    /// As those of every command: the instance is not there, or does not answer.
    pub fn first(&mut self, interval: Duration, deadline: Instant) -> Result<Status, Error> {
        self.connect(interval, deadline)?;
        let connection = self.connection.as_mut().ok_or_else(|| Error::Failed(String::new()))?;
        let reply =
            connection.next(Some(deadline)).map_err(|why| ask::trouble(&self.instance, why))?;
        let mut parameters = reply.parameters;
        ask::read_status(&self.instance, parameters.remove("status").unwrap_or_default())
    }

    fn connect(&mut self, interval: Duration, deadline: Instant) -> Result<(), Error> {
        self.connection = None;
        self.tried = Some(Instant::now());
        let mut connection = ask::connect(&self.instance, deadline)?;
        let interval = u64::try_from(interval.as_micros()).ok();
        connection
            .send(&Method::Watch { interval }.request(true))
            .map_err(|why| ask::trouble(&self.instance, why))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// There may be something to [`read`](Feed::read) here.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_ref().map(AsFd::as_fd)
    }

    /// When [`connect_again`](Feed::connect_again) is to be called; none while there is a connection.
    pub fn due(&self) -> Option<Instant> {
        match (&self.connection, self.tried) {
            (Some(_), _) => None,
            (None, tried) => Some(tried.map_or_else(Instant::now, |tried| tried + PAUSE)),
        }
    }

    /// Connects again, also where there is a connection; what came of it.
    pub fn connect_again(&mut self, pane: usize, interval: Duration) -> Message {
        match self.connect(interval, Instant::now() + BRIEFLY) {
            Ok(()) => Message::Connected { pane },
            Err(why) => Message::Lost { pane, why: self.why(&why) },
        }
    }

    /// What the instance has said.
    pub fn read(&mut self, pane: usize) -> Vec<Message> {
        let mut said = Vec::new();
        while let Some(connection) = &mut self.connection {
            let why = match connection.next(Some(Instant::now() + AT_ONCE)) {
                Err(Trouble::Late) => break,
                Err(why) => ask::trouble(&self.instance, why),
                Ok(mut reply) => {
                    let object = reply.parameters.remove("status").unwrap_or_default();
                    match ask::read_status(&self.instance, object) {
                        Ok(status) => {
                            said.push(Message::Heard { pane, status: Box::new(status) });
                            if reply.continues {
                                continue;
                            }
                            ask::trouble(&self.instance, Trouble::Closed)
                        }
                        Err(why) => why,
                    }
                }
            };
            self.connection = None;
            said.push(Message::Lost { pane, why: self.why(&why) });
        }
        said
    }

    /// The reason alone: which instance it is about is seen on the screen.
    fn why(&self, why: &Error) -> String {
        without_name(&self.instance, &why.to_string())
    }
}
