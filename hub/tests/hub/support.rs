//! A hub and agents for tests.

use crate::log;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, crypto::rustls::QuicClientConfig};
use sitewarden_certs::request::TlsKey;
use sitewarden_certs::token::{EnrolmentToken, secret_digest};
use sitewarden_certs::{HUB_NAME, tls};
use sitewarden_hub::config::{Config, Flags};
use sitewarden_hub::init::{self, Plan};
use sitewarden_hub::keys::Keys;
use sitewarden_hub::metrics::Reason;
use sitewarden_hub::store::{Act, NewEnrolment};
use sitewarden_hub::{Hub, start};
use sitewarden_protocol::batch::{Draft, Seal, Signed};
use sitewarden_protocol::chain::Cursor;
use sitewarden_protocol::enrolment::{Answer, Request};
use sitewarden_protocol::frame::{HEADER, Header};
use sitewarden_protocol::id::{AgentId, SiteId};
use sitewarden_protocol::message::{EpochExtent, Hello, NEWEST_VERSION, OLDEST_VERSION, ToAgent, ToHub};
use sitewarden_protocol::receipt::Receipt;
use sitewarden_protocol::record::{Body, Event, Record, Run};
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::{SealingKey, Snapshot, Trust, Version};
use sitewarden_protocol::time::UnixMillis;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::time::{interval, timeout};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn now() -> UnixMillis {
    UnixMillis(0).after(SystemTime::UNIX_EPOCH.elapsed().unwrap())
}

pub fn act() -> Act {
    Act::user("admin", now())
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        let mut ticks = interval(Duration::from_millis(5));
        while !holds() {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A folder with a new hub that does not run.
pub async fn initialised() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "a long password\n").unwrap();
    let data_dir = folder.path().join("hub");
    let plan = Plan { data_dir: data_dir.clone(), admin_password_file: password, hostnames: vec![] };
    init::init(&plan).await.unwrap();
    (folder, data_dir)
}

pub fn config(data_dir: &std::path::Path) -> Config {
    let any = "127.0.0.1:0".parse().ok();
    Config::load(data_dir, Flags { https: any, sync: any, ..Flags::default() }).unwrap()
}

/// A hub that runs.
pub struct TestHub {
    pub hub: Hub,
    pub data_dir: PathBuf,
    pub keys: Keys,
    pub folder: TempDir,
}

impl TestHub {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        log::start();
        let (folder, data_dir) = initialised().await;
        let mut config = config(&data_dir);
        change(&mut config);
        let hub = start(config).await.unwrap();
        let keys = Keys::load(&data_dir.join("keys")).unwrap();
        Self { hub, data_dir, keys, folder }
    }

    /// Ends the hub; the folder is gone when its guard is.
    pub async fn stop(self) -> (PathBuf, TempDir) {
        self.hub.shutdown().await.unwrap();
        (self.data_dir, self.folder)
    }

    pub async fn site(&self) -> SiteId {
        let store = self.hub.store();
        let customer = store.add_customer(&act(), "Customer", None).await.unwrap();
        let plant = store.add_plant(&act(), "Plant", customer.id).await.unwrap();
        store.add_site(&act(), "Site", plant.id).await.unwrap().id
    }

    pub async fn invite(&self, site: SiteId, expires: UnixMillis) -> EnrolmentToken {
        let hub = format!("localhost:{}", self.hub.https_addr().port()).parse().unwrap();
        let token =
            EnrolmentToken::generate(hub, self.keys.authorities.serving().fingerprint(), site, expires).unwrap();
        let new =
            NewEnrolment { token: token.id, secret_digest: secret_digest(&token.secret), site, expires, agent: None };
        self.hub.store().add_enrolment(&act(), new).await.unwrap();
        token
    }

    pub async fn enrol(&self, token: &EnrolmentToken, keys: &AgentKeys) -> (u16, Answer) {
        let response = self.post("/api/v1/enroll", keys.request(token).to_frame()).await;
        let status = response.status().as_u16();
        (status, Answer::from_frame(&response.bytes().await.unwrap()).unwrap())
    }

    pub async fn post(&self, path: &str, body: Vec<u8>) -> reqwest::Response {
        let request = self.client().post(self.url(path)).header("content-type", "application/octet-stream");
        request.body(body).send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.client().get(self.url(path)).send().await.unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.hub.https_addr().port())
    }

    pub fn client(&self) -> reqwest::Client {
        let tls = tls::enrolment_client(self.keys.authorities.serving().fingerprint()).unwrap();
        reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE).no_proxy().build().unwrap()
    }

    /// A new agent at a new site.
    pub async fn agent(&self) -> Agent {
        let site = self.site().await;
        self.agent_at(site).await
    }

    pub async fn agent_at(&self, site: SiteId) -> Agent {
        let token = self.invite(site, now().after(PATIENCE)).await;
        let keys = AgentKeys::new();
        let (_, Answer::Enrolled(enrolled)) = self.enrol(&token, &keys).await else { panic!("not enrolled") };
        assert_eq!(enrolled.sync_port, self.hub.sync_addr().port());
        let snapshot = enrolled.snapshot.verify(&[self.keys.signing.public()]).unwrap();
        Agent {
            id: enrolled.agent,
            certificate: enrolled.certificate,
            end: Cursor::start(enrolled.agent, 1),
            keys,
            trust: snapshot.trust,
        }
    }

    /// How often something was refused; waits until it is as often.
    pub async fn refused(&self, reason: Reason, times: u64) {
        let metrics = self.hub.metrics();
        until(reason.name(), || metrics.refused(reason) == times).await;
    }
}

