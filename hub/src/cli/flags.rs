//! `flag`.

use super::failure::FAILED;
use super::{
    Client, Failure, Output,
    output::{field, pairs, shown, table},
};
use clap::Subcommand;
use serde_json::{Value, json};
use sitewarden_certs::secret_file;
use sitewarden_protocol::id::SiteId;
use std::path::PathBuf;

/// What can be done with red flags.
#[derive(Debug, Subcommand)]
pub(super) enum FlagCommand {
    /// List red flags, the newest first.
    List {
        /// Only those that were not put aside.
        #[arg(long)]
        open: bool,
        /// Of this site only.
        #[arg(long, value_name = "ID")]
        site: Option<SiteId>,
    },
    /// Show one red flag: what was seen, and what became of it.
    Show {
        /// Its number.
        id: i64,
    },
    /// Write what proves a fork to a file: both halves that the agent signed. tests/proof/fork.py checks it.
    Evidence {
        /// The flag's number.
        id: i64,
        /// Where to write it; the records are in it.
        file: PathBuf,
    },
    /// Put a red flag aside. It stays on record; the same observation does not raise it again.
    Resolve {
        /// Its number.
        id: i64,
        /// Why; 1 to 1000 characters.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
}

pub(super) async fn run(client: &Client, command: FlagCommand, output: Output) -> Result<(), Failure> {
    match command {
        FlagCommand::List { open, site } => {
            let parameters = [("open", open.then(|| "true".to_owned())), ("site", site.map(|id| id.to_string()))];
            output.print(&client.all("flags", &parameters).await?, many)?;
        }
        FlagCommand::Show { id } => output.print(&client.get(&format!("flags/{id}"), &[]).await?, one)?,
        FlagCommand::Evidence { id, file } => {
            let evidence = client.get(&format!("flags/{id}/evidence"), &[]).await?;
            let written = secret_file::write(&file, evidence.to_string().as_bytes());
            written.map_err(|error| Failure::of(FAILED, &error))?;
            let made = json!({ "file": file, "agent": evidence["agent"] });
            output.print(&made, |_| format!("Wrote what proves the fork to {}.", file.display()))?;
        }
        FlagCommand::Resolve { id, note } => {
            output.print(&client.post(&format!("flags/{id}/resolve"), &json!({ "note": note })).await?, one)?;
        }
    }
    Ok(())
}

fn one(flag: &Value) -> String {
    let of = |name| field(flag, name);
    let mut text = pairs(&[
        ("flag", of("id")),
        ("kind", of("kind")),
        ("seen", of("at")),
        ("site", of("site")),
        ("agent", of("agent")),
        ("license", of("license")),
        ("resolved", of("resolved_at")),
        ("by", of("resolved_by")),
        ("note", of("note")),
    ]);
    let details = flag["details"].as_object();
    let details: Vec<_> = details.into_iter().flatten().map(|(name, value)| (name.as_str(), shown(value))).collect();
    if !details.is_empty() {
        text = format!("{text}\n\n{}", pairs(&details));
    }
    text
}

fn many(flags: &Value) -> String {
    let row = |flag: &Value| {
        let mut cells = ["id", "at", "kind", "site", "agent"].map(|name| field(flag, name)).to_vec();
        cells.push(if flag["resolved_at"].is_null() { "open".to_owned() } else { field(flag, "note") });
        cells
    };
    let rows: Vec<_> = flags.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "SEEN", "KIND", "SITE", "AGENT", "STATE"], &rows)
}
