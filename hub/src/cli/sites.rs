//! `site`.

use super::{
    Client, Failure, Output,
    failure::MISUSE,
    output::{field, pairs, table},
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use sitewarden_certs::secret_file;
use sitewarden_protocol::id::{PlantId, SiteId};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};
use zeroize::Zeroizing;

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
    Edit(EditArgs),
    /// Show one site.
    Show {
        /// Its id.
        id: SiteId,
    },
}

/// What is to be changed; what is not given stays as it is.
#[derive(Debug, Args)]
pub(super) struct EditArgs {
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
    /// Whether it never has a line: then its licences may be relied on for as long as they last.
    #[arg(long, value_name = "true|false")]
    air_gap: Option<bool>,
    /// Where its agent is called when its licences change, such as
    /// https://plant.example.com/api/v1/telemetry/webhook/license-update, or `none`.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// A file with what that is signed with, 32 to 256 bytes, that only its owner may read; without it the one there is
    /// stays, and a first one is made and shown this once. The agent gets it with `webhook-secret set`.
    #[arg(long, value_name = "FILE", requires = "webhook_url")]
    webhook_secret_file: Option<PathBuf>,
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
        SiteCommand::Edit(args) => output.print(&edit(client, args).await?, one)?,
        SiteCommand::Show { id } => output.print(&client.get(&format!("sites/{id}"), &[]).await?, one)?,
    }
    Ok(())
}

async fn edit(client: &Client, args: EditArgs) -> Result<Value, Failure> {
    let EditArgs { id, name, fresh_days, override_days, air_gap, webhook_url, webhook_secret_file } = args;
    // Read before anything is changed.
    let secret = webhook_secret_file.as_deref().map(secret).transpose()?;
    let mut fields = Map::new();
    fields.extend(name.map(|name| ("name".to_owned(), json!(name))));
    fields.extend(fresh_days.map(|Days(days)| ("fresh_days".to_owned(), json!(days))));
    fields.extend(override_days.map(|Days(days)| ("override_days".to_owned(), json!(days))));
    fields.extend(air_gap.map(|air_gap| ("air_gap".to_owned(), json!(air_gap))));
    let mut site = client.patch(&format!("sites/{id}"), &Value::Object(fields)).await?;
    let path = format!("sites/{id}/webhook");
    match webhook_url.as_deref() {
        None => {}
        Some("none") => drop(client.delete(&path).await?),
        Some(url) => {
            let secret = secret.as_ref().map(|secret| secret.as_str());
            site["webhook"] = client.put(&path, &json!({ "url": url, "secret": secret })).await?;
        }
    }
    Ok(site)
}

fn secret(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = secret_file::read(file).map_err(|error| Failure::of(MISUSE, &error))?;
    let text = str::from_utf8(&bytes).map_err(|_| Failure::new(MISUSE, "the webhook's secret is no text in UTF-8"))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
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
        ("air gap", shown("air_gap")),
        ("added", shown("created_at")),
        ("webhook", field(&site["webhook"], "url")),
        ("webhook secret", field(&site["webhook"], "secret")),
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
