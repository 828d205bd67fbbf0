//! `keys`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// What can be done with the hub's keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// List the hub's keys: those that agents seal batches to, or the authorities and signing keys that they trust.
    List {
        /// The authorities and signing keys.
        #[arg(long)]
        trusted: bool,
    },
    /// Make the next key of a kind. The ones before stay in force, so that agents that are away get through when they are
    /// back.
    Rotate(Rotate),
    /// End the oldest key of a kind. Refused while agents rely on it.
    Retire(Retire),
}

/// Which kind of key.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Rotate {
    /// The key that agents seal batches to; what was sealed to older ones still opens.
    #[arg(long)]
    sealing: bool,
    /// The key that signs receipts and snapshots; it is announced under the one before.
    #[arg(long)]
    signing: bool,
    /// The authority that agents' certificates come from; agents renew theirs by themselves.
    #[arg(long)]
    authority: bool,
}

/// Which kind of key.
#[derive(Debug, Args)]
pub(super) struct Retire {
    #[command(flatten)]
    which: Retired,
    /// Also if agents or tokens still rely on it. Agents come back by proof of their signing key; tokens are lost.
    #[arg(long)]
    force: bool,
}

/// Which kind of key.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Retired {
    /// The oldest key that signs receipts and snapshots.
    #[arg(long)]
    signing: bool,
    /// The oldest authority; the hub shows itself with the next from then on.
    #[arg(long)]
    authority: bool,
}

pub(super) async fn run(client: &Client, command: KeyCommand, output: Output) -> Result<(), Failure> {
    match command {
        KeyCommand::List { trusted: false } => output.print(&client.all("keys/sealing", &[]).await?, many)?,
        KeyCommand::List { trusted: true } => output.print(&client.all("keys/trusted", &[]).await?, many_trusted)?,
        KeyCommand::Rotate(Rotate { sealing: true, .. }) => {
            output.print(&client.post("keys/sealing/rotate", &json!({})).await?, one)?;
        }
        KeyCommand::Rotate(Rotate { signing, .. }) => {
            let path = format!("keys/{}/rotate", kind(signing));
            output.print(&client.post(&path, &json!({})).await?, one_trusted)?;
        }
        KeyCommand::Retire(Retire { which, force }) => {
            let path = format!("keys/{}/retire", kind(which.signing));
            output.print(&client.post(&path, &json!({ "force": force })).await?, one_trusted)?;
        }
    }
    Ok(())
}

const fn kind(signing: bool) -> &'static str {
    if signing { "signing" } else { "authority" }
}

fn one(key: &Value) -> String {
    pairs(&[("sealing key", field(key, "id")), ("public half", field(key, "public"))])
}

fn many(keys: &Value) -> String {
    let row = |key: &Value| {
        let state = if key["newest"] == json!(true) { "in use" } else { "opens only" };
        vec![field(key, "id"), state.to_owned(), field(key, "public")]
    };
    let rows: Vec<_> = keys.as_array().into_iter().flatten().map(row).collect();
    table(&["SEALING KEY", "STATE", "PUBLIC HALF"], &rows)
}

fn one_trusted(key: &Value) -> String {
    let what = format!("{} {}", field(key, "kind"), field(key, "number"));
    pairs(&[("key", what), ("name", field(key, "name")), ("state", field(key, "state"))])
}

fn many_trusted(keys: &Value) -> String {
    let row = |key: &Value| ["kind", "number", "state", "name"].map(|name| field(key, name)).to_vec();
    let rows: Vec<_> = keys.as_array().into_iter().flatten().map(row).collect();
    table(&["KIND", "NUMBER", "STATE", "NAME"], &rows)
}
