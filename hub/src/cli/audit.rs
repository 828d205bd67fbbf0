//! `audit`.

use super::{
    Client, Failure, Output,
    failure::FAILED,
    output::{field, table},
};
use clap::{Args, Subcommand};
use serde_json::Value;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List what was done, the newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// Rows at most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Print all that was done, the oldest first, as JSON lines.
    Export(Filter),
    /// Read the whole log: whether each row follows from the one before it. Fails if one does not.
    Verify,
}

/// Which rows.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Of this kind of actor: local, user, api_key, agent or hub.
    #[arg(long)]
    actor: Option<String>,
    /// By this one, such as a user's name.
    #[arg(long)]
    by: Option<String>,
    /// This was done, such as site.edit.
    #[arg(long)]
    action: Option<String>,
    /// To this, such as "customer 1".
    #[arg(long)]
    subject: Option<String>,
    /// Not before this moment, such as 2026-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this moment.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

pub(super) async fn run(client: &Client, command: AuditCommand, output: Output) -> Result<(), Failure> {
    match command {
        AuditCommand::List { filter, limit } => {
            let parameters = [&filter.parameters()[..], &[("limit", Some(limit.to_string()))]].concat();
            let mut page = client.get("audit", &parameters).await?;
            output.print(&page["items"].take(), many)?;
        }
        AuditCommand::Export(filter) => export(client, &filter, output).await?,
        AuditCommand::Verify => {
            let check = client.get("audit/verify", &[]).await?;
            output.print(&check, |check| {
                format!("{} rows follow from one another; head {}", check["rows"], field(check, "head"))
            })?;
            if !check["broken"].is_null() {
                let message =
                    format!("row {} of the audit log does not follow from the one before it", check["broken"]);
                return Err(Failure::new(FAILED, message));
            }
        }
    }
    Ok(())
}

/// Page by page, so that it costs no memory however long the log is.
async fn export(client: &Client, filter: &Filter, output: Output) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = [("order", Some("oldest".to_owned())), ("limit", Some("1000".to_owned())), ("after", after)];
        let answer = client.get("audit", &[&filter.parameters()[..], &page].concat()).await?;
        for entry in answer["items"].as_array().into_iter().flatten() {
            output.json_line(entry)?;
        }
        after = answer["next"].as_str().map(str::to_owned);
        if after.is_none() {
            return Ok(());
        }
    }
}

impl Filter {
    fn parameters(&self) -> [(&'static str, Option<String>); 6] {
        [
            ("actor", self.actor.clone()),
            ("by", self.by.clone()),
            ("action", self.action.clone()),
            ("subject", self.subject.clone()),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
        ]
    }
}

fn many(entries: &Value) -> String {
    let row =
        |entry: &Value| ["id", "at", "by", "address", "action", "subject"].map(|name| field(entry, name)).to_vec();
    let rows: Vec<_> = entries.as_array().into_iter().flatten().map(row).collect();
    table(&["ROW", "WHEN", "BY", "FROM", "ACTION", "SUBJECT"], &rows)
}
