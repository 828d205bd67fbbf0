//! The agent's settings: `D/agent.toml`, then the environment (`SITEWARDEN_AGENT_…`, nested keys joined by `__`), then
//! flags. A key that is not known or a value that is not allowed is an error of one line.

use crate::folder::Folder;
use crate::sync::{Proxy, ProxyAddress, Way};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the local API listens; loopback only, because it is not encrypted.
    pub http: SocketAddr,
    /// The journal's limits.
    pub journal: Journal,
    /// How far the machine's clock is believed.
    pub clock: Clock,
    /// How the machine is looked at.
    pub host: Host,
    /// The line to the hub.
    pub sync: Sync,
    /// How telemetry leaves.
    pub telemetry: Telemetry,
    /// Files instead of a line.
    pub bundle: Bundle,
    /// What is logged, and how.
    pub log: Log,
}

/// The journal's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The most that it takes on disk, MiB, 16 or more. Past it, records are refused with 507.
    pub quota_mib: u64,
    /// What is left free on the disk in any case, MiB.
    pub reserve_mib: u64,
}

/// How far the machine's clock is believed; see `protocol::trusted_time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// How far a good clock may be off, seconds, 1 to 86,400.
    pub tolerance_seconds: u32,
    /// How long the machine may have been off for its clock to be believed at the next start, days, 1 to 366.
    pub power_off_days: u16,
    /// How much faster than the machine's uptime a clock that is ahead is followed, per cent, 0 to 1,000.
    pub catch_up_percent: u16,
}

/// How the machine is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Seconds between two samples, 1 to 86,400.
    pub interval_seconds: u32,
}

/// The line to the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// The longest wait between two tries to reach the hub, seconds, 1 to 86,400.
    pub retry_max_seconds: u32,
    /// Whether the network card may cut packets (GSO); to be switched off for virtual cards that do it wrong.
    pub segmentation_offload: bool,
    /// What may carry sessions with the hub.
    pub carrier: Carrier,
    /// How long QUIC rests after it did not get through, seconds, 1 to 86,400.
    pub quic_retry_seconds: u32,
    /// The proxy for HTTPS, such as `http://proxy.plant.example:3128`; its CONNECT is used.
    pub proxy: Option<ProxyAddress>,
    /// The file with `USER:PASSWORD` for the proxy, readable by its owner only. A relative path begins in the data folder.
    pub proxy_credentials_file: Option<PathBuf>,
}

/// What may carry sessions with the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// QUIC, and HTTPS where UDP does not get through.
    Auto,
    /// QUIC only.
    Quic,
    /// HTTPS only.
    Https,
    /// The air gap: nothing. The agent opens no socket but those of its local API.
    None,
}

impl Carrier {
    /// As it is shown where no session stands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Quic => "quic",
            Self::Https => "https",
            Self::None => "none",
        }
    }
}

/// How telemetry leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Whether batches also leave as soon as there is a line; otherwise in transmissions only: by schedule, or when an
    /// administrator sends.
    pub live: bool,
}

/// Files instead of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Whether files only ever go to the hub, as through a data diode. What was exported then counts as delivered: it is kept
    /// for as long as telemetry's `local_retention_days` says, and can be exported again within that.
    pub one_way: bool,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `auto` is text on a terminal and JSON elsewhere.
    pub format: LogFormat,
    /// Such as `info`, `debug`, or `info,sitewarden_agent::sync=debug`.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 7070)),
            journal: Journal { quota_mib: 4_096, reserve_mib: 128 },
            clock: Clock { tolerance_seconds: 300, power_off_days: 31, catch_up_percent: 100 },
            host: Host { interval_seconds: 300 },
            sync: Sync {
                retry_max_seconds: 60,
                segmentation_offload: true,
                carrier: Carrier::Auto,
                quic_retry_seconds: 300,
                proxy: None,
                proxy_credentials_file: None,
            },
            telemetry: Telemetry { live: true },
            bundle: Bundle { one_way: false },
            log: Log { format: LogFormat::Auto, filter: "info".to_owned() },
        }
    }
}

/// A setting is wrong. One line that names the place, the key and what is allowed.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct Invalid(String);

