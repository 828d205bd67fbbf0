//! Two stages for the batches of one session: verified side by side, committed in the order of arrival.
//!
//! Always true: the second stage begins in order, and its results come out in order. It does not wait for one to end
//! before it begins the next, so that the writer can put many batches into one commit. The session bounds how many are
//! in here (`protocol::sync::WINDOW`).

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::task::JoinHandle;

type Commit<B> = Pin<Box<dyn Future<Output = B> + Send>>;

enum Committing<B> {
    Running(Commit<B>),
    Done(B),
}

/// The two stages: `A` is what verification yields, `B` what the commit does.
pub(crate) struct Pipeline<A, B> {
    commit: Box<dyn Fn(A) -> Commit<B> + Send>,
    verifying: VecDeque<JoinHandle<A>>,
    committing: VecDeque<Committing<B>>,
}

/// The task that verified a batch came to nothing.
#[derive(Debug)]
pub(crate) struct Broken;

impl<A: Send + 'static, B> Pipeline<A, B> {
    /// `commit` answers the second stage; it must hand its batch on when first polled, for the order to hold.
    pub(crate) fn new<F>(commit: impl Fn(A) -> F + Send + 'static) -> Self
    where
        F: Future<Output = B> + Send + 'static,
    {
        let commit = move |verified| Box::pin(commit(verified)) as Commit<B>;
        Self { commit: Box::new(commit), verifying: VecDeque::new(), committing: VecDeque::new() }
    }

    /// Adds a batch whose verification runs.
    pub(crate) fn push(&mut self, verification: JoinHandle<A>) {
        self.verifying.push_back(verification);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.verifying.is_empty() && self.committing.is_empty()
    }

    /// The next result, in order; pending for ever while there is none to come. Being cancelled loses nothing.
    pub(crate) async fn next(&mut self) -> Result<B, Broken> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<B, Broken>> {
        while let Some(first) = self.verifying.front_mut() {
            let Poll::Ready(verified) = Pin::new(first).poll(cx) else { break };
            self.verifying.pop_front();
            let Ok(verified) = verified else { return Poll::Ready(Err(Broken)) };
            self.committing.push_back(Committing::Running((self.commit)(verified)));
        }
        for commit in &mut self.committing {
            if let Committing::Running(running) = commit
                && let Poll::Ready(done) = running.as_mut().poll(cx)
            {
                *commit = Committing::Done(done);
            }
        }
        match self.committing.pop_front() {
            Some(Committing::Done(done)) => Poll::Ready(Ok(done)),
            Some(running) => {
                self.committing.push_front(running);
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}

impl<A, B> Drop for Pipeline<A, B> {
    fn drop(&mut self) {
        self.verifying.iter().for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::sync::{Notify, oneshot};

    #[tokio::test]
    async fn a_later_batch_that_is_verified_first_still_comes_second() {
        let mut pipeline = Pipeline::new(|number: u32| async move { number });
        let (verified, wait) = oneshot::channel();
        pipeline.push(tokio::spawn(async move { wait.await.unwrap() }));
        pipeline.push(tokio::spawn(async { 2 }));
        verified.send(1).unwrap();
        assert_eq!((pipeline.next().await.unwrap(), pipeline.next().await.unwrap()), (1, 2));
        assert!(pipeline.is_empty());
    }

    #[tokio::test]
    async fn the_second_batch_is_handed_on_while_the_first_commits() {
        let (handed_on, second) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (log, seen) = (Arc::clone(&handed_on), Arc::clone(&second));
        let mut pipeline = Pipeline::new(move |number: u32| {
            let (log, seen) = (Arc::clone(&log), Arc::clone(&seen));
            async move {
                log.lock().unwrap().push(number);
                // The first is committed only once the second is there: one by one, this would never end.
                if number == 1 {
                    seen.notified().await
                } else {
                    seen.notify_one()
                }
                number
            }
        });
        pipeline.push(tokio::spawn(async { 1 }));
        pipeline.push(tokio::spawn(async { 2 }));
        assert_eq!((pipeline.next().await.unwrap(), pipeline.next().await.unwrap()), (1, 2));
        assert_eq!(*handed_on.lock().unwrap(), [1, 2]);
    }
}
