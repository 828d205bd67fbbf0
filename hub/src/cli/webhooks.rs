//! `webhook`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, shown, table},
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

/// What can be done with webhooks.
#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// Have another system told of events, signed as Standard Webhooks says. The secret is shown this once.
    Add(AddArgs),
    /// List all webhooks, and how they do; addresses of sites' agents among them.
    List {
        /// Those that hear of this customer only.
        #[arg(long, value_name = "ID")]
        customer: Option<i64>,
    },
    /// Show one webhook.
    Show {
        /// Its number.
        id: i64,
    },
    /// Change a webhook.
    Edit(EditArgs),
    /// Remove a webhook, with what waits for it.
    Remove {
        /// Its number.
        id: i64,
    },
    /// Make a new secret. It is shown this once.
    Rotate {
        /// Its number.
        id: i64,
        /// Hours during which what is sent is signed with both; for a site's agent the new one counts at once.
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        overlap: u32,
    },
    /// Send a test.
    Test {
        /// Its number.
        id: i64,
    },
    /// List what was sent to a webhook, or waits; the newest first.
    Deliveries {
        /// Its number.
        id: i64,
        /// Only what is waiting, delivered or failed.
        #[arg(long)]
        status: Option<String>,
    },
    /// Send a delivery again, under its own id, so that the receiver can tell that it is the same.
    Resend {
        /// Its id, such as msg_….
        delivery: String,
    },
}

/// A webhook to be made.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Where to: an https address.
    url: String,
    /// What to tell of, such as license.activated; may be given several times; everything if not.
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// Of this customer only.
    #[arg(long, value_name = "ID")]
    customer: Option<i64>,
    /// In your words.
    #[arg(long)]
    description: Option<String>,
}

/// What is to be changed; what is not given stays as it is.
#[derive(Debug, Args)]
pub(super) struct EditArgs {
    /// Its number.
    id: i64,
    /// Where to.
    #[arg(long)]
    url: Option<String>,
    /// What to tell of, in place of what it was; may be given several times.
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// In your words.
    #[arg(long)]
    description: Option<String>,
    /// Call it again.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Do not call it; what waits, waits on.
    #[arg(long)]
    disable: bool,
}

pub(super) async fn run(client: &Client, command: WebhookCommand, output: Output) -> Result<(), Failure> {
    match command {
        WebhookCommand::Add(AddArgs { url, events, customer, description }) => {
            let events = Some(events).filter(|events| !events.is_empty());
            let description = description.unwrap_or_default();
            let body = json!({ "url": url, "events": events, "customer": customer, "description": description });
            output.print(&client.post("webhooks", &body).await?, one)?;
        }
        WebhookCommand::List { customer } => {
            let parameters = [("customer", customer.map(|id| id.to_string()))];
            output.print(&client.all("webhooks", &parameters).await?, many)?;
        }
        WebhookCommand::Show { id } => output.print(&client.get(&format!("webhooks/{id}"), &[]).await?, one)?,
        WebhookCommand::Edit(args) => {
            let path = format!("webhooks/{}", args.id);
            output.print(&client.patch(&path, &changes(args)).await?, one)?;
        }
        WebhookCommand::Remove { id } => output.print(&client.delete(&format!("webhooks/{id}")).await?, one)?,
        WebhookCommand::Rotate { id, overlap } => {
            let made = client.post(&format!("webhooks/{id}/rotate"), &json!({ "overlap": overlap })).await?;
            output.print(&made, one)?;
        }
        WebhookCommand::Test { id } => {
            output.print(&client.post(&format!("webhooks/{id}/test"), &json!({})).await?, delivery)?;
        }
        WebhookCommand::Deliveries { id, status } => {
            let all = client.all(&format!("webhooks/{id}/deliveries"), &[("status", status)]).await?;
            output.print(&all, deliveries)?;
        }
        WebhookCommand::Resend { delivery: id } => {
            let path = format!("webhook-deliveries/{id}/resend");
            output.print(&client.post(&path, &json!({})).await?, delivery)?;
        }
    }
    Ok(())
}

fn changes(args: EditArgs) -> Value {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<Value>| fields.extend(value.map(|value| (name.to_owned(), value)));
    set("url", args.url.map(Value::from));
    set("events", Some(args.events).filter(|events| !events.is_empty()).map(Value::from));
    set("description", args.description.map(Value::from));
    set("enabled", (args.enable || args.disable).then_some(Value::Bool(args.enable)));
    Value::Object(fields)
}

/// A webhook.
pub(super) fn one(webhook: &Value) -> String {
    let of = |name| field(webhook, name);
    pairs(&[
        ("secret", of("secret")),
        ("id", of("id")),
        ("agent of site", of("site")),
        ("customer", or(of("customer"), "all")),
        ("url", of("url")),
        ("description", of("description")),
        ("events", of("events")),
        ("enabled", of("enabled")),
        ("health", of("health")),
        ("waiting", of("waiting")),
        ("dropped", of("dropped")),
        ("failing since", of("failing_since")),
        ("last error", of("last_error")),
        ("last success", of("last_success")),
        ("secret before counts until", of("previous_secret_until")),
        ("added", of("created_at")),
    ])
}

fn many(webhooks: &Value) -> String {
    let row = |webhook: &Value| {
        let of = |name| field(webhook, name);
        let events = webhook["events"].as_array().map_or(0, Vec::len);
        let what = if webhook["site"].is_null() { format!("{events} events") } else { "a site's agent".to_owned() };
        let health = if webhook["enabled"] == json!(false) { "off".to_owned() } else { of("health") };
        vec![of("id"), or(of("customer"), "all"), what, health, of("waiting"), of("failing_since"), of("url")]
    };
    let rows: Vec<_> = webhooks.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "CUSTOMER", "TELLS", "HEALTH", "WAITING", "FAILING SINCE", "URL"], &rows)
}

fn delivery(delivery: &Value) -> String {
    let of = |name| field(delivery, name);
    pairs(&[("delivery", of("id")), ("event", of("event")), ("status", of("status")), ("webhook", of("webhook"))])
}

fn deliveries(deliveries: &Value) -> String {
    let row = |delivery: &Value| {
        let of = |name| field(delivery, name);
        let answer = or(shown(&delivery["last_error"]), &of("last_status"));
        vec![of("id"), of("event"), of("status"), of("attempts"), of("created_at"), of("next_attempt"), answer]
    };
    let rows: Vec<_> = deliveries.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "EVENT", "STATUS", "ATTEMPTS", "WRITTEN", "NEXT", "LAST ANSWER"], &rows)
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}
