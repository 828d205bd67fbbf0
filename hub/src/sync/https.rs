//! The HTTPS carrier: an HTTP/1.1 connection that was upgraded carries the very frames of the QUIC stream.
//!
//! Always true: whoever is in here has shown a certificate in the TLS handshake of this very connection, which ends at
//! the hub; limits of connections are shared with QUIC, and so are sessions, their window and their standing.

use super::Backing;
use super::carrier::{Carrier, FAREWELL_TIMEOUT};
use super::doors::{Answer, Doors, Place};
use super::ending::Ending;
use super::entrance;
use super::frames::{self, Reader};
use super::session::Peer;
use crate::metrics::{Held, Reason};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use sitewarden_protocol::message::{Goodbye, ToAgent};
use sitewarden_protocol::sync::hub::{Closing, HELLO_TIMEOUT};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::watch,
    time::timeout,
};

/// An agent says how it is every ten seconds; one that has been silent for six of them is gone.
const IDLE: Duration = Duration::from_secs(60);

/// Takes agents in over HTTPS.
#[derive(Debug)]
pub(crate) struct Https {
    backing: Arc<Backing>,
    doors: Arc<Doors>,
    /// How many are in.
    guests: watch::Sender<usize>,
    /// Those that are still in are to be cut off.
    cut: watch::Sender<bool>,
}

/// Why an agent is not let in.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It may come another time.
    Later(&'static str),
    /// It may not come in, for this reason.
    Never(&'static str),
}

/// An agent that may come in; its place is kept until this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    peer: Peer,
    address: SocketAddr,
    https: Arc<Https>,
    _place: Place,
}

impl Https {
    pub(crate) fn new(backing: Arc<Backing>, doors: Arc<Doors>) -> Arc<Self> {
        Arc::new(Self { backing, doors, guests: watch::Sender::new(0), cut: watch::Sender::new(false) })
    }

    /// Lets in who showed these certificates, if there is a place.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        shown: &[CertificateDer<'_>],
        address: SocketAddr,
    ) -> Result<Guest, Refused> {
        // The address is proven: TCP's handshake has gone both ways.
        let mut place = match self.doors.knock(address.ip(), true) {
            Answer::Enter(place) => place,
            Answer::Refuse(reason) => return Err(self.full(reason)),
            Answer::Prove => return Err(self.full(Reason::AddressLimit)),
        };
        place.settled();
        match entrance::identify(shown, address, &self.backing).await {
            Ok(peer) => {
                self.guests.send_modify(|guests| *guests += 1);
                Ok(Guest { peer, address, https: Arc::clone(self), _place: place })
            }
            Err(ending) => {
                entrance::tell(None, address, &ending, &self.backing);
                let (_, word) = ending.close();
                Err(if matches!(ending, Ending::Hub) { Refused::Later(word) } else { Refused::Never(word) })
            }
        }
    }

    /// Ends every session in good order, those that take longer than `grace` without.
    pub(crate) async fn drain(&self, grace: Duration) {
        self.backing.registry.drain();
        let mut guests = self.guests.subscribe();
        // The sender is `self`, so waiting ends by the time-out or because all are gone.
        let _ = timeout(grace, guests.wait_for(|guests| *guests == 0)).await;
        self.cut.send_replace(true);
    }

    fn full(&self, reason: Reason) -> Refused {
        self.backing.metrics.refuse(reason);
        Refused::Later("too many connections")
    }
}

impl Guest {
    /// Runs the session on a connection that is being upgraded.
    pub(crate) async fn serve(self, upgrade: OnUpgrade) {
        let backing = &self.https.backing;
        let _counted = Held::new(&backing.metrics.https_sessions, 1);
        let mut cut = self.https.cut.subscribe();
        tokio::select! {
            () = entrance::serve(Upgrading(upgrade), self.peer, self.address, backing) => {}
            _ = cut.wait_for(|cut| *cut) => {}
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.https.guests.send_modify(|guests| *guests -= 1);
    }
}

/// A connection whose upgrade was answered.
struct Upgrading(OnUpgrade);

type Line = TokioIo<Upgraded>;

impl Carrier for Upgrading {
    type Send = WriteHalf<Line>;
    type Receive = ReadHalf<Line>;

    const IDLE: Option<Duration> = Some(IDLE);

    async fn open(&mut self) -> Result<(WriteHalf<Line>, ReadHalf<Line>), Ending> {
        let upgraded = timeout(HELLO_TIMEOUT, &mut self.0).await.map_err(|_| Ending::Closed(Closing::Mute))?;
        let (receive, send) = split(TokioIo::new(upgraded.map_err(io::Error::other)?));
        Ok((send, receive))
    }

    /// TCP has no place for a reason, so a goodbye carries it.
    async fn close(self, ending: &Ending, line: Option<(WriteHalf<Line>, Reader<ReadHalf<Line>>)>, parted: bool) {
        let Some((mut send, reader)) = line else { return };
        let farewell = async {
            if !parted && says_why(ending) {
                let (_, word) = ending.close();
                let goodbye = Goodbye { reason: word.to_owned(), come_back_after: 0 };
                // The line may be gone; then nobody is to be told.
                let _ = frames::send(&mut send, &ToAgent::Goodbye(goodbye)).await;
            }
            let _ = send.shutdown().await;
            // Closing with unread bytes would reset the connection, and the goodbye with it.
            reader.discard().await;
        };
        let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
    }
}

/// Whether there is somebody to tell, and the last message before was written whole.
const fn says_why(ending: &Ending) -> bool {
    !matches!(ending, Ending::Finished | Ending::Gone(_) | Ending::Silent | Ending::Slow)
}
