//! What is asked of telemetry, and the order in which it is answered.
//!
//! Always true: one order for all rows, whatever is asked: by their time, the newest first; of one moment first what agents
//! reported, by agent, epoch and number, then measurements by theirs. A cursor is a place in that order, so pages join
//! without gap or repeat, and what arrives in between is neither shown twice nor hides anything.

use super::{MeasuredRow, ReportedRow};
use crate::store::Scope;
use sitewarden_protocol::{
    id::{PlantId, SiteId},
    record::kind,
    time::UnixMillis,
};
use std::{fmt, str::FromStr};

/// Which telemetry. Everything that is given has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TelemetryFilter {
    /// What who asks may see.
    pub scope: Scope,
    /// Of one customer.
    pub customer: Option<i64>,
    /// Of one plant.
    pub plant: Option<PlantId>,
    /// Of one site.
    pub site: Option<SiteId>,
    /// Of one app.
    pub app: Option<String>,
    /// Of one kind of record.
    pub kind: Option<u16>,
    /// Measurements of one data group.
    pub group: Option<String>,
    /// Not before this moment, by the clock of whoever took it in.
    pub from: Option<UnixMillis>,
    /// Before this moment.
    pub to: Option<UnixMillis>,
    /// Measurements with or without a red flag.
    pub flagged: Option<bool>,
}

/// A place in the order of all telemetry. Its text means nothing to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TelemetryCursor {
    pub(super) at: i64,
    pub(super) place: Place,
}

/// Which of the rows of one moment; the greater comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The measurement with this number.
    Measured(i64),
    /// The record of an agent with this epoch and number.
    Reported { agent: i64, epoch: i64, seq: i64 },
}

/// The text is no cursor that the hub gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that this hub gave out")]
pub struct NotACursor;

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub enum TelemetryRow {
    /// A measurement, whichever way it came.
    Measured(Box<MeasuredRow>),
    /// Another record.
    Reported(Box<ReportedRow>),
}

/// Some of them, and where to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryPage {
    /// The newest first.
    pub rows: Vec<TelemetryRow>,
    /// After which to ask for more; `None` if there are none.
    pub next: Option<TelemetryCursor>,
}

impl TelemetryFilter {
    /// Whether measurements may be among what is asked for.
    pub(super) fn asks_for_measurements(&self) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind::MEASUREMENT)
    }

    /// Whether other records may be: data groups and flags are of measurements only.
    pub(super) fn asks_for_others(&self) -> bool {
        self.group.is_none() && self.flagged.is_none() && self.kind != Some(kind::MEASUREMENT)
    }

    /// The first moment that is asked for.
    pub(super) fn first_at(&self) -> i64 {
        self.from.map_or(i64::MIN, |from| from.0)
    }
}

impl TelemetryCursor {
    /// Before everything that is asked for.
    pub(super) fn newest(filter: &TelemetryFilter) -> Self {
        let all = Self { at: i64::MAX, place: Place::Reported { agent: i64::MAX, epoch: i64::MAX, seq: i64::MAX } };
        filter.to.map_or(all, |to| Self::behind(to.0))
    }

    /// Behind every row of this moment and of later ones.
    pub(super) const fn behind(at: i64) -> Self {
        Self { at, place: Place::Measured(i64::MIN) }
    }
}

impl fmt::Display for TelemetryCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Measured(id) => write!(f, "m.{}.{id}", self.at),
            Place::Reported { agent, epoch, seq } => write!(f, "r.{}.{agent}.{epoch}.{seq}", self.at),
        }
    }
}

impl FromStr for TelemetryCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (kind, numbers) = text.split_once('.').ok_or(NotACursor)?;
        let numbers: Vec<i64> = numbers.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| NotACursor)?;
        let (at, place) = match (kind, numbers.as_slice()) {
            ("m", [at, id]) => (*at, Place::Measured(*id)),
            ("r", [at, agent, epoch, seq]) => (*at, Place::Reported { agent: *agent, epoch: *epoch, seq: *seq }),
            _ => return Err(NotACursor),
        };
        Ok(Self { at, place })
    }
}
