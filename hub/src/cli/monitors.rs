//! `monitor`.

use super::{
    Client, Failure, Output,
    output::{field, table},
};
use clap::Subcommand;
use serde_json::Value;
use sitewarden_protocol::id::SiteId;

/// What can be done with monitors.
#[derive(Debug, Subcommand)]
pub(super) enum MonitorCommand {
    /// List the monitors in use at a site, as far as its agent's records have arrived.
    List {
        /// Which site.
        #[arg(long, value_name = "ID")]
        site: SiteId,
        /// Of this app only.
        #[arg(long)]
        app: Option<String>,
    },
}

pub(super) async fn run(client: &Client, command: MonitorCommand, output: Output) -> Result<(), Failure> {
    let MonitorCommand::List { site, app } = command;
    let parameters = [("site", Some(site.to_string())), ("app", app)];
    Ok(output.print(&client.all("monitors", &parameters).await?, many)?)
}

fn many(monitors: &Value) -> String {
    let row = |monitor| ["app", "monitor", "since", "agent"].map(|name| field(monitor, name)).to_vec();
    let rows: Vec<_> = monitors.as_array().into_iter().flatten().map(row).collect();
    table(&["APP", "MONITOR", "SINCE", "AGENT"], &rows)
}
