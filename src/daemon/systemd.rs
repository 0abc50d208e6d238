//! What systemd is told: the core's notices as datagrams (sd_notify(3)).
//!
//! Nothing here blocks. What systemd has no room for is owed, and said again: the words that change
//! its idea of the service in their order, of pings and status lines only the last. If the socket has no listener, that is
//! tried with the next notice and not by a timer, which could not bring a listener back.

use herder_core::{Backoff, Notice, Span};
use herder_linux::notify::{Manager, Sent};
use herder_wire::notify::compose;
use sd_notify::NotifyState;
use std::collections::VecDeque;

/// How far ahead EXTEND_TIMEOUT_USEC asks for patience. The core asks every five seconds.
const PATIENCE: Span = Span::secs(15);
/// When something that was not taken is said again.
const BACKOFF: Backoff = Backoff { first: Span::millis(100), longest: Span::secs(5) };

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Systemd {
    manager: Option<Manager>,
    /// READY=1, RELOADING=1 and STOPPING=1, as far as systemd has not taken them.
    words: VecDeque<Notice>,
    /// A ping that came too late would kill a healthy service (`WatchdogSec=`).
    owed_ping: bool,
    owed_status: Option<String>,
    stopping: bool,
    /// How often in a row it was tried in vain, from 1.
    tries: u32,
    again_at: Option<u64>,
    /// Datagrams that systemd did not take at the first try.
    lost: u64,
    /// Of these, those [`recovered`](Systemd::recovered) has told.
    told: u64,
    /// It took the last one.
    taken: bool,
}

impl Systemd {
    /// `manager` is none when `NOTIFY_SOCKET` was not set: then nothing is told.
    pub fn new(manager: Option<Manager>) -> Systemd {
        Systemd {
            manager,
            words: VecDeque::new(),
            owed_ping: false,
            owed_status: None,
            stopping: false,
            tries: 1,
            again_at: None,
            lost: 0,
            told: 0,
            taken: true,
        }
    }

    /// Tells it, after what it is owed. `now` is in microseconds.
    pub fn tell(&mut self, notice: &Notice, now: u64) {
        if self.manager.is_none() {
            return;
        }
        let mut missed = false;
        match notice {
            Notice::Ready | Notice::Stopping => self.words.push_back(notice.clone()),
            Notice::Reloading(_) => {
                // Of a reload that systemd has not heard of it need not hear any more.
                let unheard = |word: &Notice| matches!(word, Notice::Reloading(_));
                let old = self.words.iter().position(unheard).unwrap_or(self.words.len());
                self.words.truncate(old);
                self.words.push_back(notice.clone());
            }
            Notice::Status(text) => self.owed_status = Some(text.clone()),
            Notice::Watchdog => self.owed_ping = true,
            // The next one is on its way, and this one would be said too late.
            Notice::Extend => missed = self.owes() || self.say(notice) != Sent::Taken,
        }
        if *notice == Notice::Stopping {
            self.stopping = true;
        }
        // A service that is stopping has no watchdog any more, and a ping would start it again.
        self.owed_ping &= !self.stopping;
        match self.settle() {
            Sent::Taken => {}
            Sent::Full => {
                missed = true;
                self.again_at.get_or_insert(now + BACKOFF.after(self.tries, 0.0).0);
            }
            Sent::NotListening => {
                missed = true;
                self.again_at = None;
            }
        }
        self.lost += u64::from(missed);
    }

