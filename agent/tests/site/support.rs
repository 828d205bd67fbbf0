//! A site whose snapshot the test has signed.

use base64::Engine as _;
use serde_json::Value;
use sitewarden_agent::clock::Source;
use sitewarden_agent::config::Config;
use sitewarden_agent::folder::{self, Folder};
use sitewarden_agent::identity::{self, Names};
use sitewarden_agent::journal::{Journal, Settings};
use sitewarden_agent::server::{self, Running};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::codec;
use sitewarden_protocol::id::{AgentId, LicenseId, PlantId, SiteId};
use sitewarden_protocol::license::{KeyDigest, Kind, License, Limits, Policy, Status, Term};
use sitewarden_protocol::message::NEWEST_VERSION;
use sitewarden_protocol::record::{Body, Record};
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::snapshot::{self, Snapshot, Trust, Version};
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::Reading;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// 2027-01-15T08:00:00Z, when the snapshot was signed and the agent starts.
pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const SITE: SiteId = SiteId::from_bytes([1; 16]);
const PASSWORD: &str = "only for this test";
/// How long a condition may take to become so.
const LIMIT: Duration = Duration::from_secs(20);

/// The machine's clocks, which the test turns.
#[derive(Clone)]
pub(crate) struct Clocks(Arc<Mutex<Reading>>);

impl Clocks {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Reading { wall: NOW, uptime: Duration::from_secs(60), boot: [1; 16] })))
    }

    /// Time goes by.
    pub(crate) fn pass(&self, span: Duration) {
        let mut reading = self.0.lock().unwrap();
        (reading.wall, reading.uptime) = (reading.wall.after(span), reading.uptime + span);
    }

    /// The machine was off for so long, and starts again.
    pub(crate) fn reboot(&self, off: Duration) {
        let mut reading = self.0.lock().unwrap();
        reading.boot[0] += 1;
        (reading.wall, reading.uptime) = (reading.wall.after(off), Duration::from_secs(60));
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set(&self, wall: UnixMillis) {
        self.0.lock().unwrap().wall = wall;
    }
}

impl Source for Clocks {
    fn uptime(&self) -> Duration {
        self.0.lock().unwrap().uptime
    }

    fn read(&self) -> Reading {
        *self.0.lock().unwrap()
    }
}

pub(crate) struct Site {
    folder: Folder,
    pub(crate) clocks: Clocks,
    config: Config,
    running: Option<Running>,
    _temporary: TempDir,
}

/// What a command answered.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
    pub(crate) error: String,
}

