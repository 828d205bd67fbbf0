//! `customer`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::Subcommand;
use serde_json::{Value, json};

/// What can be done with customers.
#[derive(Debug, Subcommand)]
pub(super) enum CustomerCommand {
    /// Add a customer.
    Add {
        /// Its name, unique.
        name: String,
        /// Where to write to.
        #[arg(long)]
        email: Option<String>,
    },
    /// List all customers.
    List,
    /// Show one customer.
    Show {
        /// Its number.
        id: i64,
    },
}

pub(super) async fn run(client: &Client, command: CustomerCommand, output: Output) -> Result<(), Failure> {
    match command {
        CustomerCommand::Add { name, email } => {
            let made = client.post("customers", &json!({ "name": name, "email": email })).await?;
            output.print(&made, one)?;
        }
        CustomerCommand::List => output.print(&client.all("customers", &[]).await?, many)?,
        CustomerCommand::Show { id } => output.print(&client.get(&format!("customers/{id}"), &[]).await?, one)?,
    }
    Ok(())
}

fn one(customer: &Value) -> String {
    let shown = |name| field(customer, name);
    pairs(&[
        ("customer", shown("id")),
        ("name", shown("name")),
        ("email", shown("email")),
        ("added", shown("created_at")),
    ])
}

fn many(customers: &Value) -> String {
    let row = |customer| ["id", "name", "email", "created_at"].map(|name| field(customer, name)).to_vec();
    let rows: Vec<_> = customers.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "NAME", "EMAIL", "ADDED"], &rows)
}
