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
    /// List the keys that agents seal batches to; the newest is the one in use.
    List,
    /// Make a new key. Old ones are kept, so that what was sealed to them still opens.
    Rotate(Which),
}

/// Which kind of key.
#[derive(Debug, Args)]
#[group(required = true)]
pub(super) struct Which {
    /// The key that agents seal batches to; sites hear of the new one at once.
    #[arg(long)]
    sealing: bool,
}

pub(super) async fn run(client: &Client, command: KeyCommand, output: Output) -> Result<(), Failure> {
    match command {
        KeyCommand::List => output.print(&client.all("keys/sealing", &[]).await?, many)?,
        KeyCommand::Rotate(Which { sealing: _ }) => {
            output.print(&client.post("keys/sealing/rotate", &json!({})).await?, one)?;
        }
    }
    Ok(())
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
