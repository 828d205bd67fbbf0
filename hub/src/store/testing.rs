//! A store in a temporary folder, with a site, and an agent that signs.

use super::{Act, Holder, NewEnrolment, NewLicense, Redeemed, Redemption, Shown, Store, StoreSecrets, VerifiedBatch};
use sitewarden_certs::token::secret_digest;
use sitewarden_protocol::{
    batch::{Draft, Signed},
    chain::{Cursor, Position},
    id::{AgentId, SiteId},
    license::{Kind, Limits, Policy, Term},
    record::{Body, Event, Record, Run},
    signing::PrivateKey,
    time::UnixMillis,
};
use std::path::PathBuf;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// 2026-01-31 08:00 UTC.
pub(super) const NOW: UnixMillis = UnixMillis(1_769_846_400_000);

pub(super) struct Fixture {
    pub(super) store: Store,
    pub(super) site: SiteId,
    folder: TempDir,
}

pub(super) fn act() -> Act {
    Act::user("tester", NOW)
}

fn secrets() -> StoreSecrets {
    StoreSecrets { license_key: Zeroizing::new([7; 32]) }
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("hub.sqlite"), secrets()).await.unwrap();
        let customer = store.add_customer(&act(), "Acme", None).await.unwrap();
        let plant = store.add_plant(&act(), "North", customer.id).await.unwrap();
        let site = store.add_site(&act(), "Line 1", plant.id).await.unwrap().id;
        Self { store, site, folder }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("hub.sqlite")
    }

    pub(super) async fn reopened(self) -> Self {
        self.store.close().await;
        let store = Store::open(&self.path(), secrets()).await.unwrap();
        Self { store, ..self }
    }

    pub(super) fn license(&self, name: &str) -> NewLicense {
        NewLicense {
            holder: Holder::Site(self.site),
            app: "EMS".into(),
            name: name.into(),
            kind: Kind::Subscription,
            term: Term::Validity("1y".parse().unwrap()),
            limits: Limits { monitors: Some(100), ..Limits::default() },
            features: vec![],
            policy: Policy::default(),
            thresholds: vec![],
            description: String::new(),
        }
    }

    /// An agent whose keys are made from one byte.
    pub(super) async fn agent(&self, seed: u8) -> Plant {
        enrolled(&self.store, self.site, seed).await
    }

    /// A number that a query answers.
    pub(super) async fn number(&self, sql: &'static str) -> i64 {
        self.store.read(move |connection| Ok(connection.query_row(sql, [], |row| row.get(0))?)).await.unwrap()
    }
}

async fn enrolled(store: &Store, site: SiteId, seed: u8) -> Plant {
    let (token, secret) = ([seed; 16], [seed; 32]);
    let expires = UnixMillis(NOW.0 + 1_000);
    let new = NewEnrolment { token, secret_digest: secret_digest(&secret), site, expires, agent: None };
    store.add_enrolment(&act(), new).await.unwrap();
    let plant = Plant::new(seed);
    let redeemed = store.redeem(NOW, redemption(seed, plant.id), |_| Ok(vec![1])).await.unwrap();
    assert_eq!(redeemed, Redeemed::Enrolled { agent: plant.id, site, certificate: vec![1], again: false });
    plant
}

/// An agent of which the hub was told two histories: it has an open flag, with what proves that.
pub(crate) async fn forked(store: &Store, site: SiteId) -> AgentId {
    let mut plant = enrolled(store, site, 5).await;
    plant.events("EMS", 3);
    let mut other = plant.fork(1);
    other.events("CBM", 2);
    for half in [&plant, &other] {
        store.ingest(NOW, half.batch(0, 3, 0)).await.unwrap();
    }
    plant.id
}

pub(super) fn redemption(seed: u8, agent: AgentId) -> Redemption {
    Redemption {
        token: [seed; 16],
        shown: Shown::Secret(Zeroizing::new([seed; 32])),
        agent,
        signing_key: PrivateKey::from_seed(&[seed; 32]).public(),
        tls_key: [seed; 32],
        hostname: "plant-vm".into(),
        program: "0.1.0".into(),
        fingerprint: vec![("machine_id".into(), [4; 32])],
    }
}

/// What an agent is to its hub: an id, a key and a history.
pub(super) struct Plant {
    pub(super) id: AgentId,
    key: PrivateKey,
    epoch: u64,
    history: Vec<Vec<u8>>,
}

impl Plant {
    pub(super) fn new(seed: u8) -> Self {
        let key = PrivateKey::from_seed(&[seed; 32]);
        Self { id: AgentId::from_bytes([seed; 16]), key, epoch: 1, history: vec![] }
    }

    /// The same agent with a key of another byte, in an epoch in which it has recorded nothing.
    pub(super) fn with_key(&self, seed: u8, epoch: u64) -> Self {
        Self { id: self.id, key: PrivateKey::from_seed(&[seed; 32]), epoch, history: vec![] }
    }

    pub(super) fn record(&mut self, body: &Body) {
        let at = UnixMillis(NOW.0 + i64::try_from(self.history.len()).unwrap());
        self.history.push(Record::encode(at, body).unwrap());
    }

    pub(super) fn events(&mut self, app: &str, count: usize) {
        (0..count).for_each(|_| self.record(&event(app, 1)));
    }

    pub(super) fn records(&self) -> usize {
        self.history.len()
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.history.push(bytes.to_vec());
    }

    /// The same agent, with its history after some record told otherwise.
    pub(super) fn fork(&self, after: usize) -> Self {
        let history = self.history[..after].to_vec();
        Self { id: self.id, key: PrivateKey::from_seed(&[self.id.as_bytes()[0]; 32]), epoch: self.epoch, history }
    }

    pub(super) fn cursor(&self, seq: usize) -> Cursor {
        let chain = Cursor::start(self.id, self.epoch).chain.then_all(self.history[..seq].iter().map(Vec::as_slice));
        Cursor { position: Position { epoch: self.epoch, seq: seq as u64 }, chain }
    }

    /// The records after `after` up to `last`, in a batch.
    pub(super) fn batch(&self, after: usize, last: usize, lost: u64) -> VerifiedBatch {
        let mut records = Run::default();
        self.history[after..last].iter().for_each(|record| records.push(record));
        let draft = Draft { after: self.cursor(after), lost, records };
        let (_, signed) = Signed::make(self.id, &draft, NOW, &self.key).unwrap();
        VerifiedBatch::prepare(signed, &[self.key.public()], &[]).unwrap()
    }

    /// What another epoch begins with, in a batch.
    pub(super) fn beginning(&self, epoch: u64, body: &Body) -> VerifiedBatch {
        let records = std::iter::once(Record::encode(NOW, body).unwrap()).collect();
        let draft = Draft { after: Cursor::start(self.id, epoch), lost: 0, records };
        let (_, signed) = Signed::make(self.id, &draft, NOW, &self.key).unwrap();
        VerifiedBatch::prepare(signed, &[self.key.public()], &[]).unwrap()
    }
}

pub(super) fn event(app: &str, count: u64) -> Body {
    Body::Event(Event {
        app: app.into(),
        kind: "login".into(),
        environment: "production".into(),
        outcome: "success".into(),
        count,
        attributes: vec![],
    })
}
