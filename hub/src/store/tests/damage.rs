//! Torn writes and flipped bits in the database's file: whatever is opened, nothing hangs or falls over, and what is no
//! longer what an agent signed is found.
//!
//! `SITEWARDEN_DAMAGE_STEP=10` looks at every tenth byte, which takes some minutes.

use crate::store::testing::{Fixture, NOW};
use crate::store::{Damage, Store, StoreSecrets, check};
use rusqlite::Connection;
use std::{fs, path::Path};
use zeroize::Zeroizing;

/// A prime, so that the places in a page vary.
const STEP: usize = 1_009;

/// Every record, as it was sent; an error where the file cannot tell.
fn records(path: &Path) -> Result<Vec<(u64, Vec<u8>)>, rusqlite::Error> {
    let connection = Connection::open(path)?;
    let mut query = connection.prepare("SELECT seq, at, kind, body FROM records ORDER BY agent, epoch, seq")?;
    let rows = query.query_map([], |row| {
        let (seq, at, kind): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let mut bytes = [at.to_le_bytes(), kind.to_le_bytes()].concat();
        bytes.extend(row.get::<_, Vec<u8>>(3)?);
        Ok((seq.unsigned_abs(), bytes))
    })?;
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_write_and_flipped_bit_in_the_hubs_file() {
    let fixture = Fixture::new().await;
    let mut plant = fixture.agent(1).await;
    plant.events("EMS", 400);
    for after in (0..400).step_by(20) {
        fixture.store.ingest(NOW, plant.batch(after, after + 20, 0)).await.unwrap();
    }
    plant.events("EMS", 1);
    let path = fixture.path();
    fixture.store.close().await;
    let (whole, truth) = (fs::read(&path).unwrap(), records(&path).unwrap());
    assert_eq!((truth.len(), check(&path).unwrap().damage), (400, None));
    let step = std::env::var("SITEWARDEN_DAMAGE_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(STEP);
    let (mut found, mut signed) = (0, 0);
    for at in (0..whole.len()).step_by(step) {
        for cut in [false, true] {
            let mut bytes = whole.clone();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << (at % 8);
            }
            fs::write(&path, &bytes).unwrap();
            let what = if cut { format!("cut at {at}") } else { format!("bit flipped at {at}") };
            match check(&path) {
                Ok(checked) if checked.damage.is_none() => {
                    let Ok(read) = records(&path) else { continue };
                    let other = read.iter().zip(&truth).find(|(one, other)| one != other);
                    assert_eq!((read.len(), other), (truth.len(), None), "{what}: nothing is found");
                }
                Ok(checked) => {
                    found += 1;
                    signed += u32::from(matches!(checked.damage, Some(Damage::Batch { .. })));
                }
                Err(_) => found += 1,
            }
            // A hub that is started all the same refuses, or goes on with what it can read.
            if let Ok(store) = Store::open(&path, StoreSecrets { license_key: Zeroizing::new([7; 32]) }).await {
                let _either = store.ingest(NOW, plant.batch(400, 401, 0)).await;
                store.close().await;
            }
            for beside in ["hub.sqlite-wal", "hub.sqlite-shm"] {
                let _absent = fs::remove_file(path.with_file_name(beside));
            }
        }
    }
    assert!(found > 0 && signed > 0, "{found} were found, {signed} of them by what was signed");
}
