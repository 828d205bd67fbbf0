//! `license`.

mod edit;
mod explain;
mod terms;

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sitewarden_protocol::id::SiteId;
use terms::{Terms, given};

/// What can be done with licences.
#[derive(Debug, Subcommand)]
pub(super) enum LicenseCommand {
    /// Issue a licence; prints its key.
    Issue(IssueArgs),
    /// List licences.
    List {
        /// Of this site only.
        #[arg(long, value_name = "ID")]
        site: Option<SiteId>,
        /// Of this customer only.
        #[arg(long, value_name = "ID")]
        customer: Option<i64>,
        /// Only those that are active, inactive, expired or revoked.
        #[arg(long)]
        status: Option<String>,
    },
    /// Show one licence, its key included.
    Show {
        /// Its number or its UUID.
        id: String,
    },
    /// Change a licence: rename, extend, renew, resize; connected plants follow at once.
    Edit(edit::EditArgs),
    /// Withdraw a licence for good: it becomes Invalid.
    Revoke {
        /// Its number or its UUID.
        id: String,
    },
    /// Say what an app may do at a site, why, and what will change on which date.
    Explain(explain::ExplainArgs),
    /// Show who changed a licence, when, and what; newest first.
    History {
        /// Its number or its UUID.
        id: String,
    },
}

/// A licence to be issued.
#[derive(Debug, Args)]
pub(super) struct IssueArgs {
    /// The site that it is for.
    #[arg(long, value_name = "ID", required_unless_present = "customer")]
    site: Option<SiteId>,
    /// The customer that it is for, without a site: for apps that call this hub themselves.
    #[arg(long, value_name = "ID", conflicts_with = "site")]
    customer: Option<i64>,
    /// The app that it is for, such as EMS.
    #[arg(long)]
    app: String,
    /// Its name, unique at the site.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    terms: Terms,
    /// What it is, in your own words.
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
}

pub(super) async fn run(client: &Client, command: LicenseCommand, output: Output) -> Result<(), Failure> {
    match command {
        LicenseCommand::Issue(args) => {
            output.print(&in_our_words(client.post("licenses", &request(&args)).await?), one)?;
        }
        LicenseCommand::List { site, customer, status } => {
            let (site, customer) = (site.map(|id| id.to_string()), customer.map(|id| id.to_string()));
            let asked = [("site", site), ("customer_id", customer), ("status", status)];
            let all = client.all_numbered("licenses", &asked).await?;
            let all = all.as_array().into_iter().flatten().cloned().map(in_our_words).map(without_key).collect();
            output.print(&Value::Array(all), many)?;
        }
        LicenseCommand::Show { id } => {
            output.print(&in_our_words(client.get(&path(&id, "")?, &[]).await?), one)?;
        }
        LicenseCommand::Edit(args) => {
            output.print(&in_our_words(client.put(&path(&args.id, "")?, &edit::request(&args)).await?), one)?;
        }
        LicenseCommand::Revoke { id } => {
            output.print(&in_our_words(client.delete(&path(&id, "")?).await?), one)?;
        }
        LicenseCommand::Explain(args) => {
            output.print(&client.get("licenses/explain", &args.query()).await?, explain::told)?;
        }
        LicenseCommand::History { id } => {
            output.print(&client.get(&path(&id, "/history")?, &[]).await?, edit::history)?;
        }
    }
    Ok(())
}

/// A path's part must not lead elsewhere; neither a number nor a UUID has any other character.
fn path(id: &str, end: &str) -> Result<String, Failure> {
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(Failure::new(super::failure::MISUSE, "a license is named by its number or its UUID"));
    }
    Ok(format!("licenses/{id}{end}"))
}

fn request(args: &IssueArgs) -> Value {
    let named = json!({ "site": args.site, "customer_id": args.customer, "app": args.app, "name": args.name, "description": args.description });
    let mut fields = given(named);
    fields.extend(args.terms.fields());
    Value::Object(fields)
}

/// The names that the command line has had for these from its first day; the API's are those of its document. (Its `users`
/// and `activations` are limits here; the machines of a licence are in `machines`.)
const WORDS: [(&str, &str); 9] = [
    ("activations", "machines"),
    ("license_key", "key"),
    ("state", "status"),
    ("type", "kind"),
    ("customer_id", "customer"),
    ("max_monitors", "quota"),
    ("max_users", "users"),
    ("max_activations", "activations"),
    ("customer", "owner"),
];

fn in_our_words(mut license: Value) -> Value {
    if let Value::Object(fields) = &mut license {
        let renamed: Vec<_> =
            WORDS.iter().filter_map(|(name, ours)| Some(((*ours).to_owned(), fields.remove(*name)?))).collect();
        fields.extend(renamed);
    }
    license
}

/// A list is not where keys are looked up.
fn without_key(mut license: Value) -> Value {
    if let Value::Object(fields) = &mut license {
        fields.remove("key");
    }
    license
}

fn one(license: &Value) -> String {
    let shown = |name| field(license, name);
    let quota = Some(shown("quota")).filter(|quota| !quota.is_empty()).unwrap_or_else(|| "without limit".to_owned());
    pairs(&[
        ("key", shown("key")),
        ("license", shown("id")),
        ("uuid", shown("uuid")),
        ("name", shown("name")),
        ("app", shown("app")),
        ("customer", shown("customer")),
        ("site", shown("site")),
        ("kind", shown("kind")),
        ("status", shown("status")),
        ("quota", quota),
        ("users", shown("users")),
        ("validity", shown("validity")),
        ("from", shown("from")),
        ("until", shown("until")),
        ("activations", shown("activations")),
        ("features", shown("features")),
        ("at its end", rule(&license["policy"]["expiry"])),
        ("when stale", rule(&license["policy"]["staleness"])),
        ("over quota", rule(&license["policy"]["overage"])),
        ("told at", shares(&license["thresholds"])),
        ("overage", format!("{} %", license["policy"]["overage_percent"])),
        ("description", shown("description")),
        ("activated", shown("activated_at")),
        ("expires", shown("expires_at")),
        ("revision", shown("revision")),
        ("issued", shown("created_at")),
    ])
}

fn rule(rule: &Value) -> String {
    let then = field(rule, "then").replace('_', " ");
    match rule["grace_days"].as_u64().unwrap_or_default() {
        0 => format!("{then} at once"),
        1 => format!("warn for 1 day, then {then}"),
        days => format!("warn for {days} days, then {then}"),
    }
}

/// Shares of the limits at which the vendor is told.
fn shares(thresholds: &Value) -> String {
    thresholds.as_array().into_iter().flatten().map(|share| format!("{share} %")).collect::<Vec<_>>().join(", ")
}

fn many(licenses: &Value) -> String {
    let columns = ["id", "name", "app", "status", "quota", "validity", "expires_at", "site"];
    let row = |license| columns.map(|name| field(license, name)).to_vec();
    let rows: Vec<_> = licenses.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "NAME", "APP", "STATUS", "QUOTA", "VALIDITY", "EXPIRES", "SITE"], &rows)
}
