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
        #[arg(long, value_name = "ID")]
        site: SiteId,
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
    /// Withdraw the trust in an agent: it is cut off, and nothing more is taken from it.
    Revoke {
        /// Its id.
        id: AgentId,
    },
}

/// A span of time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) u64);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a span is a number and d, h, m or s, such as 7d";
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(wrong)?;
        let seconds: u64 = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            "s" => 1,
            _ => return Err(wrong),
        };
        let number: u64 = number.parse().map_err(|_| wrong)?;
        number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Self).ok_or(wrong)
    }
}

pub(super) async fn run(client: &Client, command: AgentCommand, output: Output) -> Result<(), Failure> {
    match command {
        AgentCommand::Invite { site, valid_for, hub } => {
            let request = json!({ "site": site, "valid_for": valid_for.map(|span| span.0), "hub": hub });
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
        AgentCommand::Revoke { id } => {
            output.print(&client.post(&format!("agents/{id}/revoke"), &json!({})).await?, one)?;
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
        ("revoked", shown("revoked_at")),
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
