//! `/api/v1/activate|validate|heartbeat|deactivate`: the licence server's public endpoints, for apps that call the hub.
//! Fields, errors and answers are those of `protocol::license_server`, which agents share; what is decided is in
//! `store::machines`.
//!
//! Always true: an address is counted before anything else of a request is looked at; a key that is not known here costs no
//! write; 200 to a heartbeat means that it is on disk. A request that comes again under its `Idempotency-Key` is answered as
//! before.

mod activate;
mod asked;
mod deactivate;
mod error;
mod heartbeat;
mod validate;

use super::{Parts, rate::neighbourhood, repeatable};
use crate::settings::Live;
use crate::store::{Moment, Store};
use asked::answered;
use axum::{extract::DefaultBodyLimit, middleware};
use error::Refused;
use sitewarden_openapi::{Routes, shared::license_server as described};
use sitewarden_protocol::{
    id::ActivationId,
    license_server::{MAX_BODY, PATHS},
    rate::{Left, Rate, TooOften},
    time::UnixMillis,
};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

const MINUTE: Duration = Duration::from_secs(60);
/// Changes of its users that a machine may validate in a minute: each is a write.
const CLAIMS: u32 = 60;

/// What the endpoints have.
#[derive(Debug)]
pub(crate) struct LicenseServer {
    store: Store,
    settings: Live,
    begun: Instant,
    /// Since when heartbeats can be heard.
    listening_since: UnixMillis,
    /// The document's: by address.
    addresses: Rate<IpAddr>,
    /// The document's: one a minute for each activation.
    heartbeats: Rate<ActivationId>,
    claims: Rate<ActivationId>,
}

impl LicenseServer {
    /// Takes as many calls a minute as the settings say.
    pub(crate) fn new(store: Store, settings: Live) -> Self {
        let limits = settings.now().limits;
        Self {
            store,
            settings,
            begun: Instant::now(),
            listening_since: crate::wall_clock(),
            addresses: Rate::new(limits.public, MINUTE),
            heartbeats: Rate::new(limits.heartbeat, MINUTE),
            claims: Rate::new(CLAIMS, MINUTE),
        }
    }

    /// Counts a call from an address.
    fn count(&self, address: IpAddr) -> Result<Left, TooOften> {
        self.addresses.permit(self.settings.now().limits.public);
        self.addresses.take(neighbourhood(address), self.elapsed())
    }

    /// Counts a heartbeat.
    fn count_heartbeat(&self, activation: ActivationId) -> Result<Left, TooOften> {
        self.heartbeats.permit(self.settings.now().limits.heartbeat);
        self.heartbeats.take(activation, self.elapsed())
    }

    /// What calls are counted by.
    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// When a decision is made.
    fn moment(&self) -> Moment {
        Moment { now: crate::wall_clock(), listening_since: self.listening_since }
    }
}

pub(super) fn routes() -> Routes<Parts> {
    Routes::new()
        .post(PATHS[0], |parts, asked| answered(parts, asked, activate::activate), repeatable(described::activate()))
        .post(PATHS[1], |parts, asked| answered(parts, asked, validate::validate), repeatable(described::validate()))
        .post(PATHS[2], |parts, asked| answered(parts, asked, heartbeat::heartbeat), repeatable(described::heartbeat()))
        .post(
            PATHS[3],
            |parts, asked| answered(parts, asked, deactivate::deactivate),
            repeatable(described::deactivate()),
        )
        .around(|router| {
            router
                .method_not_allowed_fallback(async || Refused::method())
                .layer(DefaultBodyLimit::max(MAX_BODY))
                .layer(middleware::from_fn(error::in_time))
        })
}
