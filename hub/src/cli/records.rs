//! `record`.

use super::{
    Client, Failure, Output,
    output::{field, table},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sitewarden_protocol::id::{AgentId, SiteId};

/// What can be done with records.
#[derive(Debug, Subcommand)]
pub(super) enum RecordCommand {
    /// List records, the newest first.
    List(ListArgs),
}

/// Which records.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Of this site.
    #[arg(long, value_name = "ID", conflicts_with = "agent", required_unless_present = "agent")]
    site: Option<SiteId>,
    /// Of this agent.
    #[arg(long, value_name = "ID")]
    agent: Option<AgentId>,
    /// Of this kind only: event, host, monitor_reserved, monitor_released, license_activated, denial, epoch_begun.
    #[arg(long)]
    kind: Option<String>,
    /// The oldest first.
    #[arg(long)]
    oldest_first: bool,
    /// Go on after this place, which the page before named.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// How many, at most 1000.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// All of them, page by page; with --json one record a line.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

pub(super) async fn run(client: &Client, command: RecordCommand, output: Output) -> Result<(), Failure> {
    let RecordCommand::List(mut args) = command;
    if !args.all {
        let page = page(client, &args).await?;
        return Ok(output.print(&page, |page| {
            let next = field(page, "next");
            let more = if next.is_empty() { String::new() } else { format!("\n\nmore: --after {next}") };
            format!("{}{more}", rows(&page["items"]))
        })?);
    }
    args.limit = 1_000;
    loop {
        let page = page(client, &args).await?;
        let items = page["items"].as_array().map_or(&[][..], Vec::as_slice);
        if output.is_json() {
            items.iter().try_for_each(|record| output.json_line(record))?;
        } else if !items.is_empty() {
            output.text(&rows(&page["items"]))?;
        }
        args.after = page["next"].as_str().map(str::to_owned);
        if args.after.is_none() {
            return Ok(());
        }
    }
}

async fn page(client: &Client, args: &ListArgs) -> Result<Value, Failure> {
    let parameters = [
        ("site", args.site.map(|id| id.to_string())),
        ("agent", args.agent.map(|id| id.to_string())),
        ("kind", args.kind.clone()),
        ("order", Some(if args.oldest_first { "oldest" } else { "newest" }.to_owned())),
        ("after", args.after.clone()),
        ("limit", Some(args.limit.to_string())),
    ];
    client.get("records", &parameters).await
}

fn rows(records: &Value) -> String {
    let row = |record: &Value| {
        let place = format!("{}:{}", field(record, "epoch"), field(record, "seq"));
        let body = if record["body"].is_null() { json!({}) } else { record["body"].clone() };
        vec![field(record, "at"), place, field(record, "kind"), field(record, "app"), body.to_string()]
    };
    let rows: Vec<_> = records.as_array().into_iter().flatten().map(row).collect();
    table(&["AT", "PLACE", "KIND", "APP", "BODY"], &rows)
}
