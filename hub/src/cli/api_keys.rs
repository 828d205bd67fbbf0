//! `apikey`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sitewarden_protocol::id::SiteId;

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub(super) enum ApiKeyCommand {
    /// Make a key. It is shown this once.
    Add(AddArgs),
    /// List all keys, without the keys themselves.
    List {
        /// Of this customer only.
        #[arg(long, value_name = "ID")]
        customer: Option<i64>,
    },
    /// Make a key that takes another's place. It is shown this once.
    Rotate {
        /// The number of the key before.
        id: i64,
        /// Hours that the key before still counts; 0 ends it at once.
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        overlap: u32,
    },
    /// Revoke a key; at the hub it does not count from now on, at the sites from their next snapshot.
    Revoke {
        /// Its number.
        id: i64,
    },
}

/// A key to be made.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Whose programs get it.
    #[arg(long, value_name = "ID")]
    customer: i64,
    /// At which site alone; otherwise it counts at all of the customer's.
    #[arg(long, value_name = "ID")]
    site: Option<SiteId>,
    /// What to call it.
    #[arg(long)]
    name: Option<String>,
    /// When it stops counting, such as 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

pub(super) async fn run(client: &Client, command: ApiKeyCommand, output: Output) -> Result<(), Failure> {
    match command {
        ApiKeyCommand::Add(args) => {
            let AddArgs { customer, site, name, expires } = args;
            let body = json!({ "customer": customer, "site": site, "name": name, "expires": expires });
            output.print(&client.post("api-keys", &body).await?, one)?;
        }
        ApiKeyCommand::List { customer } => {
            let parameters = [("customer", customer.map(|id| id.to_string()))];
            output.print(&client.all("api-keys", &parameters).await?, many)?;
        }
        ApiKeyCommand::Rotate { id, overlap } => {
            let made = client.post(&format!("api-keys/{id}/rotate"), &json!({ "overlap": overlap })).await?;
            output.print(&made, one)?;
        }
        ApiKeyCommand::Revoke { id } => {
            output.print(&client.post(&format!("api-keys/{id}/revoke"), &json!({})).await?, one)?;
        }
    }
    Ok(())
}

fn one(key: &Value) -> String {
    let of = |name| field(key, name);
    pairs(&[
        ("key", of("key")),
        ("id", of("id")),
        ("name", of("name")),
        ("customer", of("customer")),
        ("site", of("site")),
        ("status", of("status")),
        ("expires", of("expires_at")),
        ("replaces", field(&key["replaces"], "id")),
        ("which counts until", field(&key["replaces"], "expires_at")),
        ("revoked", of("revoked_at")),
    ])
}

fn many(keys: &Value) -> String {
    let row = |key: &Value| {
        ["id", "name", "customer", "site", "hint", "status", "expires_at", "last_used"]
            .map(|name| field(key, name))
            .to_vec()
    };
    let rows: Vec<_> = keys.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "NAME", "CUSTOMER", "SITE", "KEY", "STATUS", "EXPIRES", "LAST USED"], &rows)
}
