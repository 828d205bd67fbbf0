//! `agent`.

use super::{
    Client, Failure, Output,
    output::{bytes, field, pairs, shown, table},
};
use clap::Subcommand;
use serde_json::{Value, json};
use sitewarden_protocol::id::{AgentId, SiteId};
use std::str::FromStr;

/// What can be done with agents.
#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// Make a one-time token that brings an agent to this hub; prints it.
    Invite {
        /// The site that the agent will look after.
        #[arg(long, value_name = "ID", required_unless_present = "agent", conflicts_with = "agent")]
        site: Option<SiteId>,
        /// An agent that is to be enrolled again, with `sitewarden-agent enroll --again`: because its key was stolen or lost, or
        /// its machine is gone. It keeps its id, its monitors and its history; the key from before counts no more from then on.
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
        /// How long the token is good for: a number and d, h, m or s, such as 7d [default: 7d].
        #[arg(long, value_name = "SPAN")]
        valid_for: Option<Span>,
        /// Where the agent finds the hub [default: as the hub is set].
        #[arg(long, value_name = "HOST:PORT")]
        hub: Option<String>,
    },
    /// List agents.
    List {
        /// Of this site only.
        #[arg(long, value_name = "ID")]
        site: Option<SiteId>,
    },
    /// Show one agent: what it last said of itself, and what it sent.
    Show {
        /// Its id.
        id: AgentId,
    },
    /// Call an agent by another name: it enrols under a pseudonym, because its machine's name stays at the site.
    Edit {
        /// Its id.
        id: AgentId,
        /// What it is called from now on.
        #[arg(long)]
        name: String,
    },
    /// Let an agent whose machine was rolled back or copied go on: it begins a fresh epoch, and sends again what it recorded
    /// since. Its flags of that are put aside. Of two copies only one should be left running.
    Clear {
        /// Its id.
        id: AgentId,
        /// Why; 1 to 1000 characters.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
    /// Withdraw the trust in an agent: it is cut off at once.
    Revoke {
        /// Its id.
        id: AgentId,
        /// The first record that is not believed, such as 2:5000 (epoch 2, record 5000): what it signed before is still
        /// taken in, what it signed from there on is set aside [default: nothing more is taken].
        #[arg(long, value_name = "EPOCH:NUMBER")]
        from: Option<RecordPlace>,
        /// Why, for those who read it later.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// A record's place: its epoch and its number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordPlace {
    epoch: u64,
    seq: u64,
}

impl FromStr for RecordPlace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |(epoch, seq): (&str, &str)| Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? });
        text.split_once(':').and_then(read).ok_or("a record's place is its epoch and its number, such as 2:5000")
    }
}

/// A span of time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) u64);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a span is a number and d, h, m or s, such as 7d";
        let span = crate::config::span(text).map(|span| span.as_secs());
        span.filter(|seconds| *seconds > 0).map(Self).ok_or(wrong)
    }
}

pub(super) async fn run(client: &Client, command: AgentCommand, output: Output) -> Result<(), Failure> {
    match command {
        AgentCommand::Invite { site, agent, valid_for, hub } => {
            let request =
                json!({ "site": site, "agent": agent, "valid_for": valid_for.map(|span| span.0), "hub": hub });
            // The token alone for people, so that it can be captured by a shell.
            output.print(&client.post("agents/invite", &request).await?, |made| field(made, "token"))?;
        }
        AgentCommand::List { site } => {
            let site = site.map(|id| id.to_string());
            output.print(&client.all("agents", &[("site", site)]).await?, many)?;
        }
        AgentCommand::Show { id } => output.print(&client.get(&format!("agents/{id}"), &[]).await?, one)?,
        AgentCommand::Edit { id, name } => {
            output.print(&client.patch(&format!("agents/{id}"), &json!({ "name": name })).await?, one)?;
        }
        AgentCommand::Clear { id, note } => {
            output.print(&client.post(&format!("agents/{id}/clear"), &json!({ "note": note })).await?, one)?;
        }
        AgentCommand::Revoke { id, from, reason } => {
            let from = from.map(|from| json!({ "epoch": from.epoch, "seq": from.seq }));
            let request = json!({ "reason": reason, "from": from });
            output.print(&client.post(&format!("agents/{id}/revoke"), &request).await?, one)?;
        }
    }
    Ok(())
}

fn one(agent: &Value) -> String {
    let shown = |name| field(agent, name);
    let live = &agent["live"];
    let mut text = pairs(&[
        ("agent", shown("id")),
        ("site", shown("site")),
        ("status", shown("status")),
        ("name", shown("hostname")),
        ("program", shown("program")),
        ("signing key", shown("signing_key")),
        ("enrolled", shown("enrolled_at")),
        ("enrolled again", shown("enrolled_again_at")),
        ("revoked", shown("revoked_at")),
        ("revoked from", shown("revoked_from")),
        ("reason", shown("revoke_reason")),
        ("last seen", shown("last_seen")),
        ("address", shown("address")),
        ("records received", shown("records_received")),
        ("records lost", shown("records_lost")),
        ("reports dropped", shown("records_dropped")),
        ("reported", field(live, "at")),
        ("backlog", field(live, "backlog")),
        ("oldest unsent", field(live, "oldest_unacknowledged")),
        ("journal", bytes(&live["journal_bytes"])),
        ("snapshot revision", field(live, "snapshot_revision")),
        ("monitors", live["quotas"].as_array().map_or_else(String::new, |quotas| monitors(quotas))),
    ]);
    if let Some(epochs) = agent["epochs"].as_array().filter(|epochs| !epochs.is_empty()) {
        let row = |epoch| ["epoch", "through", "records", "lost", "moved"].map(|name| field(epoch, name)).to_vec();
        let rows: Vec<_> = epochs.iter().map(row).collect();
        text = format!("{text}\n\n{}", table(&["EPOCH", "THROUGH", "RECORDS", "LOST", "MOVED"], &rows));
    }
    text
}

fn monitors(quotas: &[Value]) -> String {
    let one = |quota: &Value| {
        let permitted = if quota["permitted"].is_null() { "∞".to_owned() } else { shown(&quota["permitted"]) };
        format!("{} {}/{permitted}", field(quota, "app"), field(quota, "used"))
    };
    quotas.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn many(agents: &Value) -> String {
    let row = |agent: &Value| {
        let mut cells =
            ["id", "status", "hostname", "last_seen", "records_received"].map(|name| field(agent, name)).to_vec();
        cells.extend([field(&agent["live"], "backlog"), field(agent, "site")]);
        cells
    };
    let rows: Vec<_> = agents.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "STATUS", "NAME", "LAST SEEN", "RECORDS", "BACKLOG", "SITE"], &rows)
}
