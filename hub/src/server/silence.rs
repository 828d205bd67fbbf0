//! Notices agents that are not heard of any more.
//!
//! Always true: the hub looks only after it could have heard for as long itself, so that its own absence, a suspend or a
//! wall clock that was set ahead is not taken for the agents'.

use crate::settings::Live;
use crate::store::Store;
use std::error::Error as StdError;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

/// How often silence is looked for: a few times while it lasts.
const PART: u32 = 5;

/// Works for ever; is aborted at the end.
pub(super) async fn notice(store: Store, mut settings: Live) {
    let (mut heard_since, mut looked) = (Instant::now(), crate::wall_clock());
    loop {
        let silence = settings.now().agent_silence;
        tokio::select! {
            () = sleep(silence / PART) => {}
            // Another silence is looked for in its own time.
            () = settings.changed() => continue,
        }
        let now = crate::wall_clock();
        if now.since(looked) > silence {
            heard_since = Instant::now();
        }
        looked = now;
        if heard_since.elapsed() <= silence {
            continue;
        }
        match store.find_silent_agents(now, silence).await {
            Ok(0) => {}
            Ok(agents) => info!(agents, "agents are not heard of any more"),
            Err(failure) => {
                error!(error = &failure as &dyn StdError, "silent agents could not be looked for; trying again")
            }
        }
    }
}
