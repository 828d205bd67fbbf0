//! How much one may ask of the API: by address where nobody is asked who he is, by token or key elsewhere. In
//! memory, and of this hub. Heartbeats are counted by activation where they are taken in (`http::license_server`).
//!
//! Every answer that is counted says how its caller stands (`RateLimit-Limit`, `-Remaining`, `-Reset`); one that is refused
//! is a 429, which says in `Retry-After` when to come back.

use super::{Caller, Error, caller::Who};
use crate::http::rate::{Rate, Standing, neighbourhood};
use crate::settings::Live;
use crate::store::SessionId;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

const MINUTE: Duration = Duration::from_secs(60);
/// Callers that are remembered, of each kind (about 8 MiB).
const PLACES: usize = 100_000;

/// Requests a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerMinute {
    /// Of one address, where nobody is asked who he is.
    pub public: u32,
    /// Of one token or API key.
    pub admin: u32,
    /// Heartbeats of one activation.
    pub heartbeat: u32,
}

impl Default for PerMinute {
    fn default() -> Self {
        Self { public: 100, admin: 1_000, heartbeat: 1 }
    }
}

/// By what a caller is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Session(SessionId),
    Key(i64),
}

/// Counts requests; how many there may be is what the settings say at that moment.
#[derive(Debug)]
pub(crate) struct Limits {
    settings: Live,
    public: Rate<IpAddr>,
    admin: Rate<Holder>,
}

impl Limits {
    pub(crate) fn new(settings: Live) -> Self {
        let PerMinute { public, admin, .. } = settings.now().limits;
        Self { settings, public: Rate::new(public, MINUTE, PLACES), admin: Rate::new(admin, MINUTE, PLACES) }
    }

    /// Counts a request from an address.
    ///
    /// # Errors
    /// A 429.
    pub(crate) fn public(&self, address: IpAddr) -> Result<Standing, Error> {
        self.public.permit(self.settings.now().limits.public);
        judged(self.public.count(neighbourhood(address), Instant::now()))
    }

    /// Counts a request of one who has said who he is; `None` for the owner of the data folder, who is not counted.
    ///
    /// # Errors
    /// A 429.
    pub(crate) fn caller(&self, caller: &Caller) -> Result<Option<Standing>, Error> {
        let holder = match caller.who() {
            Who::Local => return Ok(None),
            Who::User { session, .. } => Holder::Session(*session),
            Who::Key { id, .. } => Holder::Key(*id),
        };
        self.admin.permit(self.settings.now().limits.admin);
        judged(self.admin.count(holder, Instant::now())).map(Some)
    }
}

fn judged(standing: Standing) -> Result<Standing, Error> {
    if standing.wait.is_none() { Ok(standing) } else { Err(Error::too_many(standing)) }
}

/// Says in an answer how its caller stands.
pub(crate) fn say(standing: Standing, headers: &mut HeaderMap) {
    let seconds = whole_seconds(standing.full_in);
    for (name, value) in [
        ("ratelimit-limit", u64::from(standing.limit)),
        ("ratelimit-remaining", u64::from(standing.remaining)),
        ("ratelimit-reset", seconds),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

/// Rounded up, so that who waits so long does not come too early.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
