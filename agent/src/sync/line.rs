//! The line as others see it: how it stands, and where they ask something of the hub.

use super::asking::{Asking, Question};
use super::carried::{CarriedOrder, Carrying};
use super::choice::Kind;
use super::control::{Controls, Known, Order};
use super::https::authority;
use super::way::Way;
use crate::config::Carrier;
use crate::http::SyncStatus;
use crate::identity::Names;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::message::{Activate, Activated};
use sitewarden_protocol::sync::agent::Release;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Why there is no line where there is to be none.
pub(super) const AIR_GAP: &str = "the air gap is set (sync.carrier = \"none\"); records leave in bundles only";

/// What others may know of the line.
#[derive(Clone)]
pub struct Line {
    pub(super) shared: Arc<watch::Sender<Known>>,
    /// Where the hub is, over QUIC and over HTTPS.
    places: Arc<(String, String)>,
    way: Arc<Way>,
    asking: Asking,
    pub(super) controls: Controls,
    pub(super) carrying: Carrying,
}

/// What is asked over a line, for the one task that keeps it.
pub struct Questions {
    pub(super) asked: mpsc::Receiver<Question>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) release: watch::Receiver<Release>,
    pub(super) carried: mpsc::Receiver<CarriedOrder>,
}

impl Line {
    /// A line to the hub of these names that does not stand yet, over which `release` may be sent.
    pub fn new(names: &Names, way: Way, acknowledged: Position, release: Release) -> (Self, Questions) {
        let (asking, asked) = Asking::new();
        let (controls, orders, release) = Controls::new(release);
        let (carrying, carried) = Carrying::new();
        let trouble = (way.carrier == Carrier::None).then(|| AIR_GAP.to_owned());
        let shared = Arc::new(watch::Sender::new(Known { acknowledged, trouble, ..Known::default() }));
        let quic = authority(&names.hub_host, names.sync_port);
        let places = Arc::new((quic, names.hub_url().trim_start_matches("https://").to_owned()));
        let line = Self { shared, places, way: Arc::new(way), asking, controls, carrying };
        (line, Questions { asked, orders, release, carried })
    }

    /// Has the hub activate the licence with a key that was typed here. By the time of the answer, the snapshot that came
    /// with it is in force. `None` if the hub cannot be asked, or does not answer in time.
    pub async fn activate(&self, ask: Activate) -> Option<Activated> {
        if self.shared.borrow().connected { self.asking.ask(ask).await } else { None }
    }

    /// The way that it goes.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Where the hub is, over the carrier that is used or would be.
    pub(super) fn hub(&self) -> &str {
        let over = self.shared.borrow().carrier;
        let https = over == Some(Kind::Https) || self.way.carrier == Carrier::Https;
        if https { &self.places.1 } else { &self.places.0 }
    }

    /// How it stands.
    pub fn status(&self) -> SyncStatus {
        let known = self.known();
        SyncStatus {
            connected: known.connected,
            carrier: known.carrier.map_or_else(|| self.way.carrier.name(), Kind::name).to_owned(),
            hub: self.hub().to_owned(),
            acknowledged: known.acknowledged.to_string(),
            last_receipt_at: known.last_receipt_at.map(|at| at.to_string()),
            trouble: known.trouble.clone(),
        }
    }

    pub(super) fn learn(&self, change: impl FnOnce(&mut Known)) {
        self.shared.send_modify(change);
    }
}
