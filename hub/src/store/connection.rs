//! How connections to the database are opened.

use super::error::Error;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use std::{fs::File, fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

const MIGRATIONS: &[M<'_>] = &[
    M::up(include_str!("migrations/0001_initial.sql")),
    M::up(include_str!("migrations/0002_one_active.sql")),
    M::up(include_str!("migrations/0003_users_on_site.sql")),
    M::up(include_str!("migrations/0004_flags.sql")),
    M::up(include_str!("migrations/0005_monitors.sql")),
    M::up(include_str!("migrations/0006_key_hint.sql")),
    M::up(include_str!("migrations/0007_site_override.sql")),
    M::up(include_str!("migrations/0008_telemetry.sql")),
    M::up(include_str!("migrations/0009_overages.sql")),
    M::up(include_str!("migrations/0010_machines.sql")),
    M::up(include_str!("migrations/0011_actors.sql")),
    M::up(include_str!("migrations/0012_dropped.sql")),
    M::up(include_str!("migrations/0013_webhooks.sql")),
    M::up(include_str!("migrations/0014_leads.sql")),
    M::up(include_str!("migrations/0015_time_order.sql")),
    M::up(include_str!("migrations/0016_audit_indexes.sql")),
    M::up(include_str!("migrations/0017_thresholds_passed.sql")),
    M::up(include_str!("migrations/0018_identity.sql")),
    M::up(include_str!("migrations/0019_bundles.sql")),
    M::up(include_str!("migrations/0020_usage.sql")),
    M::up(include_str!("migrations/0021_idempotency.sql")),
    M::up(include_str!("migrations/0022_test_license.sql")),
    M::up(include_str!("migrations/0023_revisions.sql")),
    M::up(include_str!("migrations/0024_progress.sql")),
    M::up(include_str!("migrations/0025_settings.sql")),
    M::up(include_str!("migrations/0026_said_epoch.sql")),
    M::up(include_str!("migrations/0027_again.sql")),
];

/// How long a connection waits for another process's lock, such as a backup's.
const BUSY: Duration = Duration::from_secs(5);

/// Pages of the write-ahead log (4 KiB each) after which a commit moves them into the database: 64 MiB. The writer does
/// it earlier when it has nothing else to do; this is the bound under load.
const AUTO_CHECKPOINT_PAGES: u32 = 16_384;

/// The writer's page cache, KiB: holds the inner pages of a database of many gigabytes.
const WRITER_CACHE_KIB: u32 = 65_536;

/// A reader's page cache, KiB.
const READER_CACHE_KIB: u32 = 8_192;

/// Statements that a connection keeps prepared; there are fewer than this in all of the store.
const STATEMENTS: usize = 192;

/// Makes the database's file, readable by its owner only. SQLite gives its companions the same mode.
pub(super) fn create_file(path: &Path) -> Result<(), Error> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(Error::Exists(path.to_owned())),
        Err(error) => return Err(error.into()),
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The one connection that writes, its layout brought up to date.
pub(super) fn writer(path: &Path) -> Result<Connection, Error> {
    if !path.exists() {
        return Err(Error::Missing(path.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    configure(&connection, WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // NORMAL may lose the last commits at a power cut, and for each of them somebody was told that it is on disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", AUTO_CHECKPOINT_PAGES)?;
    Migrations::from_slice(MIGRATIONS).to_latest(&mut connection)?;
    Ok(connection)
}

/// A connection that only reads. The writer's must be open already.
pub(super) fn reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection, READER_CACHE_KIB)?;
    Ok(connection)
}

fn configure(connection: &Connection, cache_kib: u32) -> Result<(), Error> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "foreign_keys", true)?;
    // A savepoint's journal would otherwise be a file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_apply_to_an_empty_database() {
        Migrations::from_slice(MIGRATIONS).validate().unwrap();
    }

    /// A database of before the rule, with three licences of one app Active.
    const BEFORE: &str = "
        INSERT INTO customers (id, name, created_at) VALUES (1, 'Acme', 0);
        INSERT INTO plants (id, customer, name, created_at) VALUES (zeroblob(16), 1, 'North', 0);
        INSERT INTO sites (id, plant, name, created_at) VALUES (zeroblob(16), zeroblob(16), 'Line 1', 0);
        WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 3)
        INSERT INTO licenses (id, uuid, site, customer, app, name, kind, term, features, policy, status, activated_at,
                              key_sealed, key_lookup, created_at)
            SELECT n, randomblob(16), zeroblob(16), 1, 'EMS', 'L' || n, 'trial', '', '[]', '', 'Active', 4 - n, x'', randomblob(32), 0
            FROM n;
        INSERT INTO license_revisions (license, revision, at, by, state)
            SELECT id, 1, 0, 'tester', '{\"status\":\"Active\",\"revision\":1}' FROM licenses;
        INSERT INTO activations (id, license, activated_by, activated_at) SELECT randomblob(16), id, 'bob', 4 - id FROM licenses;";

    #[test]
    fn of_several_active_licences_the_one_activated_last_stays() {
        let mut connection = Connection::open_in_memory().unwrap();
        let migrations = Migrations::from_slice(MIGRATIONS);
        migrations.to_version(&mut connection, 1).unwrap();
        connection.execute_batch(BEFORE).unwrap();
        migrations.to_latest(&mut connection).unwrap();
        let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(text("SELECT group_concat(status || revision) FROM licenses"), "Active1,Deactivated2,Deactivated2");
        let state = text("SELECT state FROM license_revisions WHERE license = 2 AND revision = 2");
        assert_eq!(state, r#"{"status":"Deactivated","revision":2}"#);
        assert_eq!(text("SELECT revision || '' FROM sites"), "2");
        assert_eq!(text("SELECT group_concat(license || by) FROM license_starts"), "3bob,2bob,1bob");
        let tallies = "SELECT group_concat(scope || ' ' || status || licenses) FROM (SELECT * FROM license_tallies WHERE scope = 'all')";
        assert_eq!(text(tallies), "all Active1,all Deactivated2");
    }
}
