//! Drives one session: moves messages between the connection and `protocol::sync::hub::Session`, and carries out what
//! that asks for. All rules are there; here are time limits, the store and the wire.

use super::Backing;
use super::carrier::Carrier;
use super::ending::Ending;
use super::frames::{self, Reader, Share};
use super::pipeline::Pipeline;
use super::registry::{End, Word};
use super::signer::{Addressee, RESIGN_AFTER, Voice, is_outdated};
use crate::ingest::Verified;
use crate::metrics::Held;
use sitewarden_certs::peer::KeyId;
use sitewarden_protocol::id::{AgentId, SiteId};
use sitewarden_protocol::message::{
    Activate, Activated, ActivationOutcome, Hello, LiveStatus, OLDEST_VERSION, ToAgent, ToHub,
};
use sitewarden_protocol::signing::PublicKey;
use sitewarden_protocol::snapshot::Version;
use sitewarden_protocol::sync::hub::{Action, Closing, Greeting, Ingested, Session};
use std::{collections::VecDeque, future, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, sleep_until},
};

/// Between two writes of what one agent says of itself: in between only the last word counts.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How long batches that are being committed may hold up the end of a session.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// A revoked agent need not ask often.
const COME_BACK_REVOKED: u32 = 3_600;

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) agent: AgentId,
    pub(crate) site: SiteId,
    /// What its batches are verified with.
    pub(crate) signing_key: PublicKey,
    /// Of the key that its certificate is for.
    pub(crate) key_digest: [u8; 32],
    /// The authority's key that signed the certificate.
    pub(crate) issuer: Option<KeyId>,
    /// From where it came first; `None` if it is not there, and its messages come from a file.
    pub(crate) address: Option<IpAddr>,
}

/// Runs a session to its end, and closes the connection so that the agent learns why.
pub(crate) async fn run<C: Carrier>(
    mut carrier: C,
    peer: Peer,
    backing: Arc<Backing>,
    mut word: watch::Receiver<Word>,
) -> Ending {
    match open(&mut carrier, &mut word).await {
        Ok((send, receive)) => {
            let reader = Reader::start(receive, backing.budget.clone(), C::IDLE);
            let mut driver = Driver::new(peer, backing, word, send, reader);
            let ending = driver.run().await;
            let Driver { send, reader, parted, .. } = driver;
            carrier.close(&ending, Some((send, reader)), parted).await;
            ending
        }
        Err(ending) => {
            carrier.close(&ending, None, false).await;
            ending
        }
    }
}

/// The line that the agent opens, unless the session is to end before that.
async fn open<C: Carrier>(carrier: &mut C, word: &mut watch::Receiver<Word>) -> Result<(C::Send, C::Receive), Ending> {
    let told = async {
        match word.wait_for(|word| word.end.is_some()).await {
            Ok(word) => word.end,
            Err(_) => None,
        }
    };
    tokio::select! {
        line = carrier.open() => line,
        end = told => Err(end.map_or(Ending::Finished, Ending::from)),
    }
}

struct Driver<S, R> {
    peer: Peer,
    backing: Arc<Backing>,
    word: watch::Receiver<Word>,
    send: S,
    reader: Reader<R>,
    session: Session,
    begun: Instant,
    pipeline: Pipeline<Verified, Ingested>,
    /// The memory of the batches that the session has been given and not yet handed to the pipeline, oldest first.
    shares: VecDeque<Share>,
    /// Whether the agent has said hello.
    greeted: bool,
    /// The newest epoch of its journal, by its hello.
    epoch: u64,
    /// The start of its machine, by its hello.
    boot: [u8; 16],
    /// What the agent hears the hub's word by.
    voice: Voice,
    /// The snapshot that the agent has.
    snapshot: Version,
    resign_at: Instant,
    /// The agent's last word on itself, not stored yet.
    status: Option<Box<LiveStatus>>,
    /// When it may be stored at the earliest.
    report_at: Instant,
    /// The session is to end, at the latest at this moment, when nothing is being committed any more.
    finish: Option<(End, Instant)>,
    /// Whether the agent was told goodbye.
    parted: bool,
    /// Whether the agent has said all that it will say.
    ended: bool,
}

