//! A running hub: what starts in which order, and how it ends.
//!
//! Always true: the addresses are written to `run/` only when everything serves, and removed before anything stops. What
//! an agent or a client was told yes to is on disk however the process ends; draining only spares them repeating.

mod certificate;
mod expiry;
mod listeners;
mod retention;
mod silence;

use crate::config::Config;
use crate::development;
use crate::folder::{self, Folder};
use crate::keys::{self, Keys};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::{self, Act, Store};
use crate::sync::{self, Registry};
use crate::webhooks;
use listeners::{ADMIN_SOCKET, Listeners, Running};
use sitewarden_certs::{authority, hub_address, secret_file, tls};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::{broadcast, watch},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tracing::{error, info};

/// How long the store may take to finish what it was given, once nobody gives it more.
const STORE_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long threads that still verify something may hold up the end of the process.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a hub does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    /// No certificate can be issued for the configured names.
    #[error("no certificate can be issued for this hub")]
    Certificate(#[from] authority::Error),
    /// The certificate cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] tls::Error),
    /// The sync listener cannot be opened.
    #[error(transparent)]
    Sync(#[from] sync::Error),
    /// Another listener cannot be opened.
    #[error("cannot listen on {place}")]
    Listen {
        /// An address or a path.
        place: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The first host name cannot be put into tokens.
    #[error("no address for enrolment tokens can be made; set invite_address")]
    InviteAddress(#[source] hub_address::NotAHubAddress),
    /// Webhooks cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] webhooks::NoClient),
    /// An address cannot be written to `run/`.
    #[error(transparent)]
    Run(#[from] secret_file::Error),
    /// The system has no random numbers.
    #[error("no random numbers could be had")]
    Random(#[from] getrandom::Error),
    /// The runtime or its signals cannot be set up.
    #[error("the process cannot be set up")]
    Process(#[from] io::Error),
    /// A part of the hub ended badly; the log says which.
    #[error("a part of the hub ended badly")]
    Broken,
}

impl Error {
    /// What the process ends with: 3 not initialised, 4 in use by another process, otherwise 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Folder(folder::Error::NotInitialised(_)) => 3,
            Self::Folder(folder::Error::InUse(_)) => 4,
            _ => 1,
        }
    }
}

/// A hub that serves. Dropping it lets it drain by itself; nobody learns how that went.
#[derive(Debug)]
pub struct Hub {
    https: SocketAddr,
    http: Option<SocketAddr>,
    sync: SocketAddr,
    metrics: Arc<Metrics>,
    store: Store,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), Error>>,
}

impl Hub {
    /// Where HTTPS is served.
    pub const fn https_addr(&self) -> SocketAddr {
        self.https
    }

    /// Where plain HTTP is served, if it is.
    pub const fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where agents come in (UDP).
    pub const fn sync_addr(&self) -> SocketAddr {
        self.sync
    }

    /// What the hub counts.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The hub's store, for those who run it in their own process.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Drains and stops: nobody new, sessions get a goodbye, writes are finished, the database is closed.
    ///
    /// # Errors
    /// [`Error::Broken`] if a part ended badly.
    pub async fn shutdown(self) -> Result<(), Error> {
        self.stop.send_replace(true);
        self.join().await
    }

    /// Waits until the hub has ended.
    ///
    /// # Errors
    /// [`Error::Broken`] if a part ended badly.
    pub async fn join(self) -> Result<(), Error> {
        self.task.await.map_err(|failure| {
            error!(error = %failure, "the hub ended badly");
            Error::Broken
        })?
    }
}

/// Starts a hub; it serves when this returns.
///
/// # Errors
/// Any of [`Error`] but `Broken`.
pub async fn start(config: Config) -> Result<Hub, Error> {
    let (folder, keys, store) = open(&config).await?;
    tell_of_first_sealing_key(&keys, &store).await?;
    development::prepare(&store, config.dev).await?;
    let metrics = Arc::<Metrics>::default();
    let registry = Arc::<Registry>::default();
    // Ends when the sessions' registry does.
    tokio::spawn(tell(store.changes(), Arc::downgrade(&registry)));
    let settings = Settings::load(store.clone(), &config).await?;
    let (config, store, metrics) = (&config, &store, &metrics);
    let running = Listeners { config, folder: &folder, keys, store, settings: &settings, metrics, registry };
    let running = running.start()?;
    let (https, http, sync) = (running.https_addr(), running.http_addr(), running.sync_addr());
    write_addresses(&folder, &running)?;
    let expiring = expiry::expire(store.clone(), settings.live());
    let removing = retention::remove(store.clone(), config.webhooks.keep);
    let listening = silence::notice(store.clone(), settings.live());
    let telling = webhooks::work(store.clone(), Arc::clone(metrics), config.webhooks.clone())?;
    let jobs = tokio::spawn(async move {
        tokio::join!(expiring, removing, listening, telling);
    });
    running.serving(true);
    info!(%https, http = http.map(tracing::field::display), %sync, "the hub serves");
    if config.dev {
        development::warn();
    }
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(run(folder, running, store.clone(), jobs, stopped));
    Ok(Hub { https, http, sync, metrics: Arc::clone(metrics), store: store.clone(), stop, task })
}

/// Runs a hub until SIGTERM or SIGINT, and drains it then: what `serve` does.
///
/// # Errors
/// Any of [`Error`].
pub fn serve(config: Config) -> Result<(), Error> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let hub = start(config).await?;
        let stop = hub.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.send_replace(true);
        });
        hub.join().await
    });
    runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    result
}