impl Config {
    /// Reads the settings of a data folder. `http` is the flag, if one was given.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn load(folder: &Folder, http: Option<SocketAddr>) -> Result<Self, Invalid> {
        // The data folder's own variable belongs to the command line, which reads it.
        let environment = Env::prefixed("SITEWARDEN_AGENT_").ignore(&["data_dir"]).split("__");
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if folder.config().exists() {
            figment = figment.merge(Toml::file_exact(folder.config()));
        }
        figment = figment.merge(environment);
        if let Some(http) = http {
            figment = figment.merge(Serialized::default("http", http));
        }
        let config: Self = figment
            .extract()
            .map_err(|error| Invalid(error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")))?;
        config.check(&folder.config().display().to_string())?;
        Ok(config)
    }

    fn check(&self, file: &str) -> Result<(), Invalid> {
        let require = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(Invalid(format!("{what} (set in {file}, the environment or a flag)"))) }
        };
        let seconds = 1..=86_400;
        require(
            self.http.ip().is_loopback(),
            "http: the local API is not encrypted; only a loopback address is allowed, such as 127.0.0.1:7070",
        )?;
        require(self.journal.quota_mib >= 16, "journal.quota_mib: 16 or more is allowed")?;
        let clock = &self.clock;
        require(seconds.contains(&clock.tolerance_seconds), "clock.tolerance_seconds: 1 to 86400 is allowed")?;
        require((1..=366).contains(&clock.power_off_days), "clock.power_off_days: 1 to 366 is allowed")?;
        require(clock.catch_up_percent <= 1_000, "clock.catch_up_percent: 0 to 1000 is allowed")?;
        require(seconds.contains(&self.host.interval_seconds), "host.interval_seconds: 1 to 86400 is allowed")?;
        let sync = &self.sync;
        require(seconds.contains(&sync.retry_max_seconds), "sync.retry_max_seconds: 1 to 86400 is allowed")?;
        require(seconds.contains(&sync.quic_retry_seconds), "sync.quic_retry_seconds: 1 to 86400 is allowed")?;
        require(
            sync.proxy.is_none() || matches!(sync.carrier, Carrier::Auto | Carrier::Https),
            "sync.proxy: only HTTPS goes through a proxy; sync.carrier must be auto or https",
        )?;
        require(
            sync.proxy_credentials_file.is_none() || sync.proxy.is_some(),
            "sync.proxy_credentials_file: is for a proxy; set sync.proxy, such as http://proxy.plant.example:3128",
        )
    }

    /// The journal's limits in bytes.
    pub fn journal_settings(&self) -> crate::journal::Settings {
        let mib = |number: u64| number.saturating_mul(1 << 20);
        crate::journal::Settings { quota: mib(self.journal.quota_mib), reserve: mib(self.journal.reserve_mib) }
    }

    /// How far the machine's clock is believed.
    pub fn clock_settings(&self) -> sitewarden_protocol::trusted_time::Settings {
        sitewarden_protocol::trusted_time::Settings {
            tolerance: Duration::from_secs(self.clock.tolerance_seconds.into()),
            power_off: Duration::from_secs(24 * 60 * 60) * u32::from(self.clock.power_off_days),
            catch_up_percent: self.clock.catch_up_percent,
        }
    }

    /// The way to the hub of an agent in this folder.
    pub fn way(&self, folder: &Folder) -> Way {
        let sync = &self.sync;
        let credentials = sync.proxy_credentials_file.as_ref().map(|file| folder.path().join(file));
        Way {
            carrier: sync.carrier,
            quic_rest: Duration::from_secs(sync.quic_retry_seconds.into()),
            proxy: sync.proxy.clone().map(|address| Proxy { address, credentials }),
            segmentation_offload: sync.segmentation_offload,
        }
    }

    /// The longest wait between two tries to reach the hub.
    pub fn retry_max(&self) -> Duration {
        Duration::from_secs(self.sync.retry_max_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, Invalid> {
        let temporary = tempfile::TempDir::new().unwrap();
        let folder = Folder::at(temporary.path());
        std::fs::write(folder.config(), text).unwrap();
        Config::load(&folder, None)
    }

    #[test]
    fn defaults_hold_where_the_file_is_silent() {
        let config = load("[sync]\nretry_max_seconds = 5\n").unwrap();
        assert_eq!(config.sync.retry_max_seconds, 5);
        assert_eq!(config.journal, Config::default().journal);
    }

    #[test]
    fn a_folder_without_a_file_has_the_defaults() {
        let temporary = tempfile::TempDir::new().unwrap();
        assert_eq!(Config::load(&Folder::at(temporary.path()), None).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_and_a_bad_value_are_one_line_that_names_them() {
        for (text, key) in [
            ("colour = 1", "colour"),
            ("[journal]\nquota_mib = \"much\"", "quota_mib"),
            ("[journal]\nquota_mib = 1", "quota_mib"),
            ("http = \"0.0.0.0:80\"", "http"),
            ("[host]\ninterval_seconds = 0", "interval_seconds"),
            ("[clock]\npower_off_days = 0", "power_off_days"),
            ("[sync]\ncarrier = \"pigeon\"", "carrier"),
            ("[sync]\nquic_retry_seconds = 0", "quic_retry_seconds"),
            ("[sync]\nproxy = \"proxy:3128\"", "proxy"),
            ("[sync]\nproxy = \"http://user:word@proxy:3128\"", "proxy_credentials_file"),
            ("[sync]\ncarrier = \"quic\"\nproxy = \"http://proxy:3128\"", "sync.proxy"),
            ("[sync]\nproxy_credentials_file = \"x\"", "sync.proxy"),
        ] {
            let message = load(text).unwrap_err().to_string();
            assert!(message.contains(key) && message.lines().count() == 1, "{message}");
        }
    }
}
