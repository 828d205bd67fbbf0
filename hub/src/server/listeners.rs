//! The four listeners: HTTPS, plain HTTP, QUIC and the administration socket.

use super::Error;
use super::certificate::Certificate;
use crate::admin::{self, AdminState, InviteSettings};
use crate::bundle::{self, Bundles};
use crate::config::Config;
use crate::folder::Folder;
use crate::http::{
    self, Basic, Enrolment, LicenseServer, Parts, Plant, Rate, Renewal, SendTelemetry, Server, api::Access,
    serve_https, serve_plain, serve_socket,
};
use crate::ingest::Ingest;
use crate::keys::{Keys, SealingKeys, Secret};
use crate::metrics::Metrics;
use crate::renewal::Renewals;
use crate::settings::Settings;
use crate::store::Store;
use crate::sync::{Backing, Doors, Https, Listener, Registry, Signer, SyncConfig};
use axum_server::tls_rustls::RustlsConfig;
use sitewarden_certs::hub_address::HubAddress;
use std::{
    fs::{self, Permissions},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt, net as unix},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// How long requests that run may take to end.
const HTTP_GRACE: Duration = Duration::from_secs(5);
/// How long sessions may take to end: batches being committed (5 s) and a goodbye (2 s), and a little.
const SYNC_GRACE: Duration = Duration::from_secs(8);
/// The administration socket's name in `run/`.
pub(super) const ADMIN_SOCKET: &str = "admin.sock";

/// What the listeners are made of.
pub(super) struct Listeners<'a> {
    pub(super) config: &'a Config,
    pub(super) folder: &'a Folder,
    pub(super) keys: Keys,
    pub(super) store: &'a Store,
    pub(super) settings: &'a Arc<Settings>,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) registry: Arc<Registry>,
}

/// The listeners, serving.
pub(super) struct Running {
    https: (SocketAddr, Server<SocketAddr>),
    carrier: Arc<Https>,
    http: Option<(SocketAddr, Server<SocketAddr>)>,
    admin: Server<unix::SocketAddr>,
    sync: (SocketAddr, JoinHandle<()>),
    certificate: JoinHandle<()>,
    serving: watch::Sender<bool>,
    stop: watch::Sender<bool>,
}

impl Listeners<'_> {
    pub(super) fn start(self) -> Result<Running, Error> {
        let Keys { authorities, signing, quic_reset, quic_token, sealing, store: store_secret } = &self.keys;
        let live = self.settings.live();
        let signer = Signer::new(Arc::clone(signing), Arc::clone(authorities), live.clone(), Arc::clone(sealing));
        let signer = Arc::new(signer);
        let renewals = self.renewals(&signer);
        let certificate = Certificate {
            authorities: Arc::clone(authorities),
            config: self.config.clone(),
            token_key: quic_token.clone(),
        };
        let issued = certificate.issue()?;

        let backing = self.backing(&signer, &renewals, sealing);
        let (sync, sync_addr, carrier) = carriers(self.config, issued.sync.clone(), quic_reset, Arc::clone(&backing))?;
        let https = tcp(self.config.https)?;
        let http = self.config.http.map(tcp).transpose()?;
        let socket = self.folder.run(ADMIN_SOCKET);
        let admin_listener = admin_socket(&socket).map_err(listening(socket.display()))?;

        let (serving, is_serving) = watch::channel(false);
        let send_telemetry = SendTelemetry::new(self.store.clone(), Arc::clone(&signer));
        let enrolment = Arc::new(self.enrolment(Arc::clone(&signer), sync_addr.port()));
        let basic = Arc::new(Basic::new(self.store.clone())?);
        let access = Access::new(self.store.clone(), Arc::clone(&basic), store_secret, live.clone());
        let access = Arc::new(if self.config.dev { access.with_test_credentials() } else { access });
        let plant = Plant { store: self.store.clone(), basic, settings: live.clone() };
        let parts = Parts {
            access: Arc::clone(&access),
            enrolment: Arc::clone(&enrolment),
            renewal: Arc::new(Renewal { renewals, metrics: Arc::clone(self.metrics), rate: Rate::default() }),
            license_server: Arc::new(LicenseServer::new(self.store.clone(), live.clone())),
            metrics: Arc::clone(self.metrics),
            plant: Arc::new(plant),
            send_telemetry: Arc::new(send_telemetry),
            store: self.store.clone(),
            sync: Arc::clone(&carrier),
            serving: is_serving,
        };
        let hub_host_port = invite_address(self.config, https.address.port())?;
        let invite = InviteSettings { hub_host_port, authorities: Arc::clone(authorities) };
        let administration = admin::administration(AdminState {
            access,
            store: self.store.clone(),
            invite,
            settings: Arc::clone(self.settings),
            sealing: Arc::clone(sealing),
            signing: Arc::clone(signing),
            bundles: Bundles::new(bundle::Parts::new(&self.keys, self.store, backing, signer, enrolment)),
        });

        let admin = admin::local(administration.router.clone());
        let router = http::router(parts, administration, self.config.api.proxies());
        let tls = RustlsConfig::from_config(Arc::clone(&issued.https));
        let (stop, stopped) = watch::channel(false);
        let endpoint = sync.endpoint().clone();
        Ok(Running {
            https: (https.address, serve_https(https.listener, tls.clone(), router.clone(), self.config.limits)?),
            carrier,
            http: http.map(|http| Ok::<_, Error>((http.address, serve_plain(http.listener, router)?))).transpose()?,
            admin: serve_socket(admin_listener, admin)?,
            sync: (sync_addr, tokio::spawn(sync.serve(stopped, SYNC_GRACE))),
            certificate: tokio::spawn(certificate.keep(issued, tls, endpoint)),
            serving,
            stop,
        })
    }

    fn enrolment(&self, signer: Arc<Signer>, sync_port: u16) -> Enrolment {
        Enrolment {
            store: self.store.clone(),
            authorities: Arc::clone(&self.keys.authorities),
            life: self.config.agent_certificate,
            signer,
            metrics: Arc::clone(self.metrics),
            sync_port,
            rate: Rate::default(),
        }
    }

    fn renewals(&self, signer: &Arc<Signer>) -> Arc<Renewals> {
        let (store, life) = (self.store.clone(), self.config.agent_certificate);
        let Keys { authorities, store: secret, .. } = &self.keys;
        Arc::new(Renewals::new(store, Arc::clone(authorities), Arc::clone(signer), life, secret))
    }

    /// What sessions stand on.
    fn backing(&self, signer: &Arc<Signer>, renewals: &Arc<Renewals>, sealing: &Arc<SealingKeys>) -> Arc<Backing> {
        let (store, metrics) = (self.store.clone(), Arc::clone(self.metrics));
        let ingest = Ingest::new(store.clone(), Arc::clone(signer), Arc::clone(sealing), Arc::clone(&metrics));
        Backing::new(store, Arc::clone(signer), ingest, Arc::clone(renewals), metrics, Arc::clone(&self.registry))
    }
}

