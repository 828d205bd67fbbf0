//! What a new sealing key means for sites: their snapshots name it. The key itself is in a file, not here.

use super::{Act, Scope, Store, audit, error::Error, sites};
use serde_json::json;
use sitewarden_protocol::snapshot::SealingKey;

impl Store {
    /// Has all sites told of a new sealing key, which must be on disk already, and notes who made it.
    ///
    /// # Errors
    /// What the database says. The sites then hear of it when their snapshots are signed anew, half a day later at most.
    pub async fn new_sealing_key(&self, act: &Act, key: SealingKey) -> Result<(), Error> {
        let act = act.clone();
        self.write(move |tx| {
            let after = json!({ "public": hex(&key.public) });
            audit::write(tx, &act, "sealing_key.make", &key.id.to_string(), None, Some(&after))?;
            sites::bump_all(tx, Scope::default())
        })
        .await
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
