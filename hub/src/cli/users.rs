//! `user`.

use super::{
    Client, Failure, Output,
    client::escaped,
    output::{field, pairs, table},
};
use crate::password;
use clap::{ArgAction, ArgGroup, Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use sitewarden_protocol::id::SiteId;
use std::path::{Path, PathBuf};

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user, who may log in at once.
    Add(AddArgs),
    /// List all users.
    List,
    /// Change a user; it counts from his next request on.
    Edit(EditArgs),
    /// Remove a user for good; his next request is refused.
    Remove {
        /// His name.
        name: String,
    },
}

/// What `user edit` needs one of at least.
const CHANGES: [&str; 5] = ["role", "password_file", "enable", "disable", "on_site"];

/// A user to be added.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// His name, unique, without a colon.
    name: String,
    /// What he may do: everything, look and activate, or look.
    #[arg(long)]
    role: Role,
    /// File with his password; a newline at its end does not count.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// He sees nothing of any other customer.
    #[arg(long, value_name = "ID", conflicts_with = "site")]
    customer: Option<i64>,
    /// He sees nothing of any other site.
    #[arg(long, value_name = "ID")]
    site: Option<SiteId>,
    /// The agents of the sites in his scope know him too, as `Admin user` and without asking the hub; of all sites, if
    /// he has neither customer nor site. Administrators only. The hash of his password then lies on the customer's
    /// machines, where somebody can try passwords against it for as long as he likes: use an account of its own, with a
    /// long password that is used nowhere else.
    #[arg(long)]
    on_site: bool,
}

/// What is to be changed of a user.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(CHANGES)))]
pub(super) struct EditArgs {
    /// His name.
    name: String,
    /// What he may do: everything, look and activate, or look.
    #[arg(long)]
    role: Option<Role>,
    /// File with his new password; a newline at its end does not count.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// He may log in again.
    #[arg(long)]
    enable: bool,
    /// He may not log in until he is enabled again.
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Whether the agents of the sites in his scope know him too. The hash of his password then lies on the customer's
    /// machines: use an account of its own, with a long password.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    on_site: Option<bool>,
}

/// What one may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Role {
    Admin,
    Operator,
    Viewer,
}

impl Role {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

pub(super) async fn run(client: &Client, command: UserCommand, output: Output) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => {
            let request = json!({
                "name": args.name, "role": args.role.name(), "password_hash": hash(&args.password_file)?,
                "customer": args.customer, "site": args.site, "on_site": args.on_site,
            });
            output.print(&client.post("users", &request).await?, one)?;
        }
        UserCommand::List => output.print(&client.all("users", &[]).await?, many)?,
        UserCommand::Edit(args) => {
            let enabled = (args.enable || args.disable).then_some(args.enable);
            let request = json!({
                "role": args.role.map(Role::name), "password_hash": args.password_file.as_deref().map(hash).transpose()?,
                "enabled": enabled, "on_site": args.on_site,
            });
            output.print(&client.patch(&path(&args.name), &request).await?, one)?;
        }
        UserCommand::Remove { name } => output.print(&client.delete(&path(&name)).await?, one)?,
    }
    Ok(())
}

fn hash(file: &Path) -> Result<String, Failure> {
    password::hash_file(file).map_err(|error| Failure::of(error.exit_code(), &error))
}

fn path(name: &str) -> String {
    format!("users/{}", escaped(name))
}

fn one(user: &Value) -> String {
    let shown = |name| field(user, name);
    pairs(&[
        ("user", shown("name")),
        ("role", shown("role")),
        ("customer", shown("customer")),
        ("site", shown("site")),
        ("enabled", shown("enabled")),
        ("on site", shown("on_site")),
        ("added", shown("created_at")),
    ])
}

fn many(users: &Value) -> String {
    let columns = ["name", "role", "enabled", "on_site", "customer", "site", "created_at"];
    let row = |user| columns.map(|name| field(user, name)).to_vec();
    let rows: Vec<_> = users.as_array().into_iter().flatten().map(row).collect();
    table(&["NAME", "ROLE", "ENABLED", "ON SITE", "CUSTOMER", "SITE", "ADDED"], &rows)
}