/// An agent's two keys.
pub struct AgentKeys {
    pub tls: TlsKey,
    pub signing: PrivateKey,
}

impl AgentKeys {
    pub fn new() -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        Self { tls: TlsKey::generate().unwrap(), signing: PrivateKey::from_seed(&seed) }
    }

    pub fn request(&self, token: &EnrolmentToken) -> Request {
        let csr = self.tls.csr_der().unwrap();
        Request {
            token: token.id,
            secret: *token.secret,
            proof: Request::prove(&token.id, &csr, &self.signing),
            csr,
            signing_key: self.signing.public(),
            program: "0.1.0".to_owned(),
            hostname: "plant-vm".to_owned(),
            fingerprint: vec![("machine_id".to_owned(), [7; 32])],
        }
    }
}

/// An enrolled agent.
pub struct Agent {
    pub id: AgentId,
    pub certificate: Vec<u8>,
    pub keys: AgentKeys,
    pub trust: Trust,
    /// Where its journal ends.
    pub end: Cursor,
}

impl Agent {
    pub fn tls(&self) -> rustls::ClientConfig {
        tls::sync_client(&self.trust.authorities, &self.certificate, &self.keys.tls.pem()).unwrap()
    }

    /// A connection with its stream open; nothing is sent yet.
    pub async fn connect(&self, hub: &TestHub) -> Line {
        dial(endpoint(), hub, self.tls()).await.unwrap()
    }

    pub fn hello(&self) -> Hello {
        Hello {
            oldest_version: OLDEST_VERSION,
            newest_version: NEWEST_VERSION,
            agent: self.id,
            program: "0.1.0".to_owned(),
            boot_id: [1; 16],
            epochs: vec![EpochExtent { oldest: 1, head: self.end }],
            snapshot: Version::default(),
        }
    }

    /// The next records, signed.
    pub fn batch(&mut self, records: u32) -> Signed {
        let (end, batch) = self.batch_by(records, &self.keys.signing);
        self.end = end;
        batch
    }

    /// The next records, signed: these.
    pub fn batch_of(&mut self, bodies: &[Body]) -> Signed {
        let (end, batch) = self.signed(bodies, &self.keys.signing);
        self.end = end;
        batch
    }

    pub fn batch_by(&self, records: u32, key: &PrivateKey) -> (Cursor, Signed) {
        let event = |number| {
            Body::Event(Event {
                app: "EMS".to_owned(),
                kind: "test".to_owned(),
                environment: String::new(),
                outcome: String::new(),
                count: u64::from(number) + 1,
                attributes: vec![],
            })
        };
        self.signed(&(0..records).map(event).collect::<Vec<_>>(), key)
    }

