//! `batch`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::Subcommand;
use serde_json::{Value, json};
use sitewarden_protocol::id::AgentId;

/// What can be done with batches that were not taken in.
#[derive(Debug, Subcommand)]
pub(super) enum BatchCommand {
    /// List batches that wait, the newest first: set aside because they cannot be read, or one half of a fork.
    List {
        /// Of this agent only.
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
    },
    /// Show one of them.
    Show {
        /// Its number.
        id: i64,
    },
    /// Try one again, as after a missing sealing key was restored (and the hub was started again).
    Replay {
        /// Its number.
        id: i64,
    },
}

pub(super) async fn run(client: &Client, command: BatchCommand, output: Output) -> Result<(), Failure> {
    match command {
        BatchCommand::List { agent } => {
            let agent = agent.map(|id| id.to_string());
            output.print(&client.all("batches", &[("agent", agent)]).await?, many)?;
        }
        BatchCommand::Show { id } => output.print(&client.get(&format!("batches/{id}"), &[]).await?, one)?,
        BatchCommand::Replay { id } => {
            output.print(&client.post(&format!("batches/{id}/replay"), &json!({})).await?, replayed)?;
        }
    }
    Ok(())
}

fn replayed(answer: &Value) -> String {
    match answer["outcome"].as_str() {
        Some("stored") => format!("{} records are in.", field(answer, "records")),
        _ => format!("It waits as before: {}.", field(answer, "reason")),
    }
}

fn one(batch: &Value) -> String {
    let of = |name| field(batch, name);
    pairs(&[
        ("batch", of("id")),
        ("agent", of("agent")),
        ("epoch", of("epoch")),
        ("first record", of("first")),
        ("last record", of("last")),
        ("state", of("state")),
        ("reason", of("reason")),
        ("received", of("received_at")),
        ("chain before", of("prev")),
        ("chain after", of("head")),
        ("payload", format!("{} bytes", of("bytes"))),
    ])
}

fn many(batches: &Value) -> String {
    let names = ["id", "received_at", "agent", "epoch", "first", "last", "state", "reason"];
    let rows: Vec<_> =
        batches.as_array().into_iter().flatten().map(|batch| names.map(|name| field(batch, name)).to_vec()).collect();
    table(&["ID", "RECEIVED", "AGENT", "EPOCH", "FIRST", "LAST", "STATE", "REASON"], &rows)
}
