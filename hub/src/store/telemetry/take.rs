//! Measurements that programs send straight to the hub.

use super::{Judge, KeySent, Origin, Sums, rows};
use crate::store::{ApiKey, Store, api_keys::LAST_USED, error::Error};
use rusqlite::params;
use sitewarden_protocol::{
    telemetry::{Field, Parsed, Problem},
    time::UnixMillis,
};
use std::sync::Arc;

/// Rows that one makes, about.
const ROWS: usize = 3;

impl Store {
    /// Stores a measurement, in the right format or not. Answers what is wrong with it when it is on disk.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take_measurement(
        &self,
        now: UnixMillis,
        key: &ApiKey,
        parsed: Parsed,
    ) -> Result<Vec<(Field, Problem)>, Error> {
        let secrets = Arc::clone(&self.0.secrets);
        let sent = parsed.license_key.map_or(KeySent::Nothing, |key| KeySent::Lookup(secrets.lookup(&key)));
        let (mut reading, id) = (parsed.reading, key.id);
        let (customer, site) = (key.customer.ok_or(Error::Damaged { what: "API key" })?, key.site);
        let origin = Origin { customer, site, api_key: Some(id), agent: None, place: None, at: now, received_at: now };
        let work = move |tx: &crate::store::writer::Tx<'_>| {
            let (mut judge, mut sums) = (Judge::new(tx), Sums::default());
            let judged = judge.judge(&origin, &mut reading, sent)?;
            rows::insert(tx, &origin, &reading, &judged, &mut sums)?;
            sums.store(tx)?;
            if !reading.problems.is_empty() {
                judge.watch_burst(&origin)?;
            }
            tx.prepare_cached("UPDATE api_keys SET last_used = ?1 WHERE id = ?2 AND coalesce(last_used, 0) < ?1 - ?3")?
                .execute(params![now.0, id, LAST_USED])?;
            Ok(reading.problems)
        };
        self.write_rows(ROWS, work).await
    }
}
