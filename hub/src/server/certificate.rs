//! The hub's own certificate.
//!
//! Issued anew at each start, with a new key that is on no disk: agents and tokens rely on the authority alone, so
//! nothing is gained by keeping it, and changed host names hold from the next start on. A hub that runs for long replaces
//! it at two thirds of its life without a connection noticing.

use super::Error;
use crate::config::Config;
use crate::keys::{Authorities, Secret};
use crate::sync::{self, Endpoint, SyncConfig};
use axum_server::tls_rustls::RustlsConfig;
use sitewarden_certs::{authority::IssuedHub, renewal::renewal_due, tls};
use std::{error::Error as StdError, sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

/// How often the certificate's age is looked at. Short against its life, and it costs nothing.
const CHECK_EVERY: Duration = Duration::from_secs(60 * 60);

/// Issues the hub's certificate.
pub(super) struct Certificate {
    pub(super) authorities: Arc<Authorities>,
    pub(super) config: Config,
    pub(super) token_key: Secret,
}

/// The two listeners' settings with one certificate.
pub(super) struct Issued {
    pub(super) https: Arc<rustls::ServerConfig>,
    pub(super) sync: SyncConfig,
    hub: IssuedHub,
}

impl Certificate {
    pub(super) fn issue(&self) -> Result<Issued, Error> {
        let hub = self.authorities.serving().issue_hub(&self.config.hostnames, crate::wall_clock())?;
        let agents = self.authorities.roots();
        let https = tls::https_server(&hub.chain_pem, &hub.key_pem, &agents)?;
        let sync = tls::sync_server(&hub.chain_pem, &hub.key_pem, &agents)?;
        let sync = sync::server_config(sync, &self.token_key, self.config.limits)?;
        Ok(Issued { https: Arc::new(https), sync, hub })
    }

    /// Replaces the certificate when it is due, and whenever the authorities change, for ever.
    pub(super) async fn keep(self, mut issued: Issued, https: RustlsConfig, endpoint: Endpoint) {
        let mut checks = interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.authorities.watch();
        loop {
            let changed = tokio::select! {
                _ = checks.tick() => false,
                changed = changes.changed() => changed.is_ok(),
            };
            if !changed && !renewal_due(issued.hub.not_before, issued.hub.not_after, crate::wall_clock()) {
                continue;
            }
            match self.issue() {
                Ok(renewed) => {
                    https.reload_from_config(Arc::clone(&renewed.https));
                    endpoint.set_server_config(Some(renewed.sync.clone()));
                    info!(until = %renewed.hub.not_after, "renewed the hub's certificate");
                    issued = renewed;
                }
                Err(failure) => {
                    error!(
                        error = &failure as &dyn StdError,
                        "the hub's certificate could not be renewed; trying again"
                    );
                }
            }
        }
    }
}
