//! What a client has still to read. Shared between clients where all are told the same.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

/// Messages on their way out, in order.
#[derive(Debug, Default)]
pub struct Output {
    queue: VecDeque<Arc<[u8]>>,
    /// How much of the first is written.
    begun: usize,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many bytes are not written yet.
    pub fn len(&self) -> usize {
        self.queue.iter().map(|message| message.len()).sum::<usize>() - self.begun
    }

    /// What is not written, or only in part.
    pub fn messages(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.queue.iter()
    }

    pub fn push(&mut self, message: Arc<[u8]>) {
        if !message.is_empty() {
            self.queue.push_back(message);
        }
    }

    /// Drops what is not begun: of a message of which a part is written the rest has to follow.
    pub fn keep_begun(&mut self) {
        self.queue.truncate(usize::from(self.begun > 0));
    }

    pub fn clear(&mut self) {
        // A burst of replies must not leave its memory behind.
        *self = Output::default();
    }

    /// Writes what there is room for; how much that was.
    ///
    /// # Errors
    ///
    /// Whatever the writer fails with, `WouldBlock` too, after what it has taken before.
    pub fn write_to(&mut self, mut writer: impl Write) -> (usize, io::Result<()>) {
        let mut total = 0;
        while let Some(message) = self.queue.front() {
            match writer.write(&message[self.begun..]) {
                Ok(length) => {
                    total += length;
                    self.begun += length;
                    if self.begun == message.len() {
                        self.queue.pop_front();
                        self.begun = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (total, Err(error)),
            }
        }
        self.clear();
        (total, Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes.
    struct Room(usize, Vec<u8>);

    impl Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let length = bytes.len().min(self.0);
            self.0 -= length;
            self.1.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_begun_is_ended_and_the_rest_may_be_dropped() {
        let mut output = Output::default();
        output.push(Arc::from(*b"first"));
        output.push(Arc::from(*b"second"));
        output.push(Arc::from(*b""));
        let mut room = Room(2, Vec::new());
        let (written, outcome) = output.write_to(&mut room);
        assert_eq!((written, outcome.unwrap_err().kind()), (2, io::ErrorKind::WouldBlock));
        assert_eq!(output.len(), 9);
        output.keep_begun();
        output.push(Arc::from(*b"third"));
        room.0 = 100;
        assert!(output.write_to(&mut room).1.is_ok());
        assert_eq!(room.1, b"firstthird");
        assert!(output.is_empty());
        output.push(Arc::from(*b"fourth"));
        output.keep_begun();
        assert!(output.is_empty(), "nothing of it was written");
    }
}