impl<S, R> Driver<S, R>
where
    S: AsyncWrite + Send + Unpin,
    R: AsyncRead + Send + Unpin + 'static,
{
    fn new(peer: Peer, backing: Arc<Backing>, word: watch::Receiver<Word>, send: S, reader: Reader<R>) -> Self {
        let (ingest, voice) = (Arc::clone(&backing.ingest), backing.signer.voice(OLDEST_VERSION));
        let begun = Instant::now();
        Self {
            peer,
            word,
            send,
            reader,
            session: Session::new(Duration::ZERO, peer.agent),
            begun,
            pipeline: Pipeline::new(move |verified| Arc::clone(&ingest).commit(verified)),
            shares: VecDeque::new(),
            greeted: false,
            epoch: 0,
            boot: [0; 16],
            voice,
            snapshot: Version::default(),
            resign_at: begun + RESIGN_AFTER,
            status: None,
            report_at: begun,
            finish: None,
            parted: false,
            ended: false,
            backing,
        }
    }

    async fn run(&mut self) -> Ending {
        loop {
            while let Some(action) = self.session.poll_action() {
                if let Err(ending) = self.act(action).await {
                    return ending;
                }
            }
            if let Err(ending) = self.report().await {
                return ending;
            }
            if let Err(ending) = self.wait().await {
                return ending;
            }
        }
    }

    /// Waits for whatever comes first, and tells the state machine.
    async fn wait(&mut self) -> Result<(), Ending> {
        if let Some((end, deadline)) = self.finish
            && (self.pipeline.is_empty() || deadline <= Instant::now())
        {
            return self.end(end);
        }
        let timer = self.timer();
        if self.ended && self.pipeline.is_empty() {
            return Err(Ending::Finished);
        }
        let reading = self.finish.is_none() && !self.ended && self.session.wants_input();
        tokio::select! {
            received = self.reader.next(), if reading => match received? {
                Some((message, share)) => self.received(message, share),
                // What came before is answered still.
                None => self.ended = true,
            },
            outcome = self.pipeline.next(), if !self.pipeline.is_empty() => {
                self.session.handle_ingested(outcome.map_err(|_| Ending::Hub)?);
            }
            changed = self.word.changed() => {
                if changed.is_ok() { self.told().await? } else { future::pending::<()>().await }
            }
            () = sleep_until(timer) => self.time_passed().await?,
        }
        Ok(())
    }

    fn timer(&self) -> Instant {
        let session = self.session.poll_timeout().map(|at| self.begun + at);
        let finish = self.finish.map(|(_, deadline)| deadline);
        let report = self.status.as_ref().map(|_| self.report_at);
        [session, finish, report].into_iter().flatten().fold(self.resign_at, Instant::min)
    }

    fn received(&mut self, message: ToHub, share: Share) {
        if matches!(message, ToHub::Batch(_)) {
            self.shares.push_back(share);
        }
        self.session.handle_message(message);
    }

    async fn time_passed(&mut self) -> Result<(), Ending> {
        self.session.handle_timeout(self.begun.elapsed());
        if self.resign_at <= Instant::now() {
            self.resign_at = Instant::now() + RESIGN_AFTER;
            self.look_again().await?;
        }
        Ok(())
    }

    async fn told(&mut self) -> Result<(), Ending> {
        let word = *self.word.borrow_and_update();
        match (word.end, self.finish) {
            (Some(end), None) => self.finish = Some((end, Instant::now() + FINISH_TIMEOUT)),
            (Some(_), Some(_)) => {}
            (None, _) => self.look_again().await?,
        }
        Ok(())
    }

    fn end(&mut self, end: End) -> Result<(), Ending> {
        self.finish = None;
        match end {
            End::Draining(after) => self.session.handle_end(Closing::Draining, after),
            End::Replaced => return Err(end.into()),
        }
        Ok(())
    }

    /// The site or the agent's standing may have changed.
    async fn look_again(&mut self) -> Result<(), Ending> {
        match self.backing.standing(self.peer.agent).await {
            Ok(standing) if standing.key_digest == self.peer.key_digest => {}
            Ok(_) => return Err(Ending::OldKey),
            Err(Ending::Closed(Closing::Revoked)) => {
                self.session.handle_end(Closing::Revoked, COME_BACK_REVOKED);
                return Ok(());
            }
            Err(ending) => return Err(ending),
        }
        // Before the hello nothing can be sent, and the greeting will hold the newest snapshot anyway.
        if !self.greeted {
            return Ok(());
        }
        self.speak_with_the_newest();
        self.clear().await?;
        if let Some(snapshot) = self.newer_snapshot().await? {
            self.session.handle_snapshot(snapshot);
            self.backing.metrics.snapshots_pushed.inc();
        }
        Ok(())
    }

    /// Tells of an administrator's word that the agent has not carried out yet. It is said again at each occasion until
    /// then: the agent takes it once.
    async fn clear(&mut self) -> Result<(), Ending> {
        if let Some(clearance) = self.backing.clearance(self.peer.agent, self.epoch).await? {
            self.session.handle_cleared(self.backing.signer.cleared(&self.voice, &clearance));
        }
        Ok(())
    }

    /// Tells of a new signing key before anything is signed with it.
    fn speak_with_the_newest(&mut self) {
        let voice = self.backing.signer.voice(self.session.version());
        if voice.number != self.voice.number {
            self.voice = voice;
            self.session.handle_keys(self.backing.signer.chain());
        }
    }

    async fn newer_snapshot(&mut self) -> Result<Option<sitewarden_protocol::snapshot::Signed>, Ending> {
        let parts = self.backing.snapshot_parts(self.peer.site).await?;
        let now = crate::wall_clock();
        let revision = parts.revision;
        if !is_outdated(self.snapshot, revision, now) {
            return Ok(None);
        }
        self.snapshot = Version { revision, issued_at: now };
        let Peer { agent, signing_key, .. } = self.peer;
        let to = Addressee { agent, signing_key, version: self.session.version() };
        Ok(Some(self.backing.signer.snapshot(&self.voice, parts, to, now)))
    }

    async fn act(&mut self, action: Action) -> Result<(), Ending> {
        match action {
            Action::Greet(hello) => {
                let greeting = self.greet(&hello).await?;
                self.session.handle_greeting(greeting);
                self.clear().await?;
            }
            Action::Ingest(batch) => {
                let share = self.shares.pop_front();
                let held =
                    Held::new(&self.backing.metrics.held_bytes, share.as_ref().map_or(0, |share| share.bytes as i64));
                self.pipeline.push(self.backing.ingest.verify(
                    self.peer.agent,
                    self.voice.clone(),
                    batch,
                    (share, held),
                ));
            }
            Action::TellTime(nonce) => {
                let time = self.backing.signer.time(&self.voice, self.peer.agent, nonce, crate::wall_clock());
                self.session.handle_time(time);
            }
            Action::Activate(ask) => {
                let activated = self.activate(*ask).await?;
                self.session.handle_activated(activated);
            }
            Action::Renew(request) => {
                let answer = self.backing.renewals.answer(self.peer.agent, &request).await;
                self.session.handle_renewed(answer);
            }
            Action::Report(status) => self.status = Some(status),
            Action::Send(message) => self.deliver(&message).await?,
            Action::Close(closing) => return Err(Ending::Closed(closing)),
        }
        Ok(())
    }

    /// Answer and snapshot go together, so that the site can act on the answer at once; also on a refusal, which may rest
    /// on what the site has not heard of yet.
    async fn activate(&mut self, ask: Activate) -> Result<Activated, Ending> {
        let question = ask.question;
        let outcome = self.backing.activate(self.peer.agent, ask).await;
        let snapshot = match outcome {
            ActivationOutcome::Activated(_) | ActivationOutcome::Refused(_) => self.newer_snapshot().await?,
            ActivationOutcome::Unavailable => None,
        };
        Ok(Activated { question, outcome, snapshot })
    }

    /// Stores the agent's last word on itself, when that is due.
    async fn report(&mut self) -> Result<(), Ending> {
        if self.report_at <= Instant::now()
            && let Some(status) = self.status.take()
        {
            self.report_at = Instant::now() + REPORT_INTERVAL;
            let boot = self.peer.address.map(|_| self.boot);
            self.backing.report(self.peer.agent, boot, *status).await?;
        }
        Ok(())
    }

    async fn greet(&mut self, hello: &Hello) -> Result<Greeting, Ending> {
        self.greeted = true;
        self.voice = self.backing.signer.voice(self.session.version());
        self.boot = hello.boot_id;
        self.epoch = hello.epochs.iter().map(|extent| extent.head.position.epoch).max().unwrap_or_default();
        self.snapshot = hello.snapshot;
        // A file tells how things stood: one that is old, or comes twice, is no machine that was rolled back.
        if let Some(address) = self.peer.address {
            self.backing.saw(hello, self.peer.issuer).await?;
            for flag in self.backing.greet(hello, address).await? {
                tracing::warn!(agent = %self.peer.agent, %address, flag, "raised a red flag");
            }
        }
        let epochs: Vec<u64> = hello.epochs.iter().map(|extent| extent.head.position.epoch).collect();
        let cursors = self.backing.cursors(self.peer.agent, &epochs).await?;
        let now = crate::wall_clock();
        let sign = |cursor| self.backing.signer.receipt(&self.voice, self.peer.agent, cursor, now);
        let receipts = cursors.into_iter().map(sign).collect();
        let keys = self.backing.signer.chain();
        Ok(Greeting { keys, receipts, snapshot: self.newer_snapshot().await? })
    }

    async fn deliver(&mut self, message: &ToAgent) -> Result<(), Ending> {
        frames::send(&mut self.send, message).await?;
        self.parted |= matches!(message, ToAgent::Goodbye(_));
        Ok(())
    }
}
