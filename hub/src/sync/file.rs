//! A file in place of a line: a session whose agent is not there any more.
//!
//! Always true: it takes no place among the agent's sessions, and nothing that it says of the moment at which it was written
//! is taken for now.

use super::Backing;
use super::carrier::Carrier;
use super::ending::Ending;
use super::frames::Reader;
use super::registry::Word;
use super::session::{self, Peer};
use crate::store::Standing;
use sitewarden_protocol::id::AgentId;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{DuplexStream, ReadHalf, WriteHalf},
    sync::watch,
};

impl Peer {
    /// The agent that wrote a file, as the store knows it.
    pub(crate) const fn of_file(agent: AgentId, standing: &Standing) -> Self {
        let &Standing { site, signing_key, key_digest, .. } = standing;
        Self { agent, site, signing_key, key_digest, issuer: None, address: None }
    }
}

/// Has the session that a file's messages make, which come and are answered over `pipe`, and answers how it ended:
/// [`Ending::Finished`] if all was well.
pub(crate) async fn carried(pipe: DuplexStream, peer: Peer, backing: Arc<Backing>) -> Ending {
    // Kept to the end: a session whose word is gone would be one that nobody can end.
    let (_slot, word) = watch::channel(Word::default());
    session::run(Pipe(Some(pipe)), peer, backing, word).await
}

struct Pipe(Option<DuplexStream>);

impl Carrier for Pipe {
    type Send = WriteHalf<DuplexStream>;
    type Receive = ReadHalf<DuplexStream>;

    /// Whoever fills the pipe has limits of its own.
    const IDLE: Option<Duration> = None;

    async fn open(&mut self) -> Result<(Self::Send, Self::Receive), Ending> {
        let (receive, send) = tokio::io::split(self.0.take().ok_or(Ending::Hub)?);
        Ok((send, receive))
    }

    async fn close(self, _: &Ending, line: Option<(Self::Send, Reader<Self::Receive>)>, _: bool) {
        // Both halves gone is the pipe's end.
        drop(line);
    }
}
