//! The settings: `D/hub.toml`, then the environment (`SITEWARDEN_HUB_…`), then flags; the later wins.
//!
//! Always true of a [`Config`]: every value is within its bounds. Anything else was refused in one line that names the
//! file, the key and what is allowed.

mod changeable;
mod development;
mod listed;

pub use changeable::{Changeable, Key, OutOfBounds};
pub use listed::{Listed, Source};

use crate::http::{Proxies, api::limits::PerMinute};
use crate::webhooks::{Network, Networks};
use axum::http::HeaderName;
use figment::{
    Figment,
    error::Kind,
    providers::{Env, Format, Toml},
};
use serde::{Deserialize, Serialize};
use sitewarden_certs::hub_address::HubAddress;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// What the names of environment variables begin with; `__` stands for the dot: `SITEWARDEN_HUB_SYNC__ADDRESS`.
pub const ENVIRONMENT: &str = "SITEWARDEN_HUB_";

/// The hub's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder.
    pub data_dir: PathBuf,
    /// Where HTTPS is served.
    pub https: SocketAddr,
    /// Where plain HTTP is served, for a reverse proxy; `None` for nowhere. Loopback, unless `http_anywhere`.
    pub http: Option<SocketAddr>,
    /// Where agents come in (UDP).
    pub sync: SocketAddr,
    /// Names and addresses that the hub's certificate is made for, beside the built-in ones.
    pub hostnames: Vec<String>,
    /// What new enrolment tokens name as the hub; `None` for the first host name and the real HTTPS port.
    pub invite_address: Option<HubAddress>,
    /// What can be changed while the hub runs, too.
    pub changeable: Changeable,
    /// How webhooks are sent.
    pub webhooks: Webhooks,
    /// How long an agent's certificate lives, 10 seconds to ten years; it is renewed at two thirds of that.
    pub agent_certificate: Duration,
    /// Bounds of the sync listener.
    pub limits: SyncLimits,
    /// Through whom one may ask the API.
    pub api: Api,
    /// How the log looks.
    pub log: LogFormat,
    /// The least severe level that is logged.
    pub log_level: LogLevel,
    /// Whether the documented test credentials count, on loopback addresses. Of the command line alone.
    pub dev: bool,
    /// All settings as they stand, to be shown.
    pub listed: Vec<Listed>,
}

/// Bounds of the sync listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncLimits {
    /// Connections at the same time, 1 to 65,536; one more is refused.
    pub max_connections: usize,
    /// Connections from one address at the same time, 1 to 65,536: many plants may be behind one NAT.
    pub max_per_address: usize,
    /// Silence after which a connection is given up, 5 to 300 s.
    pub idle: Duration,
    /// Silence after which the hub asks whether the agent is still there; shorter than half of `idle`.
    pub keep_alive: Duration,
    /// Whether the network card cuts large sends into packets. Some virtual cards break it.
    pub segmentation_offload: bool,
}

/// How webhooks are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhooks {
    /// Networks whose addresses may be called beside public ones, and without TLS too.
    pub allowed: Networks,
    /// How long an attempt may take, 1 to 60 s.
    pub limit: Duration,
    /// The pause after a first failure, 1 s to an hour; later ones are longer.
    pub first_pause: Duration,
    /// The longest pause, up to a day, and not shorter than the first.
    pub longest_pause: Duration,
    /// After how long a delivery is given up, one hour to 14 days.
    pub give_up: Duration,
    /// How long it is kept after that, or after it was delivered, 1 to 3650 days.
    pub keep: Duration,
}

/// Through whom one may ask the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// The header in which a trusted proxy names the client; `None` if none may.
    pub client_address_header: Option<HeaderName>,
    /// The proxies that are trusted with it.
    pub trusted_proxies: Vec<IpAddr>,
}

impl Api {
    pub(crate) fn proxies(&self) -> Proxies {
        Proxies { header: self.client_address_header.clone(), trusted: self.trusted_proxies.clone() }
    }
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what was refused.
    Warn,
    /// And what happened.
    Info,
    /// And how.
    Debug,
    /// Everything.
    Trace,
}

/// What the command line says beside the files; `None` leaves the setting as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// `--https`.
    pub https: Option<SocketAddr>,
    /// `--http`.
    pub http: Option<SocketAddr>,
    /// `--sync`.
    pub sync: Option<SocketAddr>,
    /// `--dev`.
    pub dev: bool,
}

/// A setting that cannot be used, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct Error {
    /// The file or the environment variable.
    place: String,
    problem: String,
}

impl Error {
    /// What the process ends with: 2, bad configuration.
    pub const fn exit_code(&self) -> u8 {
        2
    }
}