impl Running {
    pub(super) const fn https_addr(&self) -> SocketAddr {
        self.https.0
    }

    pub(super) fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|(address, _)| *address)
    }

    pub(super) const fn sync_addr(&self) -> SocketAddr {
        self.sync.0
    }

    /// What `/readyz` answers by.
    pub(super) fn serving(&self, serving: bool) {
        self.serving.send_replace(serving);
    }

    /// Ends all of them side by side, each within its grace.
    pub(super) async fn drain(self) {
        self.serving(false);
        self.certificate.abort();
        self.stop.send_replace(true);
        let plain = async {
            if let Some((_, http)) = self.http {
                http.drain(HTTP_GRACE).await;
            }
        };
        let sync = async {
            if let Err(error) = self.sync.1.await {
                tracing::error!(%error, "the sync listener ended badly");
            }
        };
        let https = self.https.1.drain(HTTP_GRACE);
        tokio::join!(https, self.carrier.drain(SYNC_GRACE), plain, self.admin.drain(HTTP_GRACE), sync);
    }
}

/// The ways in for agents, which share limits, memory and sessions: QUIC, where it listens, and HTTPS.
fn carriers(
    config: &Config,
    quic: SyncConfig,
    reset_key: &Secret,
    backing: Arc<Backing>,
) -> Result<(Listener, SocketAddr, Arc<Https>), Error> {
    let doors = Doors::new(config.limits);
    let https = Https::new(Arc::clone(&backing), Arc::clone(&doors));
    let quic = Listener::open(config.sync, quic, reset_key, doors, backing)?;
    let address = quic.endpoint().local_addr().map_err(listening(config.sync))?;
    Ok((quic, address, https))
}

struct Tcp {
    listener: TcpListener,
    address: SocketAddr,
}

fn tcp(address: SocketAddr) -> Result<Tcp, Error> {
    let listener = TcpListener::bind(address).map_err(listening(address))?;
    let address = listener.local_addr().map_err(listening(address))?;
    Ok(Tcp { listener, address })
}

/// The folder's lock is held, so a socket that is there was left by a hub that is gone.
fn admin_socket(path: &Path) -> io::Result<unix::UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = unix::UnixListener::bind(path)?;
    // Between the two nobody else can come: the folder is its owner's alone.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// What tokens name as the hub. A host name that cannot be one was refused when the certificate was issued.
fn invite_address(config: &Config, port: u16) -> Result<HubAddress, Error> {
    if let Some(address) = &config.invite_address {
        return Ok(address.clone());
    }
    let host = config.hostnames.first().map_or("localhost", String::as_str);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{host}:{port}").parse().map_err(Error::InviteAddress)
}

fn listening(place: impl ToString) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Listen { place: place.to_string(), source }
}