    /// The next records, sealed to a key of the hub and signed.
    pub fn sealed_batch(&mut self, bodies: &[Body], key: SealingKey) -> Signed {
        let seal = Seal { key, random: [7; 32] };
        let draft = Draft { after: self.end, lost: 0, records: run(bodies) };
        let (header, signed) = Signed::make_for(self.id, &draft, now(), &self.keys.signing, Some(seal)).unwrap();
        self.end = header.end();
        signed
    }

    fn signed(&self, bodies: &[Body], key: &PrivateKey) -> (Cursor, Signed) {
        let draft = Draft { after: self.end, lost: 0, records: run(bodies) };
        let (header, signed) = Signed::make(self.id, &draft, now(), key).unwrap();
        (header.end(), signed)
    }

    /// A session up to the welcome and the first snapshot.
    pub async fn session(&self, hub: &TestHub) -> (Line, Snapshot) {
        let mut line = self.connect(hub).await;
        line.send(ToHub::Hello(self.hello())).await;
        assert!(matches!(line.receive().await, Some(ToAgent::Welcome(_))));
        let Some(ToAgent::Snapshot(snapshot)) = line.receive().await else { panic!("no snapshot") };
        (line, snapshot.verify(&self.trust.signing_keys).unwrap())
    }

    pub async fn snapshot(&self, line: &mut Line) -> Snapshot {
        match line.receive().await {
            Some(ToAgent::Snapshot(snapshot)) => snapshot.verify(&self.trust.signing_keys).unwrap(),
            other => panic!("not a snapshot: {other:?}"),
        }
    }

    pub async fn receipt(&self, line: &mut Line) -> Receipt {
        match line.receive().await {
            Some(ToAgent::Receipt(receipt)) => receipt.verify(&self.trust.signing_keys).unwrap(),
            other => panic!("not a receipt: {other:?}"),
        }
    }

    /// A session in which something is stored: shows that the hub is well.
    pub async fn good_session(&mut self, hub: &TestHub) {
        let (mut line, _) = self.session(hub).await;
        let batch = self.batch(3);
        line.send(ToHub::Batch(batch)).await;
        assert_eq!(self.receipt(&mut line).await.through, self.end);
    }
}

fn run(bodies: &[Body]) -> Run {
    bodies.iter().map(|body| Record::encode(now(), body).unwrap()).collect()
}

pub fn endpoint() -> Endpoint {
    Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// Dials with any TLS configuration.
pub async fn dial(endpoint: Endpoint, hub: &TestHub, tls: rustls::ClientConfig) -> Result<Line, ConnectionError> {
    dial_at(endpoint, hub.hub.sync_addr(), tls).await
}

/// The same for a hub in another process.
pub async fn dial_at(endpoint: Endpoint, hub: SocketAddr, tls: rustls::ClientConfig) -> Result<Line, ConnectionError> {
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let connecting = endpoint.connect_with(config, hub, HUB_NAME).unwrap();
    let connection = timeout(PATIENCE, connecting).await.unwrap()?;
    let (send, receive) = timeout(PATIENCE, connection.open_bi()).await.unwrap()?;
    Ok(Line { _endpoint: endpoint, connection, send, receive })
}

/// A connection with its one stream.
pub struct Line {
    _endpoint: Endpoint,
    pub connection: Connection,
    pub send: SendStream,
    receive: RecvStream,
}

impl Line {
    pub async fn send(&mut self, message: ToHub) {
        self.send_bytes(&message.to_frame()).await;
    }

    /// The hub may close in the middle of it.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.send.write_all(bytes)).await.unwrap();
    }

    /// The next message; `None` if there is no more.
    pub async fn receive(&mut self) -> Option<ToAgent> {
        let mut head = [0; HEADER];
        timeout(PATIENCE, self.receive.read_exact(&mut head)).await.expect("no message came").ok()?;
        let header = Header::parse(&head).unwrap();
        let mut body = vec![0; header.length()];
        self.receive.read_exact(&mut body).await.ok()?;
        header.check(&body).unwrap();
        Some(ToAgent::from_body(&body).unwrap())
    }

    /// The number that the hub closed the connection with.
    pub async fn closed(&self) -> u64 {
        match timeout(PATIENCE, self.connection.closed()).await.expect("not closed") {
            ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("not closed by the hub: {other}"),
        }
    }
}
