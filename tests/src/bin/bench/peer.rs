//! Light agents: the protocol's own state machine over real QUIC, with keys and certificates of their own and a journal of one
//! batch in memory. Thousands of them fit into this process.

use anyhow::{Context, Result, ensure};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, IdleTimeout, RecvStream, SendStream, TransportConfig};
use sitewarden_certs::HUB_NAME;
use sitewarden_certs::request::TlsKey;
use sitewarden_certs::tls;
use sitewarden_certs::token::EnrolmentToken;
use sitewarden_protocol::batch::{Draft, Signed};
use sitewarden_protocol::chain::Cursor;
use sitewarden_protocol::enrolment::{Answer, Request};
use sitewarden_protocol::frame::{HEADER, Header};
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::message::{
    EpochExtent, Hello, LiveStatus, MAX_EPOCHS, NEWEST_VERSION, OLDEST_VERSION, ToAgent,
};
use sitewarden_protocol::record::{Body, Event, Record};
use sitewarden_protocol::signing::{PrivateKey, PublicKey};
use sitewarden_protocol::snapshot::Version;
use sitewarden_protocol::sync::agent::{Action, Agent};
use sitewarden_protocol::sync::backoff::Backoff;
use sitewarden_protocol::time::UnixMillis;
use sitewarden_tests::simulation::random::Random;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_rustls::TlsConnector;

/// As real agents have them.
const STATUS_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
const LIMIT: Duration = Duration::from_secs(30);

/// An enrolled light agent that is not connected yet.
pub(crate) struct Peer {
    number: u64,
    id: AgentId,
    key: PrivateKey,
    trusted: Vec<PublicKey>,
    config: ClientConfig,
    hub: SocketAddr,
    /// Where its journal ends.
    end: Cursor,
    /// The newest batch, until it is confirmed.
    pending: Option<(Cursor, Signed)>,
}

/// What all peers are told, and where they tell.
#[derive(Clone)]
pub(crate) struct Orders {
    /// Each peer records so many events more when this grows.
    pub(crate) round: watch::Receiver<u64>,
    /// A peer's number, when its session stands, and when all it has is confirmed.
    pub(crate) told: mpsc::UnboundedSender<Told>,
}

/// What a peer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Its session stands.
    Up,
    /// Everything is confirmed.
    Confirmed,
}

fn now() -> UnixMillis {
    UnixMillis(0).after(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default())
}

impl Peer {
    /// Enrols with a token, from an address of this machine.
    pub(crate) async fn enrol(number: u64, token: &EnrolmentToken, from: IpAddr, sync: SocketAddr) -> Result<Self> {
        let mut seed = [0x5a; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let (key, tls_key) = (PrivateKey::from_seed(&seed), TlsKey::generate()?);
        let csr = tls_key.csr_der()?;
        let request = Request {
            token: token.id,
            secret: *token.secret,
            proof: Request::prove(&token.id, &csr, &key),
            csr,
            signing_key: key.public(),
            program: "bench".to_owned(),
            hostname: format!("peer-{number}"),
            fingerprint: vec![("machine_id".to_owned(), seed)],
        };
        let Answer::Enrolled(enrolled) = ask(token, from, &request.to_frame()).await? else {
            anyhow::bail!("peer {number} was not enrolled")
        };
        let trust = enrolled.snapshot.read()?.trust;
        let tls = tls::sync_client(&trust.authorities, &enrolled.certificate, &tls_key.pem())?;
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(Some(IdleTimeout::try_from(IDLE)?)).keep_alive_interval(Some(KEEP_ALIVE));
        config.transport_config(Arc::new(transport));
        let (id, end) = (enrolled.agent, Cursor::start(enrolled.agent, 1));
        Ok(Self { number, id, key, trusted: trust.signing_keys, config, hub: sync, end, pending: None })
    }

    /// Lives until its task is given up.
    pub(crate) async fn live(mut self, endpoint: Endpoint, mut orders: Orders) -> Result<()> {
        let (begun, mut random) = (Instant::now(), Random::new(self.number));
        let head = self.end.position;
        let backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut agent = Agent::new(self.id, self.trusted.clone(), backoff, head, head);
        let mut line: Option<Line> = None;
        let mut status = interval(STATUS_EVERY);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(action) = agent.poll_action(begun.elapsed()) {
                self.carry_out(action, &mut agent, &mut line, &endpoint, &orders, (begun, &mut random)).await?;
            }
            let timer = agent.poll_timeout().map_or(begun + begun.elapsed() + LIMIT, |at| begun + at);
            tokio::select! {
                message = received(&mut line) => match message {
                    Some(message) => {
                        if matches!(message, ToAgent::Welcome(_)) {
                            orders.told.send(Told::Up)?;
                        }
                        agent.handle_message(begun.elapsed(), random.number(), message);
                    }
                    None => {
                        line = None;
                        agent.handle_closed(begun.elapsed(), random.number());
                    }
                },
                _ = status.tick() => agent.handle_status(LiveStatus { at: now(), ..LiveStatus::default() }),
                changed = orders.round.changed() => {
                    changed?;
                    self.record(*orders.round.borrow_and_update())?;
                    agent.handle_appended(self.end.position);
                }
                () = sleep_until(timer) => agent.handle_timeout(begun.elapsed(), random.number()),
            }
        }
    }

