//! What is to be added to the sums: gathered first, so that a batch of a thousand heartbeats touches each row once. (What is
//! counted of activations themselves is counted by triggers.)

use super::{HOUR, Place, sketch::Sketch};
use crate::store::{error::Error, whole, writer::Tx};
use rusqlite::{OptionalExtension, params};
use sitewarden_protocol::time::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};

/// The most names of features that are told apart: names come from callers, and rows are kept for each.
const MAX_FEATURES: i64 = 1_000;
/// Stands for those that came later.
const OTHER: i64 = 1;
/// Stands for no feature where sets of machines are kept.
const ANY: i64 = 0;

/// A machine that said how many users it has.
#[derive(Debug)]
pub(in crate::store) struct Seen<'a> {
    /// Whose it is.
    pub(in crate::store) place: Place,
    /// The activation's number.
    pub(in crate::store) number: i64,
    /// When.
    pub(in crate::store) at: UnixMillis,
    /// How many users it has.
    pub(in crate::store) users: u32,
    /// By how much they are more than it had in the same hour before.
    pub(in crate::store) raised: i64,
    /// How often each feature was used.
    pub(in crate::store) features: &'a [(String, u64)],
}

#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    heartbeats: i64,
    users_told: i64,
    active_users: i64,
}

/// What is to be added.
#[derive(Debug, Default)]
pub(in crate::store) struct Ledger {
    hours: BTreeMap<(Place, i64), Sums>,
    used: BTreeMap<(Place, i64, String), u64>,
    /// Machines that were heard of, or used a feature.
    seen: BTreeMap<(Place, i64, Option<String>), BTreeSet<u32>>,
}

impl Ledger {
    /// A machine said how many users it has.
    pub(in crate::store) fn heard(&mut self, seen: &Seen<'_>) {
        let sums = self.hours.entry((seen.place, hour(seen.at))).or_default();
        sums.heartbeats += 1;
        sums.users_told += i64::from(seen.users);
        sums.active_users += seen.raised;
        let (day, machine) = (hour(seen.at).div_euclid(24), u32::try_from(seen.number).unwrap_or(u32::MAX));
        self.seen.entry((seen.place, day, None)).or_default().insert(machine);
        for (name, used) in seen.features.iter().filter(|(_, used)| *used > 0) {
            let sum = self.used.entry((seen.place, day, name.clone())).or_default();
            *sum = sum.saturating_add(*used);
            self.seen.entry((seen.place, day, Some(name.clone()))).or_default().insert(machine);
        }
    }

    /// Adds all of it to the sums.
    pub(in crate::store) fn write(self, tx: &Tx<'_>) -> Result<(), Error> {
        self.write_hours(tx)?;
        let mut ids = BTreeMap::new();
        for name in self.used.keys().map(|(_, _, name)| name) {
            if !ids.contains_key(name) {
                ids.insert(name.clone(), feature(tx, name)?);
            }
        }
        let id = |name: &String| ids.get(name).copied().unwrap_or(OTHER);
        let mut days: BTreeMap<(String, i64, i64), u64> = BTreeMap::new();
        for ((place, day, name), used) in &self.used {
            for scope in place.scopes() {
                let sum = days.entry((scope, *day, id(name))).or_default();
                *sum = sum.saturating_add(*used);
            }
        }
        let mut sets: BTreeMap<(String, i64, i64), BTreeSet<u32>> = BTreeMap::new();
        for ((place, day, name), machines) in &self.seen {
            for scope in place.scopes() {
                sets.entry((scope, *day, name.as_ref().map_or(ANY, id))).or_default().extend(machines);
            }
        }
        write_days(tx, &days)?;
        sets.iter().try_for_each(|((scope, day, feature), machines)| write_set(tx, scope, *day, *feature, machines))
    }

    fn write_hours(&self, tx: &Tx<'_>) -> Result<(), Error> {
        let mut scopes: BTreeMap<(String, i64), Sums> = BTreeMap::new();
        for ((place, hour), sums) in &self.hours {
            for scope in place.scopes() {
                let all = scopes.entry((scope, *hour)).or_default();
                all.heartbeats += sums.heartbeats;
                all.users_told += sums.users_told;
                all.active_users += sums.active_users;
            }
        }
        let mut upsert = tx.prepare_cached(
            "INSERT INTO machine_hours (scope, hour, heartbeats, users_told, active_users, new_activations)
             VALUES (?, ?, ?, ?, ?, 0)
             ON CONFLICT (scope, hour) DO UPDATE SET heartbeats = heartbeats + excluded.heartbeats,
                users_told = users_told + excluded.users_told, active_users = active_users + excluded.active_users",
        )?;
        for ((scope, hour), sums) in &scopes {
            let Sums { heartbeats, users_told, active_users } = sums;
            upsert.execute(params![scope, hour, heartbeats, users_told, active_users])?;
        }
        Ok(())
    }
}

fn write_days(tx: &Tx<'_>, days: &BTreeMap<(String, i64, i64), u64>) -> Result<(), Error> {
    let mut upsert = tx.prepare_cached(
        "INSERT INTO feature_days (scope, day, feature, used) VALUES (?, ?, ?, ?)
         ON CONFLICT (scope, day, feature) DO UPDATE SET
            used = CASE WHEN used > 9223372036854775807 - excluded.used THEN 9223372036854775807
                        ELSE used + excluded.used END",
    )?;
    for ((scope, day, feature), used) in days {
        upsert.execute(params![scope, day, feature, whole(*used)])?;
    }
    Ok(())
}

/// Most machines are in the set already, and then nothing is written.
fn write_set(tx: &Tx<'_>, scope: &str, day: i64, feature: i64, machines: &BTreeSet<u32>) -> Result<(), Error> {
    let mut query =
        tx.prepare_cached("SELECT id, machines FROM machine_sets WHERE scope = ? AND day = ? AND feature = ?")?;
    let known: Option<(i64, Vec<u8>)> =
        query.query_row(params![scope, day, feature], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let mut set = known.as_ref().and_then(|(_, bytes)| Sketch::read(bytes)).unwrap_or_default();
    let mut changed = false;
    machines.iter().for_each(|machine| changed |= set.add(*machine));
    match known {
        Some((id, _)) if changed => {
            tx.prepare_cached("UPDATE machine_sets SET machines = ? WHERE id = ?")?
                .execute(params![set.bytes(), id])?;
        }
        None => {
            tx.prepare_cached("INSERT INTO machine_sets (scope, day, feature, machines) VALUES (?, ?, ?, ?)")?
                .execute(params![scope, day, feature, set.bytes()])?;
        }
        Some(_) => {}
    }
    Ok(())
}

/// A feature's number; a new one while there is room.
fn feature(tx: &Tx<'_>, name: &str) -> Result<i64, Error> {
    let find = "SELECT id FROM features WHERE name = ?";
    if let Some(id) = tx.prepare_cached(find)?.query_row([name], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    let added = tx
        .prepare_cached("INSERT INTO features (name) SELECT ?1 WHERE (SELECT max(id) FROM features) < ?2")?
        .execute(params![name, MAX_FEATURES])?;
    Ok(if added > 0 { tx.last_insert_rowid() } else { OTHER })
}

fn hour(at: UnixMillis) -> i64 {
    at.0.div_euclid(HOUR)
}
