//! `user`: who may call the local API. Through the agent if it runs, else straight into its folder.

use super::client::Client;
use super::output::Output;
use super::{Failure, text};
use crate::enforcement;
use crate::folder::{self, Folder, Lock};
use crate::http::{AddUserRequest, PasswordRequest, RemoveUserRequest, UserLine, list_users};
use crate::identity::Identity;
use crate::users::{AddError, ChangeError, Role, Users, check_password};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const PATH: &str = "/agent/v1/users";

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Add a user.
    Add {
        /// The user's name.
        name: String,
        /// What the user may do.
        #[arg(long)]
        role: RoleName,
        /// A file with the password, at least 8 characters; a line break at its end does not count.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// List who may log in: the site's users, and the vendor's own people, who come from the hub.
    List,
    /// Remove a user, who loses access at once.
    Remove {
        /// The user's name.
        name: String,
    },
    /// Give a user another password; the old one is worth nothing at once.
    Passwd {
        /// The user's name.
        name: String,
        /// A file with the new password, at least 8 characters; a line break at its end does not count.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    /// May do everything on this agent.
    Admin,
    /// May activate licences and see everything.
    Operator,
    /// An application: may verify, reserve monitors, report events, and ask what ends soon.
    App,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Admin => Self::Admin,
            RoleName::Operator => Self::Operator,
            RoleName::App => Self::App,
        }
    }
}

impl From<AddError> for Failure {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Name | AddError::Password(_) => Self::misuse(error),
            AddError::Exists(_) | AddError::Hash(_) | AddError::File(_) => Self::failed(error),
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Password(_) => Self::misuse(error),
            ChangeError::Unknown(_) | ChangeError::Hash(_) | ChangeError::File(_) => Self::failed(error),
        }
    }
}

pub(super) async fn run(folder: &Folder, command: UserCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, role, password_file } => {
            let (role, password) = (Role::from(role), password(&password_file)?);
            match open(folder)? {
                Place::Ours(users, _lock) => users.add(&name, role, &password)?,
                Place::Running(client) => {
                    let request = AddUserRequest { name: name.clone(), role, password: password.to_string() };
                    let _: Value = client.post(PATH, &request).await?;
                }
            }
            output.value(&json!({"name": name, "role": role}), |_| format!("User {name} added."))
        }
        UserCommand::List => {
            let users: Vec<UserLine> = match open(folder)? {
                Place::Ours(users, _lock) => {
                    let trusted = Identity::load(folder).map_err(Failure::failed)?.names.signing_keys;
                    let snapshot = enforcement::stored_snapshot(folder, &trusted).map_err(Failure::failed)?;
                    list_users(&users, &snapshot)
                }
                Place::Running(client) => client.get(PATH, &[]).await?,
            };
            output.value(&json!(users), lines)
        }
        UserCommand::Remove { name } => {
            match open(folder)? {
                Place::Ours(users, _lock) => users.remove(&name)?,
                Place::Running(client) => {
                    let _: Value = client.delete(PATH, &RemoveUserRequest { name: name.clone() }).await?;
                }
            }
            output.value(&json!({"name": name, "removed": true}), |_| format!("User {name} removed."))
        }
        UserCommand::Passwd { name, password_file } => {
            let password = password(&password_file)?;
            match open(folder)? {
                Place::Ours(users, _lock) => users.set_password(&name, &password)?,
                Place::Running(client) => {
                    let request = PasswordRequest { name: name.clone(), password: password.to_string() };
                    let _: Value = client.put(PATH, &request).await?;
                }
            }
            output.value(&json!({"name": name, "changed": true}), |_| format!("User {name} has another password."))
        }
    }
}

/// Where the users are to be changed.
enum Place {
    /// In the folder, which nobody else has as long as the lock lives.
    Ours(Users, Lock),
    /// In the agent that has the folder.
    Running(Client),
}

fn open(folder: &Folder) -> Result<Place, Failure> {
    folder.check_enrolled()?;
    match folder.lock() {
        Ok(lock) => {
            folder.make("state")?;
            let users = Users::load(folder.state("users.json"), Zeroizing::new([0; 32])).map_err(Failure::failed)?;
            Ok(Place::Ours(users, lock))
        }
        Err(folder::Error::InUse(_)) => Ok(Place::Running(Client::new(folder)?)),
        Err(error) => Err(error.into()),
    }
}

fn password(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let read = std::fs::read_to_string(file).map(Zeroizing::new);
    let read = read.map_err(|error| Failure::misuse(format!("{}: {error}", file.display())))?;
    let password = Zeroizing::new(read.trim_end_matches(['\r', '\n']).to_owned());
    check_password(&password).map_err(Failure::misuse)?;
    Ok(password)
}

fn lines(users: &Value) -> String {
    let users = users.as_array().map(Vec::as_slice).unwrap_or_default();
    if users.is_empty() {
        return "No users yet; add one with: sitewarden-agent user add NAME --role app --password-file FILE".to_owned();
    }
    let lines: Vec<_> = users.iter().map(|user| format!("{:8}  {}", text(user, "role"), text(user, "name"))).collect();
    lines.join("\n")
}
