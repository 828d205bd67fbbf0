//! How much of a licence is used, against the thresholds that the vendor set.
//!
//! Always true: whoever is told of a threshold is told once, until the use has been below it again.

use super::{WebhookEvent, event::tell};
use crate::store::{
    error::Error,
    licenses::{self, COLUMNS, LicenseRow, LicenseSelector, license_row},
    usage,
    writer::Tx,
};
use rusqlite::{OptionalExtension, params};
use serde_json::json;
use sitewarden_protocol::{id::AgentId, message::Quota, time::UnixMillis};

/// What of a licence is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    /// Monitors that run.
    Monitors,
    /// Floating users.
    Users,
    /// Machines.
    Activations,
}

impl Metric {
    const fn name(self) -> &'static str {
        match self {
            Self::Monitors => "monitors",
            Self::Users => "users",
            Self::Activations => "activations",
        }
    }

    const fn limit(self, license: &LicenseRow) -> Option<u32> {
        match self {
            Self::Monitors => license.limits.monitors,
            Self::Users => license.limits.users,
            Self::Activations => license.limits.activations,
        }
    }
}

/// An agent told how many monitors run at its site.
pub(in crate::store) fn monitors_reported(
    tx: &Tx<'_>,
    now: UnixMillis,
    agent: AgentId,
    quotas: &[Quota],
) -> Result<(), Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM licenses WHERE site = (SELECT site FROM agents WHERE uuid = ? AND status = 'active')
            AND status = 'Active' AND thresholds != '[]'"
    );
    let mut query = tx.prepare_cached(&sql)?;
    let mut rows = query.query([agent.as_bytes()])?;
    let mut licenses = Vec::new();
    while let Some(row) = rows.next()? {
        licenses.push(license_row(row)?);
    }
    for license in &licenses {
        let used = quotas.iter().find(|quota| quota.app == license.app).map_or(0, |quota| quota.used);
        counted(tx, now, license, Metric::Monitors, used)?;
    }
    Ok(())
}

/// Machines of a licence, or their users, became more or fewer.
pub(in crate::store) fn machines_moved(tx: &Tx<'_>, now: UnixMillis, license: i64) -> Result<(), Error> {
    let license = licenses::find(tx, LicenseSelector::Number(license))?;
    if license.thresholds.is_empty() {
        return Ok(());
    }
    let (activations, _, users, _) = usage::tallied(tx, &usage::of_license(license.id))?;
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    counted(tx, now, &license, Metric::Activations, number(activations))?;
    counted(tx, now, &license, Metric::Users, number(users))
}

/// So much of a licence is used now.
fn counted(tx: &Tx<'_>, now: UnixMillis, license: &LicenseRow, metric: Metric, used: u32) -> Result<(), Error> {
    let limit = metric.limit(license);
    let reached = limit.and_then(|limit| reached(&license.thresholds, used, limit));
    let before: Option<u16> = tx
        .prepare_cached("SELECT threshold FROM thresholds_passed WHERE license = ? AND metric = ?")?
        .query_row(params![license.id, metric.name()], |row| row.get(0))
        .optional()?;
    if reached == before {
        return Ok(());
    }
    match reached {
        None => tx
            .prepare_cached("DELETE FROM thresholds_passed WHERE license = ? AND metric = ?")?
            .execute(params![license.id, metric.name()])?,
        Some(threshold) => tx
            .prepare_cached("INSERT OR REPLACE INTO thresholds_passed (license, metric, threshold) VALUES (?, ?, ?)")?
            .execute(params![license.id, metric.name(), threshold])?,
    };
    if reached < before {
        return Ok(());
    }
    let data = json!({
        "license_id": license.id, "customer_id": license.customer, "metric": metric.name(),
        "threshold": reached, "used": used, "limit": limit,
    });
    tell(tx, now, WebhookEvent::UsageThreshold, Some(license.customer), &data)
}

/// The highest threshold, per cent of the limit, that the use has reached. Nothing is a share of nothing.
fn reached(thresholds: &[u16], used: u32, limit: u32) -> Option<u16> {
    let share = |threshold: &u16| u64::from(used) * 100 >= u64::from(*threshold) * u64::from(limit);
    thresholds.iter().copied().filter(|threshold| limit > 0 && share(threshold)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_reached_exactly_there() {
        for (used, limit, expected) in [
            (0, 100, None),
            (79, 100, None),
            (80, 100, Some(80)),
            (99, 100, Some(80)),
            (100, 100, Some(100)),
            (500, 100, Some(100)),
            (4, 5, Some(80)),
            (3, 4, None),
            (1, 0, None),
            (u32::MAX, u32::MAX, Some(100)),
        ] {
            assert_eq!(reached(&[80, 100], used, limit), expected, "{used} of {limit}");
        }
    }
}
