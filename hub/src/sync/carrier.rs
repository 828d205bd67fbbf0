//! What a session needs of whatever carries its bytes.

use super::ending::Ending;
use super::frames::Reader;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long the last message may take to arrive, and the agent to close after it.
pub(super) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection with one agent, of any carrier. Who is at its other end is known.
pub(crate) trait Carrier: Send {
    /// Bytes to the agent.
    type Send: AsyncWrite + Send + Unpin;
    /// Bytes from the agent.
    type Receive: AsyncRead + Send + Unpin + 'static;

    /// How long the agent may be silent between two messages; `None` if the connection itself notices that it is gone.
    const IDLE: Option<Duration>;

    /// The two directions. Fails if the agent does not open them in time.
    fn open(&mut self) -> impl Future<Output = Result<(Self::Send, Self::Receive), Ending>> + Send;

    /// Closes, so that the agent learns why; `parted` if a goodbye has been sent already. `line` is what [`Self::open`]
    /// gave.
    fn close(
        self,
        ending: &Ending,
        line: Option<(Self::Send, Reader<Self::Receive>)>,
        parted: bool,
    ) -> impl Future<Output = ()> + Send;
}