/// The settings as they are written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    https: SocketAddr,
    http: Option<SocketAddr>,
    http_anywhere: bool,
    hostnames: Vec<String>,
    invite_address: Option<String>,
    fresh_days: u32,
    override_days: u32,
    notice_days: u32,
    agent_certificate: String,
    log: LogFormat,
    log_level: LogLevel,
    agent_silent_seconds: u32,
    sync: WrittenSync,
    api: WrittenApi,
    webhooks: WrittenWebhooks,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenWebhooks {
    allowed_networks: Vec<Network>,
    timeout_seconds: u64,
    first_pause_seconds: u64,
    longest_pause_seconds: u64,
    give_up_hours: u64,
    keep_days: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenSync {
    address: SocketAddr,
    max_connections: usize,
    max_per_address: usize,
    idle_seconds: u64,
    keep_alive_seconds: u64,
    segmentation_offload: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenApi {
    public_per_minute: u32,
    admin_per_minute: u32,
    heartbeat_per_minute: u32,
    client_address_header: String,
    trusted_proxies: Vec<IpAddr>,
}

impl Default for WrittenApi {
    fn default() -> Self {
        let PerMinute { public, admin, heartbeat } = PerMinute::default();
        Self {
            public_per_minute: public,
            admin_per_minute: admin,
            heartbeat_per_minute: heartbeat,
            client_address_header: String::new(),
            trusted_proxies: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        }
    }
}

impl WrittenApi {
    /// Answers the key whose value cannot be.
    fn check(self) -> Result<Api, &'static str> {
        let header = Some(self.client_address_header.trim()).filter(|name| !name.is_empty());
        let client_address_header = header.map(str::parse).transpose().map_err(|_| "api.client_address_header")?;
        Ok(Api { client_address_header, trusted_proxies: self.trusted_proxies })
    }
}

impl Written {
    /// Answers the key whose value is out of bounds.
    fn changeable(&self) -> Result<Changeable, &'static str> {
        let values = Key::ALL.map(|key| match key {
            Key::FreshDays => (key, self.fresh_days),
            Key::OverrideDays => (key, self.override_days),
            Key::NoticeDays => (key, self.notice_days),
            Key::AgentSilentSeconds => (key, self.agent_silent_seconds),
            Key::PublicPerMinute => (key, self.api.public_per_minute),
            Key::AdminPerMinute => (key, self.api.admin_per_minute),
            Key::HeartbeatPerMinute => (key, self.api.heartbeat_per_minute),
        });
        let mut values = values.into_iter();
        values.try_fold(Changeable::default(), |all, (key, value)| all.with(key, value).map_err(|_| key.name()))
    }
}

impl Default for Written {
    fn default() -> Self {
        let default = |key| Changeable::default().get(key);
        Self {
            https: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            http: None,
            http_anywhere: false,
            hostnames: Vec::new(),
            invite_address: None,
            fresh_days: default(Key::FreshDays),
            override_days: default(Key::OverrideDays),
            notice_days: default(Key::NoticeDays),
            agent_certificate: "90d".to_owned(),
            log: LogFormat::Auto,
            log_level: LogLevel::Info,
            agent_silent_seconds: default(Key::AgentSilentSeconds),
            sync: WrittenSync::default(),
            api: WrittenApi::default(),
            webhooks: WrittenWebhooks::default(),
        }
    }
}

impl Default for WrittenWebhooks {
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            timeout_seconds: 10,
            first_pause_seconds: 5,
            longest_pause_seconds: 3_600,
            give_up_hours: 72,
            keep_days: 30,
        }
    }
}

impl Default for WrittenSync {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4433)),
            max_connections: 4_096,
            max_per_address: 256,
            idle_seconds: 30,
            keep_alive_seconds: 10,
            segmentation_offload: true,
        }
    }
}

