//! A made-up herder behind a real socket, for the tests of the commands.

use herder_wire::control::{Received, receive};
use herder_wire::varlink::{Frames, Request};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

/// What it does about a call.
pub enum Answer {
    /// It sends these messages.
    Replies(Vec<Vec<u8>>),
    /// It sends these messages and closes the connection.
    LastWords(Vec<Vec<u8>>),
    /// It says nothing until the caller has gone.
    Silence,
}

/// One that answers the calls to come in turn, and what every Varlink service has to by itself.
pub struct Herder {
    pub dir: tempfile::TempDir,
    thread: JoinHandle<Vec<Request>>,
}

impl Herder {
    pub fn answering(answers: Vec<Answer>) -> Herder {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("control")).unwrap();
        let thread = thread::spawn(move || {
            let mut calls = Vec::new();
            let mut answers = answers.into_iter().peekable();
            while answers.peek().is_some() {
                wait_for(&listener);
                let (stream, _) = listener.accept().unwrap();
                converse(stream, &mut answers, &mut calls);
            }
            calls
        });
        Herder { dir, thread }
    }

    /// One that answers one call, with one message.
    pub fn saying(answer: Vec<u8>) -> Herder {
        Herder::answering(vec![Answer::Replies(vec![answer])])
    }

    /// What to call it on the command line.
    pub fn path(&self) -> Option<&str> {
        self.dir.path().to_str()
    }

    /// The calls it has answered, when it has answered all.
    pub fn calls(self) -> Vec<Request> {
        self.thread.join().unwrap()
    }

    /// The names of their methods, without the interface.
    pub fn methods(self) -> Vec<String> {
        self.calls().iter().map(|call| call.split().1.to_owned()).collect()
    }
}

/// Until the client goes, or nothing is left to say.
fn converse(
    mut stream: UnixStream,
    answers: &mut std::iter::Peekable<std::vec::IntoIter<Answer>>,
    calls: &mut Vec<Request>,
) {
    let mut frames = Frames::new(65536);
    let mut buffer = [0; 4096];
    while answers.peek().is_some() {
        while let Some(message) = frames.next_message().unwrap() {
            let call = Request::parse(&message);
            let is_generic = call.as_ref().is_some_and(|call| call.method.starts_with("org."));
            match receive(&message) {
                Received::Reply(reply) if is_generic => {
                    stream.write_all(&reply).unwrap();
                    continue;
                }
                _ => calls.push(call.unwrap()),
            }
            let (replies, last) = match answers.next().expect("a call nobody has expected") {
                Answer::Replies(replies) => (replies, false),
                Answer::LastWords(replies) => (replies, true),
                Answer::Silence => (Vec::new(), false),
            };
            for reply in replies {
                stream.write_all(&reply).unwrap();
            }
            if last {
                return;
            }
        }
        wait_for(&stream);
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => frames.push(&buffer[..length]),
        }
    }
    // It is the client that ends a conversation.
    let _ = stream.read(&mut buffer);
}

fn wait_for(fd: &impl AsFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(10_000u16)), Ok(1), "nobody calls");
}
