//! Expires licences and API keys whose time is over, tells of licences that are about to, ends sessions of machines that
//! fell silent, and forgets idempotency keys: at the start, every minute, and when a setting has changed.

use crate::settings::Live;
use crate::store::{Moment, Store};
use std::{error::Error as StdError, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

/// A licence is over by its own date wherever it is looked at; the job only makes it so in the books.
const EVERY: Duration = Duration::from_secs(60);

/// Works for ever; is aborted at the end.
pub(super) async fn expire(store: Store, mut settings: Live) {
    let listening_since = crate::wall_clock();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = settings.changed() => {}
        }
        let ahead = Duration::from_secs(u64::from(settings.now().notice_days) * 86_400);
        match store.expire_licenses(crate::wall_clock()).await {
            Ok(0) => {}
            Ok(licenses) => info!(licenses, "licenses have expired"),
            Err(failure) => error!(error = &failure as &dyn StdError, "licenses could not be expired; trying again"),
        }
        match store.tell_of_expiring_licenses(crate::wall_clock(), ahead).await {
            Ok(0) => {}
            Ok(licenses) => info!(licenses, "licenses are about to expire"),
            Err(failure) => error!(error = &failure as &dyn StdError, "no webhook tells of what expires; trying again"),
        }
        match store.lapse_sessions(Moment { now: crate::wall_clock(), listening_since }).await {
            Ok(0) => {}
            Ok(sessions) => info!(sessions, "machines fell silent; their users count no more"),
            Err(failure) => error!(error = &failure as &dyn StdError, "sessions could not be ended; trying again"),
        }
        match store.lapse_api_keys(crate::wall_clock()).await {
            Ok(0) => {}
            Ok(keys) => info!(keys, "API keys have expired"),
            Err(failure) => error!(error = &failure as &dyn StdError, "API keys could not be expired; trying again"),
        }
        if let Err(failure) = store.forget_old_keys(crate::wall_clock()).await {
            error!(error = &failure as &dyn StdError, "idempotency keys could not be forgotten; trying again");
        }
    }
}
