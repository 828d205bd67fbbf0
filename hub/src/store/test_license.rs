//! The licence of the documented test key, which counts only while the hub runs with `--dev`.
//!
//! Always true: there is one such licence at most that the key opens, and it is marked, so that a start without the flag
//! finds it and makes the key unknown again. What was done under it stays.

use super::{Act, Holder, LicenseSelector, NewLicense, Store, customers, error::Error, licenses, secrets, writer::Tx};
use rusqlite::{OptionalExtension, params};
use sitewarden_protocol::{
    id::LicenseId,
    license::{Kind, Limits, Policy, Status, Term},
};
use std::sync::Arc;

const CUSTOMER: &str = "Test customer (--dev)";

impl Store {
    /// Lets the key open the test licence; makes one if there is none that can be used.
    ///
    /// # Errors
    /// What the database says.
    pub async fn permit_test_key(&self, act: &Act, key: &'static str) -> Result<(), Error> {
        let (act, store_secrets) = (act.clone(), Arc::clone(&self.0.secrets));
        let uuid = LicenseId::new(act.at, secrets::random()?);
        self.write(move |tx| {
            forget(tx)?;
            let known = marked(tx)?.map(|id| licenses::find(tx, LicenseSelector::Number(id))).transpose()?;
            if let Some(usable) = known.filter(|it| matches!(it.status, Status::Inactive | Status::Active)) {
                tx.prepare_cached("UPDATE licenses SET key_lookup = ? WHERE id = ?")?
                    .execute(params![store_secrets.lookup(key), usable.id])?;
                return Ok(());
            }
            let id = licenses::issue(tx, &act, &sold(customer(tx, &act)?)?, (uuid, key), &store_secrets)?.id;
            tx.execute("DELETE FROM test_license", [])?;
            tx.execute("INSERT INTO test_license (license) VALUES (?)", [id])?;
            Ok(())
        })
        .await
    }

    /// Sees to it that the key opens nothing; answers whether there is a test licence.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forbid_test_key(&self) -> Result<bool, Error> {
        if !self.read(|connection| Ok(marked(connection)?.is_some())).await? {
            return Ok(false);
        }
        self.write(|tx| forget(tx).map(|()| true)).await
    }
}

/// The marked licence is found by no key.
fn forget(tx: &Tx<'_>) -> Result<(), Error> {
    tx.execute("UPDATE licenses SET key_lookup = randomblob(32) WHERE id IN (SELECT license FROM test_license)", [])?;
    Ok(())
}

fn marked(connection: &rusqlite::Connection) -> Result<Option<i64>, Error> {
    Ok(connection.query_row("SELECT license FROM test_license", [], |row| row.get(0)).optional()?)
}

fn customer(tx: &Tx<'_>, act: &Act) -> Result<i64, Error> {
    let mut query = tx.prepare_cached("SELECT id FROM customers WHERE name = ?")?;
    match query.query_row([CUSTOMER], |row| row.get(0)).optional()? {
        Some(id) => Ok(id),
        None => Ok(customers::add(tx, act, CUSTOMER.to_owned(), None)?.id),
    }
}

/// As in the document's samples.
fn sold(customer: i64) -> Result<NewLicense, Error> {
    let year = "1y".parse().map_err(|_| Error::Damaged { what: "test licence" })?;
    Ok(NewLicense {
        holder: Holder::Customer(customer),
        app: "GENERAL".to_owned(),
        name: "Test licence (--dev)".to_owned(),
        kind: Kind::Subscription,
        term: Term::Validity(year),
        limits: Limits { monitors: None, users: Some(10), activations: Some(100) },
        features: vec!["feature1".to_owned(), "feature2".to_owned()],
        policy: Policy::default(),
        thresholds: Vec::new(),
        description: "Its key is in the licence server's document; it counts only while the hub runs with --dev"
            .to_owned(),
    })
}