async fn open(config: &Config) -> Result<(Folder, Keys, Store), Error> {
    let path = config.data_dir.clone();
    let opened = spawn_blocking(move || {
        let folder = Folder::open(&path)?;
        remove_addresses(&folder);
        let keys = Keys::load(&folder.keys())?;
        Ok::<_, Error>((folder, keys))
    });
    let (folder, keys) = opened.await.map_err(|_| Error::Broken)??;
    let store = Store::open(&folder.database(), keys.store_secrets()).await?;
    Ok((folder, keys, store))
}

/// A hub of an earlier version has made its first sealing key just now: its sites are to hear of it, and not only when their
/// snapshots get old.
async fn tell_of_first_sealing_key(keys: &Keys, store: &Store) -> Result<(), Error> {
    if keys.sealing.is_new {
        let act = Act::hub(crate::wall_clock());
        store.new_sealing_key(&act, keys.sealing.newest()).await?;
    }
    Ok(())
}

/// Tells the sessions of a site that it changed; if changes were missed, all sessions.
async fn tell(mut changes: broadcast::Receiver<sitewarden_protocol::id::SiteId>, registry: Weak<Registry>) {
    loop {
        let change = changes.recv().await;
        let Some(registry) = registry.upgrade() else { return };
        match change {
            Ok(site) => registry.changed(Some(site)),
            Err(broadcast::error::RecvError::Lagged(_)) => registry.changed(None),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Runs the hub to its end; the folder is free after that.
async fn run(
    folder: Folder,
    running: Running,
    store: Store,
    jobs: JoinHandle<()>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let result = tokio::select! {
        // Also when nobody is left who could say it.
        _ = stop.wait_for(|stop| *stop) => Ok(()),
        () = store.stopped() => {
            error!("the database can no longer be written; the hub ends, and must be started again");
            Err(Error::Broken)
        }
    };
    info!("the hub is stopping");
    jobs.abort();
    remove_addresses(&folder);
    running.drain().await;
    // Only now: commands that came before are answered.
    let _ = std::fs::remove_file(folder.run(ADMIN_SOCKET));
    if timeout(STORE_CLOSE_TIMEOUT, store.close()).await.is_err() {
        error!("the database took too long to close");
        return Err(Error::Broken);
    }
    info!("the hub has stopped");
    result
}

const ADDRESSES: [&str; 3] = ["https.addr", "http.addr", "sync.addr"];

fn write_addresses(folder: &Folder, running: &Running) -> Result<(), Error> {
    let addresses = [Some(running.https_addr()), running.http_addr(), Some(running.sync_addr())];
    for (name, address) in ADDRESSES.iter().zip(addresses) {
        if let Some(address) = address {
            secret_file::write(&folder.run(name), address.to_string().as_bytes())?;
        }
    }
    Ok(())
}

fn remove_addresses(folder: &Folder) {
    // Missing is what they should be.
    ADDRESSES.iter().for_each(|name| drop(std::fs::remove_file(folder.run(name))));
}