fn client() -> reqwest::Client {
    // As the program does; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

fn hub() -> PrivateKey {
    PrivateKey::from_seed(&[9; 32])
}

/// Active since now and for a year, for so many monitors.
pub(crate) fn license(app: &str, quota: u32) -> License {
    License {
        id: LicenseId::from_bytes([app.len() as u8 + app.as_bytes()[0]; 16]),
        name: format!("{app} 2027"),
        description: String::new(),
        app: app.into(),
        kind: Kind::Subscription,
        term: Term::Validity("1y".parse().unwrap()),
        limits: Limits { monitors: Some(quota), ..Limits::default() },
        features: vec![],
        policy: Policy::default(),
        status: Status::Active,
        activated_at: Some(NOW),
        expires_at: Some(NOW.after(DAY * 365)),
        created_at: NOW,
        key: KeyDigest::of(SITE, app),
        key_hint: String::new(),
        revision: 1,
    }
}

/// Fresh for ten years, with a week of overrides.
pub(crate) fn snapshot(licenses: Vec<License>) -> Snapshot {
    Snapshot {
        site: SITE,
        site_name: "Line 1".into(),
        plant: PlantId::from_bytes([3; 16]),
        plant_name: "North".into(),
        customer: 1,
        customer_name: "Acme".into(),
        version: Version { revision: 1, issued_at: NOW },
        fresh_until: NOW.after(DAY * 3_650),
        licenses,
        trust: Trust { authorities: vec![], signing_keys: vec![hub().public()] },
        override_days: 7,
        administrators: vec![],
        api_keys: vec![],
        sealing_key: None,
        certificate: vec![],
    }
}

impl Site {
    /// Enrolled by hand, at a hub that is not there.
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let temporary = TempDir::new().unwrap();
        let folder = Folder::at(&temporary.path().join("agent"));
        sitewarden_certs::secret_file::create_folder(folder.path()).unwrap();
        let names = Names {
            agent: AgentId::from_bytes([4; 16]),
            site: SITE,
            hub_host: "127.0.0.1".into(),
            hub_url: String::new(),
            sync_port: 9,
            authorities: vec![base64::engine::general_purpose::STANDARD.encode(b"nobody")],
            signing_keys: vec![hub().public()],
        };
        identity::write_pending(&folder, "no key", &[5; 32]).unwrap();
        identity::complete(&folder, &names, b"no certificate").unwrap();
        folder.make("state").unwrap();
        let mut config = Config::default();
        config.http.set_port(0);
        let site = Self { folder, clocks: Clocks::new(), config, running: None, _temporary: temporary };
        site.replace(snapshot);
        site
    }

    /// Puts another snapshot in place of the stored one, for the next start.
    pub(crate) fn replace(&self, snapshot: &Snapshot) {
        let signed = snapshot::Signed::make(snapshot, NEWEST_VERSION, &hub());
        sitewarden_certs::secret_file::write(&self.folder.state("snapshot.bin"), &codec::encode(&signed)).unwrap();
    }

    pub(crate) fn state(&self, name: &str) -> std::path::PathBuf {
        self.folder.state(name)
    }

    pub(crate) async fn start(&mut self) {
        let source = Box::new(self.clocks.clone());
        let deadline = Instant::now() + LIMIT;
        loop {
            match server::start(&self.folder, &self.config, source.clone()).await {
                Ok(running) => return self.running = Some(running),
                // sled lets go of its files a moment after the journal before was closed; and a command that another test
                // starts holds every lock of this process until it is a program of its own.
                Err(server::Error::Journal(_) | server::Error::Folder(folder::Error::InUse(_)))
                    if Instant::now() < deadline =>
                {
                    tokio::task::yield_now().await
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    /// Runs a command of the operator, as typed.
    pub(crate) async fn say(&self, words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sitewarden-agent"));
        command.args(words).arg("--data-dir").arg(self.folder.path());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said = Said { code: output.status.code(), text: said(output.stdout), error: said(output.stderr) };
        println!("$ sitewarden-agent {}\n{}{}", words.join(" "), said.text, said.error);
        said
    }

    /// The same; it must succeed and answer JSON.
    pub(crate) async fn json(&self, words: &[&str]) -> Value {
        let said = self.say(&[words, &["--json"]].concat()).await;
        assert_eq!(said.code, Some(0), "{}", said.error);
        serde_json::from_str(&said.text).unwrap()
    }

    /// Adds a user whose password is [`PASSWORD`].
    pub(crate) async fn add_user(&self, name: &str, role: &str) {
        let file = self.folder.path().with_extension("password");
        std::fs::write(&file, PASSWORD).unwrap();
        let words = ["user", "add", name, "--role", role, "--password-file", file.to_str().unwrap()];
        assert_eq!(self.say(&words).await.code, Some(0));
    }

    /// Asks the local API as a user.
    pub(crate) async fn get(&self, user: &str, path: &str) -> (u16, Value) {
        let request = client().get(self.url(path)).basic_auth(user, Some(PASSWORD));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(crate) async fn metrics(&self) -> String {
        client().get(self.url("/metrics")).send().await.unwrap().text().await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.as_ref().unwrap().http)
    }

    /// What is in the journal of an agent that was stopped.
    pub(crate) fn records(&self) -> Vec<Body> {
        let settings = Settings { quota: 1 << 40, reserve: 0 };
        let agent = AgentId::from_bytes([4; 16]);
        let deadline = Instant::now() + LIMIT;
        let journal = loop {
            match Journal::open(&self.folder.journal(), agent, settings, Position::default(), Arc::default(), NOW) {
                Ok(journal) => break journal,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        let (mut bodies, mut after) = (vec![], Position { epoch: 1, seq: 0 });
        while let Some(draft) = journal.read_after(after).unwrap() {
            after.seq = draft.after.position.seq + u64::from(draft.records.count());
            bodies.extend(draft.records.iter().map(|bytes| Record::decode(bytes).unwrap().decode_body().unwrap()));
        }
        bodies
    }

    /// Waits until a status is as it should be.
    pub(crate) async fn until(&self, what: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.json(&["status"]).await;
            if what(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "waited in vain: {status}");
        }
    }
}
