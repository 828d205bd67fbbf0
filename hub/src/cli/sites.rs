//! `site`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::Subcommand;
use serde_json::{Value, json};
use sitewarden_protocol::id::{PlantId, SiteId};

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
    /// Show one site.
    Show {
        /// Its id.
        id: SiteId,
    },
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
        ("added", shown("created_at")),
    ])
}

fn many(sites: &Value) -> String {
    let row = |site| ["id", "name", "plant", "revision", "created_at"].map(|name| field(site, name)).to_vec();
    let rows: Vec<_> = sites.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "NAME", "PLANT", "REVISION", "ADDED"], &rows)
}
