//! `plant`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::Subcommand;
use serde_json::{Value, json};
use sitewarden_protocol::id::PlantId;

/// What can be done with plants.
#[derive(Debug, Subcommand)]
pub(super) enum PlantCommand {
    /// Add a plant.
    Add {
        /// Its name, unique at its customer.
        name: String,
        /// The customer's number.
        #[arg(long, value_name = "ID")]
        customer: i64,
    },
    /// List plants.
    List {
        /// Of this customer only.
        #[arg(long, value_name = "ID")]
        customer: Option<i64>,
    },
    /// Call a plant by another name.
    Edit {
        /// Its id.
        id: PlantId,
        /// Its new name, unique at its customer.
        #[arg(long)]
        name: String,
    },
    /// Show one plant.
    Show {
        /// Its id.
        id: PlantId,
    },
}

pub(super) async fn run(client: &Client, command: PlantCommand, output: Output) -> Result<(), Failure> {
    match command {
        PlantCommand::Add { name, customer } => {
            let made = client.post("plants", &json!({ "name": name, "customer": customer })).await?;
            output.print(&made, one)?;
        }
        PlantCommand::List { customer } => {
            let customer = customer.map(|id| id.to_string());
            output.print(&client.all("plants", &[("customer", customer)]).await?, many)?;
        }
        PlantCommand::Edit { id, name } => {
            output.print(&client.patch(&format!("plants/{id}"), &json!({ "name": name })).await?, one)?;
        }
        PlantCommand::Show { id } => output.print(&client.get(&format!("plants/{id}"), &[]).await?, one)?,
    }
    Ok(())
}

fn one(plant: &Value) -> String {
    let shown = |name| field(plant, name);
    pairs(&[
        ("plant", shown("id")),
        ("name", shown("name")),
        ("customer", shown("customer")),
        ("added", shown("created_at")),
    ])
}

fn many(plants: &Value) -> String {
    let row = |plant| ["id", "name", "customer", "created_at"].map(|name| field(plant, name)).to_vec();
    let rows: Vec<_> = plants.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "NAME", "CUSTOMER", "ADDED"], &rows)
}
