//! Removes raw telemetry that its customer does not want kept any longer, and old deliveries of webhooks: at the start, and
//! every day.

use crate::store::Store;
use std::{error::Error as StdError, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

/// Days are what retention is set in.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Works for ever; is aborted at the end.
pub(super) async fn remove(store: Store, keep_deliveries: Duration) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match store.remove_old_telemetry(crate::wall_clock()).await {
            Ok(0) => {}
            Ok(rows) => info!(rows, "removed raw telemetry that was old enough"),
            Err(failure) => {
                error!(error = &failure as &dyn StdError, "old telemetry could not be removed; trying again tomorrow");
            }
        }
        match store.remove_old_deliveries(crate::wall_clock().before(keep_deliveries)).await {
            Ok(0) => {}
            Ok(rows) => info!(rows, "removed deliveries of webhooks that were old enough"),
            Err(failure) => {
                error!(error = &failure as &dyn StdError, "old deliveries could not be removed; trying again tomorrow");
            }
        }
    }
}
