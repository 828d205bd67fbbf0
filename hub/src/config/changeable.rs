//! Settings that can be changed while the hub runs, too: their keys, their bounds, their values.

use crate::http::api::limits::PerMinute;
use sitewarden_protocol::license::notice::AHEAD_DAYS;
use std::{ops::RangeInclusive, time::Duration};

/// Which of them. Each is a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `fresh_days`.
    FreshDays,
    /// `override_days`.
    OverrideDays,
    /// `notice_days`.
    NoticeDays,
    /// `agent_silent_seconds`.
    AgentSilentSeconds,
    /// `api.public_per_minute`.
    PublicPerMinute,
    /// `api.admin_per_minute`.
    AdminPerMinute,
    /// `api.heartbeat_per_minute`.
    HeartbeatPerMinute,
}

/// Their values, each within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changeable {
    /// Days that a snapshot may be relied on without hearing from the hub.
    pub fresh_days: u16,
    /// Days of emergency override that a site may take in any 365 days; 0 for none.
    pub override_days: u16,
    /// Days before its end from which on a licence is said to be about to expire.
    pub notice_days: u16,
    /// Silence after which an agent is said to be offline; agents say something every ten seconds.
    pub agent_silence: Duration,
    /// Requests a minute.
    pub limits: PerMinute,
}

/// A number that a setting cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} must be {}", .0.name(), .0.allowed())]
pub struct OutOfBounds(pub Key);

impl Key {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::FreshDays,
        Self::OverrideDays,
        Self::NoticeDays,
        Self::AgentSilentSeconds,
        Self::PublicPerMinute,
        Self::AdminPerMinute,
        Self::HeartbeatPerMinute,
    ];

    /// The setting of this name, if it is one of them.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// The name, as in hub.toml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FreshDays => "fresh_days",
            Self::OverrideDays => "override_days",
            Self::NoticeDays => "notice_days",
            Self::AgentSilentSeconds => "agent_silent_seconds",
            Self::PublicPerMinute => "api.public_per_minute",
            Self::AdminPerMinute => "api.admin_per_minute",
            Self::HeartbeatPerMinute => "api.heartbeat_per_minute",
        }
    }

    /// What it can be: ten years of days, a year of days, from some of the agents' signs of life to a day, any rate that a hub
    /// can serve.
    pub const fn bounds(self) -> RangeInclusive<u32> {
        match self {
            Self::FreshDays => 1..=3_650,
            Self::OverrideDays => 0..=365,
            Self::NoticeDays => 1..=365,
            Self::AgentSilentSeconds => 15..=86_400,
            Self::PublicPerMinute | Self::AdminPerMinute | Self::HeartbeatPerMinute => 1..=1_000_000,
        }
    }

    /// The same in words.
    pub fn allowed(self) -> String {
        let bounds = self.bounds();
        format!("a whole number from {} to {}", bounds.start(), bounds.end())
    }

    /// Whether snapshots tell of it.
    pub const fn is_in_snapshots(self) -> bool {
        matches!(self, Self::FreshDays | Self::OverrideDays)
    }
}

impl Changeable {
    /// One of the values.
    pub fn get(&self, key: Key) -> u32 {
        match key {
            Key::FreshDays => self.fresh_days.into(),
            Key::OverrideDays => self.override_days.into(),
            Key::NoticeDays => self.notice_days.into(),
            // At most a day.
            Key::AgentSilentSeconds => u32::try_from(self.agent_silence.as_secs()).unwrap_or(u32::MAX),
            Key::PublicPerMinute => self.limits.public,
            Key::AdminPerMinute => self.limits.admin,
            Key::HeartbeatPerMinute => self.limits.heartbeat,
        }
    }

    /// The same with another value.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn with(mut self, key: Key, value: u32) -> Result<Self, OutOfBounds> {
        let out = || OutOfBounds(key);
        if !key.bounds().contains(&value) {
            return Err(out());
        }
        let days = || u16::try_from(value).map_err(|_| out());
        match key {
            Key::FreshDays => self.fresh_days = days()?,
            Key::OverrideDays => self.override_days = days()?,
            Key::NoticeDays => self.notice_days = days()?,
            Key::AgentSilentSeconds => self.agent_silence = Duration::from_secs(value.into()),
            Key::PublicPerMinute => self.limits.public = value,
            Key::AdminPerMinute => self.limits.admin = value,
            Key::HeartbeatPerMinute => self.limits.heartbeat = value,
        }
        Ok(self)
    }
}

impl Default for Changeable {
    fn default() -> Self {
        Self {
            fresh_days: 30,
            override_days: 7,
            notice_days: AHEAD_DAYS,
            agent_silence: Duration::from_secs(120),
            limits: PerMinute::default(),
        }
    }
}
