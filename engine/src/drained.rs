//! Receiving messages that somebody waits for the answers to.

use tokio::sync::mpsc;

/// The receiving end of a channel, held by a thread, that leaves no message behind when it is dropped: whoever waits for an
/// answer sees that there will be none.
///
/// A receiver alone does not see to that. A sender that has its place already may write its message just behind the
/// drop, and there it stays until the last sender is gone; but the handles of an engine outlive its threads.
#[derive(Debug)]
pub(crate) struct Drained<T>(mpsc::Receiver<T>);

impl<T> Drained<T> {
    pub(crate) fn new(messages: mpsc::Receiver<T>) -> Self {
        Drained(messages)
    }

    /// Waits on the thread for messages and takes up to `most` of them; none: there will be no more.
    pub(crate) fn recv_many(&mut self, batch: &mut Vec<T>, most: usize) -> usize {
        self.0.blocking_recv_many(batch, most)
    }
}

impl<T> Drop for Drained<T> {
    fn drop(&mut self) {
        self.0.close();
        // Waits for those who have their place already, and lets nobody else in.
        while self.0.blocking_recv().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::sync::oneshot;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn who_sends_while_the_receiver_ends_sees_that_no_answer_comes() {
        let (sender, receiver) = mpsc::channel(1);
        let place = sender.try_reserve().unwrap();
        let ending = thread::spawn(move || drop(Drained::new(receiver)));
        while !sender.is_closed() {
            thread::yield_now();
        }
        let (answer, mut answered) = oneshot::channel::<()>();
        place.send(answer);
        ending.join().unwrap();
        assert_eq!(answered.try_recv(), Err(TryRecvError::Closed));
    }
}
