//! What records of monitors do to the list of those in use: the last word of the site's agent counts.

use super::{Arrival, OpenedRecords};
use crate::store::{error::Error, writer::Tx};
use rusqlite::params;

impl Arrival<'_> {
    /// Takes in the reservations and releases among the records after the first `skip`. When a site got another agent,
    /// a monitor is that one's who reserved it last, and only he gives it back.
    pub(super) fn move_monitors(&self, tx: &Tx<'_>, records: &OpenedRecords, skip: usize) -> Result<(), Error> {
        let mut moved = records.monitors.iter().filter(|moved| moved.index >= skip).peekable();
        if moved.peek().is_none() {
            return Ok(());
        }
        let mut reserve = tx.prepare_cached(
            "INSERT INTO monitors (site, app, monitor, agent, since) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (site, app, monitor) DO UPDATE SET agent = excluded.agent, since = excluded.since
                WHERE agent != excluded.agent",
        )?;
        let mut release =
            tx.prepare_cached("DELETE FROM monitors WHERE site = ? AND app = ? AND monitor = ? AND agent = ?")?;
        let site = self.sender.site.as_bytes();
        for moved in moved {
            let (app, monitor) = (&moved.what.app, &moved.what.monitor);
            if moved.reserved {
                reserve.execute(params![site, app, monitor, self.sender.row, moved.at.0])?;
            } else {
                release.execute(params![site, app, monitor, self.sender.row])?;
            }
        }
        Ok(())
    }
}
