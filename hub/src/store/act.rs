//! Who changes something, when, and from where: what goes into the audit log with every change. And which state of it he
//! saw, so that nobody overwrites what he does not know.

use super::error::Error;
use sitewarden_protocol::{id::AgentId, time::UnixMillis};
use std::net::IpAddr;

/// Who changes something, when, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// What kind of actor it is.
    pub actor: Actor,
    /// The name: a user's, an API key's with its number, an agent's id.
    pub by: String,
    /// The hub's time.
    pub at: UnixMillis,
    /// The client's address, where there is one.
    pub address: Option<IpAddr>,
    /// The revision that he saw of what he changes; `None` changes whatever there is.
    pub seen: Option<i64>,
}

/// Kinds of actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The owner of the data folder, by the command line.
    Local,
    /// A user who logged in.
    User,
    /// A program with an API key.
    ApiKey,
    /// An agent, by what it signed.
    Agent,
    /// The hub itself, such as when a licence expires.
    Hub,
}

impl Actor {
    /// All of them, with the names that are stored and shown.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Local, "local"),
        (Self::User, "user"),
        (Self::ApiKey, "api_key"),
        (Self::Agent, "agent"),
        (Self::Hub, "hub"),
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(actor, _)| *actor == self).map_or("hub", |(_, name)| name)
    }
}

impl Act {
    /// The owner of the data folder does it.
    pub fn local(at: UnixMillis) -> Self {
        Self { actor: Actor::Local, by: "local administrator".to_owned(), at, address: None, seen: None }
    }

    /// A user does it.
    pub fn user(name: impl Into<String>, at: UnixMillis) -> Self {
        Self { actor: Actor::User, by: name.into(), at, address: None, seen: None }
    }

    /// An agent says that it was done.
    pub fn agent(agent: AgentId, at: UnixMillis) -> Self {
        Self { actor: Actor::Agent, by: format!("agent {agent}"), at, address: None, seen: None }
    }

    /// The hub does it.
    pub fn hub(at: UnixMillis) -> Self {
        Self { actor: Actor::Hub, by: "hub".to_owned(), at, address: None, seen: None }
    }

    /// Refuses if what is to be changed is at another revision than the one that was seen. For the transaction of the
    /// change, before anything is written.
    pub(super) fn check_seen(&self, revision: i64) -> Result<(), Error> {
        match self.seen {
            Some(seen) if seen != revision => Err(Error::Changed { revision }),
            _ => Ok(()),
        }
    }
}
