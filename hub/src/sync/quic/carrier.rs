//! A session on a QUIC connection.

use crate::sync::carrier::{Carrier, FAREWELL_TIMEOUT};
use crate::sync::ending::Ending;
use crate::sync::frames::Reader;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use sitewarden_protocol::sync::hub::{Closing, HELLO_TIMEOUT};
use std::time::Duration;
use tokio::time::timeout;

impl Carrier for Connection {
    type Send = SendStream;
    type Receive = RecvStream;

    /// QUIC's own idle time-out sees to it.
    const IDLE: Option<Duration> = None;

    async fn open(&mut self) -> Result<(SendStream, RecvStream), Ending> {
        let stream = timeout(HELLO_TIMEOUT, self.accept_bi()).await.map_err(|_| Ending::Closed(Closing::Mute))?;
        Ok(stream.map_err(std::io::Error::from)?)
    }

    async fn close(self, ending: &Ending, line: Option<(SendStream, Reader<RecvStream>)>, parted: bool) {
        if parted && let Some((mut send, _reader)) = line {
            // The goodbye must arrive before the connection is gone.
            let _ = send.finish();
            let _ = timeout(FAREWELL_TIMEOUT, send.stopped()).await;
        }
        let (code, word) = ending.close();
        Self::close(&self, VarInt::from_u32(code), word.as_bytes());
    }
}