/// What a key takes.
#[derive(Clone, Copy)]
enum Allowed {
    /// In words.
    Told(&'static str),
    /// A number that can be changed while the hub runs.
    Within(Key),
    /// Settings of its own.
    Table,
}

impl Allowed {
    /// In words, for the message that refuses something else.
    fn told(self) -> String {
        match self {
            Self::Told(words) => words.to_owned(),
            Self::Within(key) => key.allowed(),
            Self::Table => "a table of settings".to_owned(),
        }
    }
}

/// What each key takes.
const ALLOWED: &[(&str, Allowed)] = &[
    ("https", Allowed::Told("an address and port, such as 127.0.0.1:8443")),
    (
        "http",
        Allowed::Told("a loopback address and port, such as 127.0.0.1:8080 (any other only with http_anywhere = true)"),
    ),
    ("http_anywhere", Allowed::Told("true or false")),
    ("hostnames", Allowed::Told("a list of DNS names and IP addresses, such as [\"hub.example.com\"]")),
    ("invite_address", Allowed::Told("the hub as agents see it, such as \"hub.example.com:8443\"")),
    ("fresh_days", Allowed::Within(Key::FreshDays)),
    ("override_days", Allowed::Within(Key::OverrideDays)),
    ("notice_days", Allowed::Within(Key::NoticeDays)),
    ("agent_certificate", Allowed::Told("a number and d, h, m or s, from \"10s\" to \"3652d\", such as \"90d\"")),
    ("log", Allowed::Told("\"auto\", \"text\" or \"json\"")),
    ("log_level", Allowed::Told("\"error\", \"warn\", \"info\", \"debug\" or \"trace\"")),
    ("agent_silent_seconds", Allowed::Within(Key::AgentSilentSeconds)),
    ("sync", Allowed::Table),
    ("api", Allowed::Table),
    ("api.public_per_minute", Allowed::Within(Key::PublicPerMinute)),
    ("api.admin_per_minute", Allowed::Within(Key::AdminPerMinute)),
    ("api.heartbeat_per_minute", Allowed::Within(Key::HeartbeatPerMinute)),
    ("api.client_address_header", Allowed::Told("the name of a header, such as \"x-forwarded-for\", or empty")),
    ("api.trusted_proxies", Allowed::Told("a list of IP addresses, such as [\"127.0.0.1\"]")),
    ("sync.address", Allowed::Told("an address and port, such as 0.0.0.0:4433")),
    ("sync.max_connections", Allowed::Told("a whole number from 1 to 65536")),
    ("sync.max_per_address", Allowed::Told("a whole number from 1 to 65536")),
    ("sync.idle_seconds", Allowed::Told("a whole number from 5 to 300")),
    ("sync.keep_alive_seconds", Allowed::Told("a whole number from 1 to less than half of sync.idle_seconds")),
    ("sync.segmentation_offload", Allowed::Told("true or false")),
    ("webhooks", Allowed::Table),
    ("webhooks.allowed_networks", Allowed::Told("a list of networks, such as [\"10.0.0.0/8\"]")),
    ("webhooks.timeout_seconds", Allowed::Told("a whole number from 1 to 60")),
    ("webhooks.first_pause_seconds", Allowed::Told("a whole number from 1 to 3600")),
    ("webhooks.longest_pause_seconds", Allowed::Told("a whole number from webhooks.first_pause_seconds to 86400")),
    ("webhooks.give_up_hours", Allowed::Told("a whole number from 1 to 336")),
    ("webhooks.keep_days", Allowed::Told("a whole number from 1 to 3650")),
];

/// What the life of an agent's certificate may be.
const CERTIFICATE_LIFE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(3_652 * 86_400);

const MAX_CONNECTIONS: std::ops::RangeInclusive<usize> = 1..=65_536;

impl Config {
    /// Reads the settings of the hub in `data_dir`. A missing file is an empty one.
    ///
    /// # Errors
    /// [`Error`] for an unknown key or a value out of bounds.
    pub fn load(data_dir: &Path, flags: Flags) -> Result<Self, Error> {
        let file = data_dir.join(crate::folder::CONFIGURATION);
        // The data folder itself may be given in the environment; it is no setting.
        let environment = Env::prefixed(ENVIRONMENT).ignore(&["data_dir"]).split("__");
        let written = if file.exists() { Figment::from(Toml::file_exact(&file)) } else { Figment::new() };
        let sources = written.merge(environment);
        let mut written: Written = sources.extract().map_err(|error| refused(&file, &error))?;
        if flags.dev {
            development::defaults(&mut written, &sources);
        }
        let listed = listed::all(&written, &sources, flags);
        let config = check(data_dir, written, flags).map_err(|key| out_of_bounds(&file, &sources, key))?;
        let config = Self { listed, ..config };
        if flags.dev {
            development::check(&config)?;
        }
        Ok(config)
    }
}

/// Answers the key whose value is out of bounds.
fn check(data_dir: &Path, written: Written, flags: Flags) -> Result<Config, &'static str> {
    let bound = |holds: bool, key: &'static str| if holds { Ok(()) } else { Err(key) };
    let http = flags.http.or(written.http);
    bound(written.http_anywhere || http.is_none_or(|address| address.ip().is_loopback()), "http")?;
    let changeable = written.changeable()?;
    let agent_certificate = span(&written.agent_certificate).filter(|life| CERTIFICATE_LIFE.contains(life));
    let agent_certificate = agent_certificate.ok_or("agent_certificate")?;
    let invite_address = written.invite_address.map(|text| text.parse()).transpose().map_err(|_| "invite_address")?;
    let sync = written.sync;
    bound(MAX_CONNECTIONS.contains(&sync.max_connections), "sync.max_connections")?;
    bound(MAX_CONNECTIONS.contains(&sync.max_per_address), "sync.max_per_address")?;
    bound((5..=300).contains(&sync.idle_seconds), "sync.idle_seconds")?;
    let lively = sync.keep_alive_seconds >= 1 && sync.keep_alive_seconds < sync.idle_seconds.div_ceil(2);
    bound(lively, "sync.keep_alive_seconds")?;
    Ok(Config {
        data_dir: data_dir.to_owned(),
        https: flags.https.unwrap_or(written.https),
        http,
        sync: flags.sync.unwrap_or(sync.address),
        hostnames: written.hostnames,
        invite_address,
        changeable,
        webhooks: check_webhooks(written.webhooks)?,
        agent_certificate,
        limits: SyncLimits {
            max_connections: sync.max_connections,
            max_per_address: sync.max_per_address,
            idle: Duration::from_secs(sync.idle_seconds),
            keep_alive: Duration::from_secs(sync.keep_alive_seconds),
            segmentation_offload: sync.segmentation_offload,
        },
        api: written.api.check()?,
        log: written.log,
        log_level: written.log_level,
        dev: flags.dev,
        listed: Vec::new(),
    })
}