    async fn carry_out(
        &mut self,
        action: Action,
        agent: &mut Agent,
        line: &mut Option<Line>,
        endpoint: &Endpoint,
        orders: &Orders,
        (begun, random): (Instant, &mut Random),
    ) -> Result<()> {
        match action {
            Action::Dial => {
                *line = Line::dial(endpoint, &self.config, self.hub).await.ok();
                match line {
                    Some(_) => agent.handle_connected(begun.elapsed(), self.hello()),
                    None => agent.handle_closed(begun.elapsed(), random.number()),
                }
            }
            Action::Send(message) => {
                if let Some(line) = line {
                    // A line that is gone is told by its reader.
                    let _ = timeout(LIMIT, line.send.write_all(&message.to_frame())).await;
                }
            }
            Action::Read(after) => {
                let batch = self.pending.clone().filter(|_| after < self.end.position);
                agent.handle_read(begun.elapsed(), after, batch);
            }
            Action::Acknowledge(receipt) => {
                if receipt.through == self.end && self.pending.take().is_some() {
                    orders.told.send(Told::Confirmed)?;
                }
            }
            Action::Hangup(_) => *line = None,
            Action::Install(_)
            | Action::Correct(_)
            | Action::Activated(_)
            | Action::Renewed(_)
            | Action::Trust(_)
            | Action::Cleared(_) => {}
        }
        Ok(())
    }

    /// Records some events.
    fn record(&mut self, events: u64) -> Result<()> {
        let event = Event {
            app: "EMS".to_owned(),
            kind: "reading".to_owned(),
            environment: "production".to_owned(),
            outcome: "success".to_owned(),
            count: 1,
            attributes: vec![],
        };
        let records =
            (0..events).map(|_| Record::encode(now(), &Body::Event(event.clone()))).collect::<Result<_, _>>()?;
        let draft = Draft { after: self.end, lost: 0, records };
        let (header, signed) = Signed::make(self.id, &draft, now(), &self.key)?;
        self.end = header.end();
        self.pending = Some((self.end, signed));
        Ok(())
    }

    fn hello(&self) -> Hello {
        let epochs = vec![EpochExtent { oldest: 1, head: self.end }];
        debug_assert!(epochs.len() <= MAX_EPOCHS);
        Hello {
            oldest_version: OLDEST_VERSION,
            newest_version: NEWEST_VERSION,
            agent: self.id,
            program: "bench".to_owned(),
            boot_id: self.id.as_bytes().to_owned(),
            epochs,
            snapshot: Version::default(),
        }
    }
}

/// A connection with its one stream.
struct Line {
    send: SendStream,
    messages: mpsc::Receiver<ToAgent>,
}

impl Line {
    async fn dial(endpoint: &Endpoint, config: &ClientConfig, hub: SocketAddr) -> Result<Self> {
        let connection = timeout(LIMIT, endpoint.connect_with(config.clone(), hub, HUB_NAME)?).await??;
        let (send, receive) = timeout(LIMIT, connection.open_bi()).await??;
        let (told, messages) = mpsc::channel(4);
        tokio::spawn(read(receive, told));
        Ok(Self { send, messages })
    }
}

/// The next message; `None` when the line is gone. Without a line, nothing ever.
async fn received(line: &mut Option<Line>) -> Option<ToAgent> {
    match line {
        Some(line) => line.messages.recv().await,
        None => std::future::pending().await,
    }
}

/// Reads until the line is gone; that is told by the end of `messages`.
async fn read(mut stream: RecvStream, messages: mpsc::Sender<ToAgent>) -> Option<()> {
    loop {
        let mut head = [0; HEADER];
        stream.read_exact(&mut head).await.ok()?;
        let header = Header::parse(&head).ok()?;
        let mut body = vec![0; header.length()];
        stream.read_exact(&mut body).await.ok()?;
        header.check(&body).ok()?;
        messages.send(ToAgent::from_body(&body).ok()?).await.ok()?;
    }
}

/// Asks the hub to enrol, from one of the machine's own addresses.
async fn ask(token: &EnrolmentToken, from: IpAddr, request: &[u8]) -> Result<Answer> {
    let hub = SocketAddr::from(([127, 0, 0, 1], token.hub.port()));
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let asking = async {
        let stream = socket.connect(hub).await?;
        let connector = TlsConnector::from(Arc::new(tls::enrolment_client(token.ca)?));
        let mut stream = connector.connect(HUB_NAME.to_owned().try_into()?, stream).await?;
        let head = "POST /api/v1/enroll HTTP/1.1\r\nhost: hub\r\ncontent-type: application/octet-stream\r\n";
        let head = format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n", request.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(request).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        // A hub that closes without a last word of TLS has said all the same what it had to.
        let _ = stream.read_to_end(&mut answer).await;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no whole answer")?;
        Ok::<_, anyhow::Error>(Answer::from_frame(&answer[end + 4..])?)
    };
    let answer = timeout(LIMIT, asking).await.context("the hub did not answer")??;
    ensure!(matches!(answer, Answer::Enrolled(_)), "refused: {answer:?}");
    Ok(answer)
}
