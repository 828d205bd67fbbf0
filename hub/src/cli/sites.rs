//! `site`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use sitewarden_protocol::id::{PlantId, SiteId};
use std::str::FromStr;

/// What can be done with sites.
#[derive(Debug, Subcommand)]
pub(super) enum SiteCommand {
    /// Add a site: what one agent looks after.
    Add {
        /// Its name, unique in its plant.
        name: String,
        /// The plant's id.
        #[arg(long, value_name = "ID")]
        plant: PlantId,
    },
    /// List sites.
    List {
        /// Of this plant only.
        #[arg(long, value_name = "ID")]
        plant: Option<PlantId>,
    },
    /// Change a site; its agent follows at once.
    Edit {
        /// Its id.
        id: SiteId,
        /// Another name, unique in its plant.
        #[arg(long)]
        name: Option<String>,
        /// Days that its licences may be relied on without hearing from this hub, 1 to 3650, or `default`.
        #[arg(long, value_name = "DAYS")]
        fresh_days: Option<Days>,
        /// Days of emergency override that it may take in any 365, 0 to 365, or `default`.
        #[arg(long, value_name = "DAYS")]
        override_days: Option<Days>,
    },
    /// Show one site.
    Show {
        /// Its id.
        id: SiteId,
    },
}

/// A number of days, or as the hub is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days(Option<u16>);

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self(None));
        }
        text.parse().map(|days| Self(Some(days))).map_err(|_| "a whole number of days, or default".to_owned())
    }
}

pub(super) async fn run(client: &Client, command: SiteCommand, output: Output) -> Result<(), Failure> {
    match command {
        SiteCommand::Add { name, plant } => {
            let made = client.post("sites", &json!({ "name": name, "plant": plant })).await?;
            output.print(&made, one)?;
        }
        SiteCommand::List { plant } => {
            let plant = plant.map(|id| id.to_string());
            output.print(&client.all("sites", &[("plant", plant)]).await?, many)?;
        }
        SiteCommand::Edit { id, name, fresh_days, override_days } => {
            let mut fields = Map::new();
            fields.extend(name.map(|name| ("name".to_owned(), json!(name))));
            fields.extend(fresh_days.map(|Days(days)| ("fresh_days".to_owned(), json!(days))));
            fields.extend(override_days.map(|Days(days)| ("override_days".to_owned(), json!(days))));
            output.print(&client.patch(&format!("sites/{id}"), &Value::Object(fields)).await?, one)?;
        }
        SiteCommand::Show { id } => output.print(&client.get(&format!("sites/{id}"), &[]).await?, one)?,
    }
    Ok(())
}

fn one(site: &Value) -> String {
    let shown = |name| field(site, name);
    pairs(&[
        ("site", shown("id")),
        ("name", shown("name")),
        ("plant", shown("plant")),
        ("revision", shown("revision")),
        ("fresh days", or_default(shown("fresh_days"))),
        ("override days", or_default(shown("override_days"))),
        ("added", shown("created_at")),
    ])
}

fn or_default(days: String) -> String {
    if days.is_empty() { "as the hub is set".to_owned() } else { days }
}

fn many(sites: &Value) -> String {
    let row = |site| ["id", "name", "plant", "revision", "created_at"].map(|name| field(site, name)).to_vec();
    let rows: Vec<_> = sites.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "NAME", "PLANT", "REVISION", "ADDED"], &rows)
}