    /// Says again what was not taken.
    pub fn retry(&mut self, now: u64) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            if self.settle() == Sent::Full {
                self.tries = self.tries.saturating_add(1);
                self.again_at = Some(now + BACKOFF.after(self.tries, 0.0).0);
            }
        }
    }

    /// Datagrams that systemd did not take at the first try.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// When [`retry`](Systemd::retry) is due, in microseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.again_at
    }

    /// How many datagrams came late or never, once it takes them again and nothing is owed: each is
    /// told once.
    pub fn recovered(&mut self) -> Option<u64> {
        let lost = self.lost - self.told;
        if lost == 0 || !self.taken || self.owes() {
            return None;
        }
        self.told = self.lost;
        Some(lost)
    }

    fn owes(&self) -> bool {
        !self.words.is_empty() || self.owed_ping || self.owed_status.is_some()
    }

    /// Says what is owed, as far as it is taken.
    fn settle(&mut self) -> Sent {
        while let Some(word) = self.words.front().cloned() {
            match self.say(&word) {
                Sent::Taken => self.words.pop_front(),
                refused => return refused,
            };
        }
        if self.owed_ping {
            match self.say(&Notice::Watchdog) {
                Sent::Taken => self.owed_ping = false,
                refused => return refused,
            }
        }
        if let Some(text) = self.owed_status.take() {
            let status = Notice::Status(text);
            let sent = self.say(&status);
            if let (false, Notice::Status(text)) = (sent == Sent::Taken, status) {
                self.owed_status = Some(text);
                return sent;
            }
        }
        self.tries = 1;
        self.again_at = None;
        Sent::Taken
    }

    fn say(&mut self, notice: &Notice) -> Sent {
        let datagram = match notice {
            Notice::Ready => compose(&[NotifyState::Ready]),
            Notice::Reloading(at) => {
                compose(&[NotifyState::Reloading, NotifyState::MonotonicUsec(at.0.into())])
            }
            Notice::Stopping => compose(&[NotifyState::Stopping]),
            Notice::Status(text) => compose(&[NotifyState::Status(text)]),
            Notice::Extend => {
                let usec = u32::try_from(PATIENCE.0).unwrap_or(u32::MAX);
                compose(&[NotifyState::ExtendTimeoutUsec(usec)])
            }
            Notice::Watchdog => compose(&[NotifyState::Watchdog]),
        };
        let send = |manager: &Manager| manager.send(datagram.as_bytes());
        let sent = self.manager.as_ref().map_or(Sent::NotListening, send);
        self.taken = sent == Sent::Taken;
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_core::Time;
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;

    struct Scene {
        systemd: Systemd,
        path: PathBuf,
        _dir: tempfile::TempDir,
    }

    fn scene() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = Manager::new(path.to_str().unwrap()).unwrap();
        Scene { systemd: Systemd::new(Some(manager)), path, _dir: dir }
    }

    impl Scene {
        fn listen(&self) -> UnixDatagram {
            let socket = UnixDatagram::bind(&self.path).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        }

        /// Listens, with a queue that has no room.
        fn listen_full(&self) -> UnixDatagram {
            let socket = self.listen();
            let manager = Manager::new(self.path.to_str().unwrap()).unwrap();
            while manager.send(b"FILLER") == Sent::Taken {}
            socket
        }
    }

    /// What is in the queue, in order.
    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        let next = || {
            socket
                .recv(&mut buffer)
                .ok()
                .map(|n| String::from_utf8_lossy(&buffer[..n]).trim().to_owned())
        };
        std::iter::from_fn(next).filter(|text| text != "FILLER").collect()
    }

    fn status(number: u32) -> Notice {
        Notice::Status(format!("{number}"))
    }

    #[test]
    fn what_there_is_room_for_is_said_at_once_and_in_order() {
        let mut scene = scene();
        let socket = scene.listen();
        for notice in [Notice::Extend, status(1), Notice::Ready, Notice::Watchdog, Notice::Stopping]
        {
            scene.systemd.tell(&notice, 0);
        }
        let said =
            ["EXTEND_TIMEOUT_USEC=15000000", "STATUS=1", "READY=1", "WATCHDOG=1", "STOPPING=1"];
        assert_eq!(heard(&socket), said);
        assert_eq!((scene.systemd.deadline(), scene.systemd.lost()), (None, 0));
    }

    #[test]
    fn a_ping_that_was_not_taken_is_said_again() {
        let mut scene = scene();
        let socket = scene.listen_full();
        scene.systemd.tell(&Notice::Watchdog, 0);
        assert_eq!((scene.systemd.deadline(), scene.systemd.lost()), (Some(BACKOFF.first.0), 1));
        scene.systemd.tell(&Notice::Extend, 0);
        assert_eq!((scene.systemd.lost(), scene.systemd.recovered()), (2, None), "not yet");
        heard(&socket);
        scene.systemd.retry(BACKOFF.first.0);
        assert_eq!(heard(&socket), ["WATCHDOG=1"]);
        assert_eq!(scene.systemd.deadline(), None);
        assert_eq!(scene.systemd.recovered(), Some(2));
        assert_eq!(scene.systemd.recovered(), None, "once");
    }

    #[test]
    fn no_ping_comes_after_stopping() {
        let mut scene = scene();
        let socket = scene.listen_full();
        scene.systemd.tell(&Notice::Watchdog, 0);
        scene.systemd.tell(&Notice::Stopping, 0);
        scene.systemd.tell(&Notice::Watchdog, 0);
        heard(&socket);
        scene.systemd.retry(BACKOFF.first.0);
        scene.systemd.tell(&Notice::Watchdog, BACKOFF.first.0);
        assert_eq!(heard(&socket), ["STOPPING=1"]);
    }

    #[test]
    fn no_number_of_status_lines_pushes_out_a_word() {
        let mut scene = scene();
        let socket = scene.listen_full();
        for number in 0..1000 {
            scene.systemd.tell(&status(number), 0);
        }
        scene.systemd.tell(&Notice::Ready, 0);
        scene.systemd.tell(&Notice::Reloading(Time(5)), 0);
        scene.systemd.tell(&Notice::Ready, 0);
        scene.systemd.tell(&Notice::Stopping, 0);
        heard(&socket);
        scene.systemd.retry(BACKOFF.first.0);
        let said =
            ["READY=1", "RELOADING=1\nMONOTONIC_USEC=5", "READY=1", "STOPPING=1", "STATUS=999"];
        assert_eq!(heard(&socket), said);
    }

    #[test]
    fn a_thousand_reloads_that_were_not_heard_are_one() {
        let mut scene = scene();
        scene.systemd.tell(&Notice::Ready, 0);
        for at in 1..=1000 {
            scene.systemd.tell(&Notice::Reloading(Time(at)), at);
            scene.systemd.tell(&Notice::Ready, at);
        }
        let socket = scene.listen();
        scene.systemd.tell(&Notice::Stopping, 2000);
        let said = ["READY=1", "RELOADING=1\nMONOTONIC_USEC=1000", "READY=1", "STOPPING=1"];
        assert_eq!(heard(&socket), said);
    }

    #[test]
    fn a_socket_without_a_listener_sets_no_timer() {
        let mut scene = scene();
        scene.systemd.tell(&Notice::Ready, 0);
        assert_eq!(scene.systemd.deadline(), None, "there is no such file");
        drop(scene.listen());
        scene.systemd.tell(&status(1), 0);
        assert_eq!(scene.systemd.deadline(), None, "there is a file, and no listener behind it");
        std::fs::remove_file(&scene.path).unwrap();
        let socket = scene.listen();
        scene.systemd.tell(&status(2), 0);
        assert_eq!(heard(&socket), ["READY=1", "STATUS=2"]);
    }

    #[test]
    fn a_full_queue_is_tried_less_and_less_often() {
        let mut scene = scene();
        let socket = scene.listen_full();
        let mut now = 0;
        scene.systemd.tell(&Notice::Ready, now);
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                let due = scene.systemd.deadline().unwrap();
                let wait = due - now;
                now = due;
                // Anything new is tried at once, and changes nothing about that.
                scene.systemd.tell(&status(7), now - 1);
                scene.systemd.retry(now);
                wait / 1000
            })
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        heard(&socket);
        scene.systemd.tell(&status(8), now);
        assert_eq!(heard(&socket), ["READY=1", "STATUS=8"]);
        assert_eq!(scene.systemd.deadline(), None);
        let socket = {
            drop(socket);
            std::fs::remove_file(&scene.path).unwrap();
            scene.listen_full()
        };
        scene.systemd.tell(&Notice::Ready, now);
        assert_eq!(scene.systemd.deadline(), Some(now + BACKOFF.first.0), "and often again");
        drop(socket);
    }
}
