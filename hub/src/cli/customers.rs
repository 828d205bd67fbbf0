//! `customer`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};

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
    /// Change a customer's name or mail address.
    Edit(EditArgs),
    /// Show or set how long raw telemetry is kept. Hourly sums stay for ever.
    Retention {
        /// The customer's number.
        id: i64,
        /// Remove what the hub got more than so many days ago.
        #[arg(long, value_name = "DAYS", conflicts_with = "for_ever")]
        raw_days: Option<u32>,
        /// Remove nothing.
        #[arg(long)]
        for_ever: bool,
    },
}

/// What is to be changed of a customer.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(["name", "email", "no_email"])))]
pub(super) struct EditArgs {
    /// Its number.
    id: i64,
    /// Its new name, unique.
    #[arg(long)]
    name: Option<String>,
    /// Where to write to.
    #[arg(long)]
    email: Option<String>,
    /// There is no address any more.
    #[arg(long, conflicts_with = "email")]
    no_email: bool,
}

pub(super) async fn run(client: &Client, command: CustomerCommand, output: Output) -> Result<(), Failure> {
    match command {
        CustomerCommand::Add { name, email } => {
            let made = client.post("customers", &json!({ "name": name, "email": email })).await?;
            output.print(&made, one)?;
        }
        CustomerCommand::List => output.print(&client.all("customers", &[]).await?, many)?,
        CustomerCommand::Show { id } => output.print(&client.get(&format!("customers/{id}"), &[]).await?, one)?,
        CustomerCommand::Edit(EditArgs { id, name, email, no_email }) => {
            let mut fields = Map::new();
            fields.extend(name.map(|name| ("name".to_owned(), json!(name))));
            fields.extend((no_email || email.is_some()).then(|| ("email".to_owned(), json!(email))));
            output.print(&client.patch(&format!("customers/{id}"), &fields).await?, one)?;
        }
        CustomerCommand::Retention { id, raw_days, for_ever } => {
            let path = format!("customers/{id}/retention");
            let kept = if raw_days.is_some() || for_ever {
                client.post(&path, &json!({ "raw_days": raw_days })).await?
            } else {
                client.get(&path, &[]).await?
            };
            output.print(&kept, |kept| match kept["raw_days"].as_u64() {
                Some(days) => format!("raw telemetry is kept for {days} days"),
                None => "raw telemetry is kept for ever".to_owned(),
            })?;
        }
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