fn check_webhooks(written: WrittenWebhooks) -> Result<Webhooks, &'static str> {
    let bound = |holds: bool, key: &'static str| if holds { Ok(()) } else { Err(key) };
    let (first, longest) = (written.first_pause_seconds, written.longest_pause_seconds);
    bound((1..=60).contains(&written.timeout_seconds), "webhooks.timeout_seconds")?;
    bound((1..=3_600).contains(&first), "webhooks.first_pause_seconds")?;
    bound((first..=86_400).contains(&longest), "webhooks.longest_pause_seconds")?;
    bound((1..=336).contains(&written.give_up_hours), "webhooks.give_up_hours")?;
    bound((1..=3_650).contains(&written.keep_days), "webhooks.keep_days")?;
    Ok(Webhooks {
        allowed: Networks::new(written.allowed_networks),
        limit: Duration::from_secs(written.timeout_seconds),
        first_pause: Duration::from_secs(first),
        longest_pause: Duration::from_secs(longest),
        give_up: Duration::from_secs(written.give_up_hours * 3_600),
        keep: Duration::from_secs(written.keep_days * 86_400),
    })
}

/// A span of time: a number and d, h, m or s; `None` for anything else.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1))?;
    let seconds: u64 = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

fn out_of_bounds(file: &Path, sources: &Figment, key: &'static str) -> Error {
    // What stands nowhere, and is none of the defaults, which are within their bounds, was typed.
    let place = match Source::of(sources, key) {
        Source::Default | Source::Flag => "command line".to_owned(),
        Source::Environment => environment_variable(key),
        Source::File => file.display().to_string(),
    };
    Error { place, problem: format!("{key} must be {}", allowed(key)) }
}

fn refused(file: &Path, error: &figment::Error) -> Error {
    // An element of a list is named as the list.
    let is_name = |part: &&String| part.parse::<usize>().is_err();
    let key = error.path.iter().filter(is_name).map(String::as_str).collect::<Vec<_>>().join(".");
    let from_file = error.metadata.as_ref().and_then(|metadata| metadata.source.as_ref()?.file_path());
    let place = match (&error.metadata, from_file) {
        (Some(_), None) if !key.is_empty() => environment_variable(&key),
        _ => file.display().to_string(),
    };
    let problem = match &error.kind {
        Kind::UnknownField(unknown, known) => {
            // The path ends with the key itself or with the table that it is in.
            let named = error.path.last() == Some(unknown);
            let whole = match (named, key.is_empty()) {
                (true, _) => key,
                (false, true) => unknown.clone(),
                (false, false) => format!("{key}.{unknown}"),
            };
            format!("unknown key {whole}; allowed are {}", known.join(", "))
        }
        _ if !key.is_empty() => format!("{key} must be {}", allowed(&key)),
        // A file that is no TOML: the parser's picture of the place, on one line.
        kind => kind.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    };
    Error { place, problem }
}

fn environment_variable(key: &str) -> String {
    format!("{ENVIRONMENT}{}", key.to_ascii_uppercase().replace('.', "__"))
}

fn allowed(key: &str) -> String {
    ALLOWED
        .iter()
        .find(|(name, _)| key == *name)
        .map_or_else(|| "another value".to_owned(), |(_, allowed)| allowed.told())
}

#[cfg(test)]
mod tests;
