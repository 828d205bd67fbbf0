//! `GET /api/v1/admin/statistics`, `/api/v1/analytics/usage` and `/api/v1/analytics/features`.
//!
//! What each figure means is said in `store::usage`. Decided where the document is silent: a range that is not given is the
//! last 30 days; a range has 366 days at most; dates are UTC, and `to_date` is the last day of it; spans in which nothing
//! happened are left out.

use super::{AdminState, Caller, error::Error, extract::Parameters, licenses::number, time};
use crate::store::{FeatureUse, Granularity, UsageOf, UsagePoint, UsageSpan};
use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::{Value, json};
use sitewarden_protocol::time::UnixMillis;
use std::time::Duration;

/// The range if none is asked for.
const DEFAULT_SPAN: Duration = Duration::from_secs(30 * 86_400);
/// Per cent by which two ranges may differ and be called the same.
const STABLE: u128 = 5;

#[derive(Debug, Deserialize)]
pub(super) struct Query {
    /// A date, or a time with its zone.
    from_date: Option<String>,
    to_date: Option<String>,
    customer_id: Option<String>,
    license_id: Option<String>,
    /// hour, day, week or month.
    granularity: Option<String>,
}

pub(super) async fn statistics(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Value>, Error> {
    let (of, (from, to)) = (query.of(&caller)?, query.range(crate::wall_clock())?);
    let found = state.store.statistics(of, UsageSpan::new(from, to)?).await?;
    let trend = |day: &UsagePoint| json!({ "date": time::day(day.start), "active_users": day.active_users, "new_activations": day.new_activations });
    Ok(Json(json!({
        "summary": {
            "total_licenses": found.licenses,
            "active_licenses": found.active_licenses,
            "total_activations": found.activations,
            "active_activations": found.active_activations,
            "active_users": found.users,
        },
        "usage_trends": found.days.iter().map(trend).collect::<Vec<_>>(),
        "feature_usage": found.features,
    })))
}

pub(super) async fn usage(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Value>, Error> {
    let (of, (from, to)) = (query.of(&caller)?, query.range(crate::wall_clock())?);
    let usage = state.store.usage(of, UsageSpan::new(from, to)?, query.granularity()?).await?;
    let point = |point: &UsagePoint| {
        json!({
            "timestamp": time::text(point.start), "active_users": point.active_users,
            "heartbeat_count": point.heartbeats, "new_activations": point.new_activations,
        })
    };
    Ok(Json(json!({
        // The last second of it, as the document has it.
        "period": { "from": time::text(from), "to": time::text(UnixMillis(to.0 - 1_000)) },
        "metrics": {
            "total_heartbeats": usage.heartbeats,
            "unique_activations": usage.unique_activations,
            "average_users_per_activation": usage.average_users.map(rounded),
            "peak_concurrent_users": usage.peak_users,
        },
        "time_series": usage.points.iter().map(point).collect::<Vec<_>>(),
    })))
}

pub(super) async fn features(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Value>, Error> {
    let (of, (from, to)) = (query.of(&caller)?, query.range(crate::wall_clock())?);
    let features = state.store.feature_usage(of, UsageSpan::new(from, to)?).await?;
    let feature = |one: &FeatureUse| {
        json!({
            "name": one.name, "total_usage": one.used, "unique_users": one.machines,
            "usage_trend": trend(one.used, one.before),
        })
    };
    Ok(Json(json!({ "features": features.iter().map(feature).collect::<Vec<_>>() })))
}

impl Query {
    fn of(&self, caller: &Caller) -> Result<UsageOf, Error> {
        Ok(UsageOf {
            scope: caller.scope(),
            customer: number("customer_id", self.customer_id.as_deref())?,
            license: number("license_id", self.license_id.as_deref())?,
        })
    }

    /// From the first moment up to the one after the last.
    fn range(&self, now: UnixMillis) -> Result<(UnixMillis, UnixMillis), Error> {
        let to = self.to_date.as_deref().map_or(Ok(now), |text| time::end_of_date("to_date", text))?;
        let from = self.from_date.as_deref().map(|text| time::date("from_date", text)).transpose()?;
        Ok((from.unwrap_or_else(|| to.before(DEFAULT_SPAN)), to))
    }

    fn granularity(&self) -> Result<Granularity, Error> {
        match self.granularity.as_deref() {
            Some("hour") => Ok(Granularity::Hour),
            None | Some("day") => Ok(Granularity::Day),
            Some("week") => Ok(Granularity::Week),
            Some("month") => Ok(Granularity::Month),
            Some(_) => Err(Error::invalid("granularity", "granularity must be hour, day, week or month")),
        }
    }
}

/// Two digits behind the point.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// How a range compares with the one before it.
fn trend(now: u64, before: u64) -> &'static str {
    let (scaled, base) = (u128::from(now) * 100, u128::from(before));
    if scaled > base * (100 + STABLE) {
        "increasing"
    } else if scaled < base * (100 - STABLE) {
        "decreasing"
    } else {
        "stable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_per_cent_more_or_less_are_the_same() {
        for (now, before, expected) in [
            (105, 100, "stable"),
            (106, 100, "increasing"),
            (95, 100, "stable"),
            (94, 100, "decreasing"),
            (1, 0, "increasing"),
            (0, 1, "decreasing"),
            (0, 0, "stable"),
            (u64::MAX, u64::MAX, "stable"),
        ] {
            assert_eq!(trend(now, before), expected, "{now} after {before}");
        }
    }
}
