//! `apikey`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
    users::Role,
};
use clap::{Args, Subcommand, ValueEnum};
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
        /// For this purpose only.
        #[arg(long)]
        purpose: Option<Purpose>,
    },
    /// Show one key, without the key itself.
    Show {
        /// Its number.
        id: i64,
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

/// What a key is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Purpose {
    /// To send telemetry; to read nothing.
    Telemetry,
    /// To use the API.
    Api,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Api => "api",
        }
    }
}

/// A key to be made.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// What it is for: to send telemetry, or to use the API.
    #[arg(long, default_value = "telemetry")]
    purpose: Purpose,
    /// What may be done with a key for the API: everything, look and activate, or look [default: viewer].
    #[arg(long)]
    role: Option<Role>,
    /// Whose programs get it, and what it is limited to. A key for the API without one, and without a site, is the vendor's own, for
    /// the whole hub.
    #[arg(long, value_name = "ID")]
    customer: Option<i64>,
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
            let AddArgs { purpose, role, customer, site, name, expires } = args;
            let body = json!({
                "purpose": purpose.name(), "role": role.map(Role::name), "customer": customer, "site": site, "name": name,
                "expires": expires,
            });
            output.print(&client.post("api-keys", &body).await?, one)?;
        }
        ApiKeyCommand::List { customer, purpose } => {
            let purpose = purpose.map(|purpose| purpose.name().to_owned());
            let parameters = [("customer", customer.map(|id| id.to_string())), ("purpose", purpose)];
            output.print(&client.all("api-keys", &parameters).await?, many)?;
        }
        ApiKeyCommand::Show { id } => output.print(&client.get(&format!("api-keys/{id}"), &[]).await?, one)?,
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
        ("for", of("purpose")),
        ("role", of("role")),
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
        ["id", "name", "purpose", "role", "customer", "site", "hint", "status", "expires_at", "last_used"]
            .map(|name| field(key, name))
            .to_vec()
    };
    let rows: Vec<_> = keys.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "NAME", "FOR", "ROLE", "CUSTOMER", "SITE", "KEY", "STATUS", "EXPIRES", "LAST USED"], &rows)
}
