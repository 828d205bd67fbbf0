//! The whole line: a hub with one customer, plant, site and licence, and an agent enrolled at it.

use super::agent::Agent;
use super::binaries::scratch;
use super::http::Client;
use super::hub::{Elsewhere, Hub, text};
use super::wait::until;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tempfile::TempDir;

/// The user of the local API whom apps log in as.
pub const USER: &str = "ems";
/// The password of [`USER`], on loopback and for the life of a test.
pub const PASSWORD: &str = "only for this test";

/// How long a queue may take to drain in a test.
const DRAIN_LIMIT: Duration = Duration::from_secs(180);

/// A hub and an agent that know each other, both running. Fields end in this order.
#[derive(Debug)]
pub struct Line {
    /// The plant's end.
    pub agent: Agent,
    /// The vendor's end.
    pub hub: Hub,
    /// The agent's id.
    pub agent_id: String,
    /// The site's id.
    pub site: String,
    /// The licence's key, not activated yet.
    pub key: String,
    _folder: TempDir,
}

impl Line {
    /// Sets everything up, with a licence of EMS for so many monitors.
    ///
    /// # Errors
    /// If any step fails.
    pub fn new(quota: u32) -> Result<Self> {
        Self::to(None, quota)
    }

    /// The same with a line in front of the hub's settings.
    ///
    /// # Errors
    /// If any step fails.
    pub fn with_setting(quota: u32, setting: &str) -> Result<Self> {
        Self::made(None, quota, setting)
    }

    /// The same with the hub in another network.
    ///
    /// # Errors
    /// If any step fails.
    pub fn to(elsewhere: Option<Elsewhere>, quota: u32) -> Result<Self> {
        Self::made(elsewhere, quota, "")
    }

    fn made(elsewhere: Option<Elsewhere>, quota: u32, setting: &str) -> Result<Self> {
        let folder = scratch()?;
        let mut hub = Hub::init_at(&folder.path().join("hub"), elsewhere)?;
        hub.set(setting)?;
        hub.start()?;
        let customer = hub.add(&["customer", "add", "Acme"])?;
        let plant = hub.add(&["plant", "add", "North", "--customer", &customer])?;
        let site = hub.add(&["site", "add", "Line 1", "--plant", &plant])?;
        let quota = quota.to_string();
        let license = ["license", "issue", "--site", &site, "--app", "EMS", "--quota", &quota];
        let license = hub.command(&[&license[..], &["--validity", "1y", "--name", "L1"]].concat())?.json()?;
        let mut agent = Agent::new(&folder.path().join("agent"));
        agent.enroll(&hub.invite(&site)?)?.succeeded()?;
        agent.start()?;
        agent.add_user(USER, "app", PASSWORD)?;
        let agent_id = text(&agent.status()?, "agent_id")?;
        Ok(Self { agent, hub, agent_id, site, key: text(&license, "key")?, _folder: folder })
    }

    /// A client of the agent's local API with the app's credentials.
    ///
    /// # Errors
    /// If the agent was never started.
    pub fn app(&self) -> Result<Client> {
        Ok(self.agent.client()?.basic(USER, PASSWORD))
    }

    /// Waits until the hub has confirmed everything.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn drained(&self) -> Result<()> {
        until(DRAIN_LIMIT, "the queue to drain", || Ok((self.agent.backlog()? == 0).then_some(())))
    }

    /// The `id` attribute of every event at the hub, and how often it is there.
    ///
    /// # Errors
    /// If the hub does not answer, or an event has none.
    pub fn ids_at_hub(&self) -> Result<BTreeMap<String, u32>> {
        let mut ids = BTreeMap::new();
        for event in self.hub.events(&self.agent_id)? {
            let id = find(&event, "id").with_context(|| format!("no id in {event}"))?;
            *ids.entry(id).or_default() += 1;
        }
        Ok(ids)
    }
}

/// The `id` among an event's attributes, however the hub nests them.
fn find(event: &Value, name: &str) -> Option<String> {
    let attributes = [&event["attributes"], &event["body"]["attributes"], &event["event"]["attributes"]];
    attributes.into_iter().find_map(|attributes| attributes[name].as_str().map(str::to_owned))
}
