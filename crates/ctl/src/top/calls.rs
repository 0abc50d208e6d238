//! Calls to instances that are not answered yet. Each has a connection of its own, so that calls do not wait
//! for each other and the view goes on meanwhile.

use super::feed::without_name;
use super::state::Message;
use crate::ask;
use crate::client::{Connection, Trouble};
use crate::find::Instance;
use crate::human::one_line;
use herder_wire::control::{Answer, Failure, Method};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long the screen may stand still while a connection is made.
const BRIEFLY: Duration = Duration::from_secs(1);

/// How long to wait for what is already there.
const AT_ONCE: Duration = Duration::from_millis(1);

/// A call that is not answered yet.
#[derive(Debug)]
pub struct Call {
    id: u64,
    instance: Instance,
    connection: Connection,
}

impl Call {
    /// Asks.
    ///
    /// # Errors
    ///
    /// The answer, if it could not even be asked.
    pub fn make(id: u64, instance: &Instance, method: Method) -> Result<Call, Message> {
        let refused = |why: String| Message::Answered { call: id, outcome: Err(why) };
        let mut connection = ask::connect(instance, Instant::now() + BRIEFLY)
            .map_err(|why| refused(without_name(instance, &why.to_string())))?;
        connection.send(&method.request(true)).map_err(|why| refused(said(instance, why)))?;
        Ok(Call { id, instance: instance.clone(), connection })
    }

    /// There may be something to [`read`](Call::read) here.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// What was answered so far, and whether that is all.
    pub fn read(&mut self) -> (Vec<Message>, bool) {
        let (call, mut messages) = (self.id, Vec::new());
        loop {
            let outcome = match self.connection.next(Some(Instant::now() + AT_ONCE)) {
                Err(Trouble::Late) => return (messages, false),
                Err(why) => Err(said(&self.instance, why)),
                Ok(reply) => {
                    let text = match Answer::read(reply.parameters) {
                        Some(answer) => one_line(&answer.message),
                        None => "done".to_owned(),
                    };
                    if reply.continues {
                        messages.push(Message::Progress { call, text });
                        continue;
                    }
                    Ok(text)
                }
            };
            messages.push(Message::Answered { call, outcome });
            return (messages, true);
        }
    }
}

/// Why the call failed, without the name of the instance, which is on the screen.
fn said(instance: &Instance, why: Trouble) -> String {
    if let Trouble::Failure(Failure::ReloadRefused { reason }) = why {
        return format!("refused, nothing has changed: {}", one_line(&reason));
    }
    without_name(instance, &one_line(&ask::trouble(instance, why).to_string()))
}
