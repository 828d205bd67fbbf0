//! The parts of a URL behind the question mark. What is not known is refused by its name.

use super::Error;
use crate::store::{Scope, TelemetryFilter};
use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, de::DeserializeOwned};
use sitewarden_protocol::{
    id::{PlantId, SiteId},
    record::kind,
    time::UnixMillis,
};

/// What is asked.
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|rejection| Error::invalid("query", rejection.body_text()))
    }
}

/// Which telemetry, page by page or as a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    customer: Option<i64>,
    plant: Option<PlantId>,
    site: Option<SiteId>,
    app: Option<String>,
    kind: Option<String>,
    group: Option<String>,
    from: Option<String>,
    to: Option<String>,
    flagged: Option<bool>,
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) format: Option<String>,
}

impl Asked {
    /// What is asked of the store, for someone who may see so much.
    pub(super) fn filter(&self, scope: Scope) -> Result<TelemetryFilter, Error> {
        let kind = self.kind.as_deref().map(wanted_kind).transpose()?;
        Ok(TelemetryFilter {
            scope,
            customer: self.customer,
            plant: self.plant,
            site: self.site,
            app: self.app.clone(),
            kind,
            group: self.group.clone(),
            from: moment("from", self.from.as_deref())?,
            to: moment("to", self.to.as_deref())?,
            flagged: self.flagged,
        })
    }
}

/// A time as RFC 3339 writes it.
pub(super) fn moment(field: &str, text: Option<&str>) -> Result<Option<UnixMillis>, Error> {
    let wrong = |_| Error::invalid(field, format!("{field} must be a time such as 2026-01-31T08:00:00Z"));
    let time = text.map(DateTime::parse_from_rfc3339).transpose().map_err(wrong)?;
    Ok(time.map(|time| UnixMillis::from(time.with_timezone(&Utc))))
}

fn wanted_kind(text: &str) -> Result<u16, Error> {
    let kind = kind::by_name(text).or_else(|| text.parse().ok());
    kind.ok_or_else(|| Error::invalid("kind", "kind must be a kind of record, such as measurement or event"))
}
