//! The parts of an agent's machine, as they are stored: a JSON list of kind and digest in hexadecimal.

use crate::store::{error::Error, writer::Tx};
use blake3::Hash;
use rusqlite::params;
use serde_json::{Value, json};
use sitewarden_protocol::fingerprint::{MAX_PARTS, Parts};

/// At most [`MAX_PARTS`] of them.
pub(in crate::store) fn to_json(parts: &Parts) -> Value {
    let part = |(kind, digest): &(String, [u8; 32])| json!([kind, Hash::from_bytes(*digest).to_hex().as_str()]);
    parts.iter().take(MAX_PARTS).map(part).collect()
}

/// What is not a part is left out. The first agents' were an object, with one digest of each kind.
fn from_json(stored: &Value) -> Parts {
    let part = |kind: &str, digest: &Value| {
        Hash::from_hex(digest.as_str()?).ok().map(|hash| (kind.to_owned(), *hash.as_bytes()))
    };
    match stored {
        Value::Object(parts) => parts.iter().filter_map(|(kind, digest)| part(kind, digest)).collect(),
        Value::Array(parts) => parts.iter().filter_map(|pair| part(pair[0].as_str()?, &pair[1])).collect(),
        _ => Parts::new(),
    }
}

/// What is known of an agent's machine.
pub(in crate::store) fn known(tx: &Tx<'_>, agent: i64) -> Result<Parts, Error> {
    let stored: String =
        tx.prepare_cached("SELECT fingerprint FROM agents WHERE id = ?")?.query_row([agent], |row| row.get(0))?;
    Ok(serde_json::from_str(&stored).map(|stored| from_json(&stored)).unwrap_or_default())
}

/// The machine is known by these parts from now on.
pub(in crate::store) fn learn(tx: &Tx<'_>, agent: i64, parts: &Parts) -> Result<(), Error> {
    tx.prepare_cached("UPDATE agents SET fingerprint = ? WHERE id = ?")?
        .execute(params![to_json(parts).to_string(), agent])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_back_also_those_of_the_first_agents() {
        let parts: Parts = vec![("mac".into(), [1; 32]), ("mac".into(), [2; 32])];
        assert_eq!(from_json(&to_json(&parts)), parts);
        let first = json!({ "mac": Hash::from_bytes([2; 32]).to_hex().as_str(), "odd": 1 });
        assert_eq!(from_json(&first), parts[1..]);
    }
}
