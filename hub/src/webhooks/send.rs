//! One attempt: a request, and what came of it.

use super::{Networks, WebhookUrl, sign};
use crate::store::{DueDelivery, Message};
use reqwest::{
    Client, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use sitewarden_protocol::time::UnixMillis;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::lookup_host, time::timeout};

/// How long a connection may take; the whole attempt has its own limit.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a name may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(5);

/// The most bytes of an answer that are read; nothing in it is used.
const MAX_ANSWER: usize = 64 << 10;

/// The longest pause that an endpoint may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3_600);

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for webhooks cannot be set up")]
pub struct NoClient(#[source] Box<dyn std::error::Error + Send + Sync>);

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered(u16),
    Failed {
        status: Option<u16>,
        error: String,
        /// The endpoint asked for so long a pause.
        pause: Duration,
    },
}

/// What sends.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    networks: Arc<Networks>,
    /// With TLS, and without: names resolve to other addresses for each.
    secure: Client,
    plain: Client,
}

impl Sender {
    pub(super) fn new(networks: Networks, limit: Duration) -> Result<Self, NoClient> {
        let networks = Arc::new(networks);
        let client = |plain: bool| {
            Client::builder()
                .tls_backend_preconfigured(tls()?)
                .https_only(!plain)
                .dns_resolver(Resolver { networks: Arc::clone(&networks), plain })
                .redirect(redirect::Policy::none())
                .no_proxy()
                // Each attempt looks anew at where it goes.
                .pool_max_idle_per_host(0)
                .connect_timeout(CONNECT.min(limit))
                .timeout(limit)
                .user_agent(concat!("sitewarden-hub/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| NoClient(Box::new(error)))
        };
        Ok(Self { secure: client(false)?, plain: client(true)?, networks })
    }

    /// Sends once.
    pub(super) async fn send(&self, delivery: &DueDelivery, now: UnixMillis) -> Outcome {
        let failed = |error: String| Outcome::Failed { status: None, error, pause: Duration::ZERO };
        let Ok(url) = delivery.url.parse::<WebhookUrl>() else {
            return failed("the stored address cannot be read; set it again".to_owned());
        };
        if url.literal().is_some_and(|address| !self.networks.allow(address, url.is_plain())) {
            return failed(refused(url.is_plain()));
        }
        let client = if url.is_plain() { &self.plain } else { &self.secure };
        let request = client.post(url.url().clone()).header(CONTENT_TYPE, "application/json");
        let request = match &delivery.message {
            Message::Event(body) => {
                let id = delivery.id.to_string();
                let secrets = std::iter::once(&delivery.secret).chain(&delivery.previous);
                let signature = sign::standard(&id, now, body, secrets.map(|secret| secret.as_str()));
                request
                    .header("webhook-id", id)
                    .header("webhook-timestamp", now.seconds().to_string())
                    .header("webhook-signature", signature)
                    .body(body.clone())
            }
            Message::Site(news) => request.body(sign::to_agent(news, now, &delivery.secret)),
        };
        match request.send().await {
            Ok(answer) => judge(answer, matches!(delivery.message, Message::Site(_))).await,
            Err(error) => failed(in_words(error)),
        }
    }
}

async fn judge(mut answer: reqwest::Response, to_agent: bool) -> Outcome {
    let status = answer.status();
    let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    // Read to its end, so that the endpoint sees no broken connection; one that goes on and on does.
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > MAX_ANSWER {
            break;
        }
    }
    if status.is_success() {
        return Outcome::Delivered(status.as_u16());
    }
    let error = match status {
        _ if status.is_redirection() => format!("answered {}: redirects are not followed", status.as_u16()),
        StatusCode::UNAUTHORIZED if to_agent => "answered 401: the agent has another secret, or none".to_owned(),
        _ => format!("answered {}", status.as_u16()),
    };
    let pause = asked.map_or(Duration::ZERO, Duration::from_secs).min(LONGEST_ASKED);
    Outcome::Failed { status: Some(status.as_u16()), error, pause }
}

/// An error without the address, which may hold a secret.
fn in_words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    // The first only says that something could not be sent.
    let words: Vec<String> = causes.skip(1).map(ToString::to_string).collect();
    if words.is_empty() { error.to_string() } else { words.join(": ") }
}

fn refused(plain: bool) -> String {
    let what = if plain {
        "without TLS only addresses within the setting webhooks.allowed_networks are called"
    } else {
        "the address is not a public one; the setting webhooks.allowed_networks can allow it"
    };
    what.to_owned()
}

/// The system's authorities; none, if it has none: then what goes over TLS fails and says so.
fn tls() -> Result<ClientConfig, NoClient> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| NoClient(Box::new(error)))
    };
    match builder()?.with_platform_verifier() {
        Ok(verified) => Ok(verified.with_no_client_auth()),
        Err(error) => {
            tracing::warn!(%error, "the system has no certificate authorities: webhooks over TLS will fail");
            Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        }
    }
}

/// Names become the addresses among theirs that may be called; what is connected to was looked at here.
struct Resolver {
    networks: Arc<Networks>,
    plain: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (networks, plain) = (Arc::clone(&self.networks), self.plain);
        Box::pin(async move {
            let found = timeout(RESOLVE, lookup_host((name.as_str(), 0))).await;
            let found: Vec<SocketAddr> = found.map_err(|_| "the name took too long to be resolved")??.collect();
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| networks.allow(address.ip(), plain)).collect();
            if allowed.is_empty() {
                return Err(refused(plain).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
