//! The five documented states of health.
//!
//! - `disabled`: telemetry is switched off;
//! - `not_configured`: there is no place to send to: no URL, or one that is not the hub's without an API key. At the hub
//!   of its enrolment an agent is known by its certificate, and needs no key;
//! - `unhealthy`: there is no session with the hub, it takes nothing, it does not know the API key that is configured, or the
//!   last transmission failed;
//! - `warning`: there is one, and the hub has confirmed nothing for more than seven days;
//! - `healthy`: otherwise.

use sitewarden_protocol::time::UnixMillis;
use std::time::Duration;

/// Older transmissions than this are a warning.
const STALE: Duration = Duration::from_secs(7 * 86_400);

/// What health is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Signs {
    /// Whether telemetry is switched on.
    pub enabled: bool,
    /// Whether there is a place to send to.
    pub configured: bool,
    /// Whether a session stands, over which the hub takes records.
    pub connected: bool,
    /// Whether an API key is configured that the hub does not know.
    pub key_refused: bool,
    /// Whether the last transmission failed.
    pub last_failed: bool,
    /// When the hub last confirmed something; before the first time, when the schedule began.
    pub last_confirmed: UnixMillis,
}

/// The state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Healthy,
    /// Nothing was sent for long.
    Warning,
    /// Nothing can be sent.
    Unhealthy,
    /// It is switched off.
    Disabled,
    /// There is no place to send to.
    NotConfigured,
}

impl Health {
    /// Judges.
    pub fn of(signs: &Signs, now: UnixMillis) -> Self {
        if !signs.enabled {
            Self::Disabled
        } else if !signs.configured {
            Self::NotConfigured
        } else if !signs.connected || signs.key_refused || signs.last_failed {
            Self::Unhealthy
        } else if now.since(signs.last_confirmed) > STALE {
            Self::Warning
        } else {
            Self::Healthy
        }
    }

    /// The documented name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Unhealthy => "unhealthy",
            Self::Disabled => "disabled",
            Self::NotConfigured => "not_configured",
        }
    }

    /// In words.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Healthy => "Telemetry system is healthy",
            Self::Warning => "Last transmission was more than 7 days ago",
            Self::Unhealthy => "Connection failed or transmission errors",
            Self::Disabled => "Telemetry is disabled",
            Self::NotConfigured => "License Server connection not configured",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_rule() {
        let now = UnixMillis(1_800_000_000_000);
        let days = |days: i64| UnixMillis(now.0 - days * 86_400_000);
        let well = Signs {
            enabled: true,
            configured: true,
            connected: true,
            key_refused: false,
            last_failed: false,
            last_confirmed: now,
        };
        for (signs, health) in [
            (well, "healthy"),
            (Signs { last_confirmed: days(7), ..well }, "healthy"),
            (Signs { last_confirmed: UnixMillis(days(7).0 - 1), ..well }, "warning"),
            (Signs { connected: false, last_confirmed: days(30), ..well }, "unhealthy"),
            (Signs { last_failed: true, ..well }, "unhealthy"),
            (Signs { key_refused: true, ..well }, "unhealthy"),
            (Signs { enabled: false, key_refused: true, ..well }, "disabled"),
            (Signs { configured: false, connected: false, ..well }, "not_configured"),
            (Signs { enabled: false, configured: false, connected: false, ..well }, "disabled"),
        ] {
            assert_eq!(Health::of(&signs, now).name(), health, "{signs:?}");
        }
    }
}
