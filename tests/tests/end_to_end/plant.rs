//! A plant without a line: its agent opens no socket but its local API, and everything is carried.

use serde_json::{Value, json};
use sitewarden_tests::harness::{Agent, Hub, PASSWORD, USER, scratch};
use std::collections::BTreeMap;
use std::ops::Range;
use tempfile::TempDir;

/// Events in one request.
const AT_ONCE: usize = 500;

pub(crate) struct Plant {
    pub(crate) agent: Agent,
    pub(crate) hub: Hub,
    pub(crate) site: String,
    /// The licence's number.
    pub(crate) license: String,
    pub(crate) key: String,
    pub(crate) token: String,
    pub(crate) agent_id: String,
    folder: TempDir,
}

impl Plant {
    /// A hub that has invited an agent.
    pub(crate) fn invited(quota: u32) -> Self {
        let folder = scratch().unwrap();
        let mut hub = Hub::init(&folder.path().join("hub")).unwrap();
        hub.start().unwrap();
        let customer = hub.add(&["customer", "add", "Acme"]).unwrap();
        let plant = hub.add(&["plant", "add", "North", "--customer", &customer]).unwrap();
        let site = hub.add(&["site", "add", "Line 1", "--plant", &plant]).unwrap();
        let quota = quota.to_string();
        let words = ["license", "issue", "--site", &site, "--app", "EMS", "--quota", &quota, "--validity", "1y"];
        let license = hub.command(&[&words[..], &["--name", "L1"]].concat()).unwrap().json().unwrap();
        let token = hub.invite(&site).unwrap();
        let agent = Agent::new(&folder.path().join("agent")).with("SITEWARDEN_AGENT_SYNC__CARRIER", "none");
        let key = license["key"].as_str().unwrap().to_owned();
        let license = license["id"].to_string();
        Self { agent, hub, site, license, key, token, agent_id: String::new(), folder }
    }

    /// An agent that has enrolled by two files, and does not run yet.
    pub(crate) fn enrolled(quota: u32) -> Self {
        let mut plant = Self::invited(quota);
        let (request, answer) = (plant.file("request"), plant.file("answer"));
        plant.request(&request);
        plant.hub.command(&["bundle", "import", &request, "--reply", &answer]).unwrap();
        let enrolled = plant.agent.command(&["bundle", "import", &answer, "--json"]).unwrap().json().unwrap();
        plant.agent_id = enrolled["agent_id"].as_str().unwrap().to_owned();
        plant
    }

    /// The same, running, with a user for apps.
    pub(crate) fn started(quota: u32) -> Self {
        let mut plant = Self::enrolled(quota);
        plant.agent.start().unwrap();
        plant.login();
        plant
    }

    pub(crate) fn login(&self) {
        self.agent.add_user(USER, "app", PASSWORD).unwrap();
    }

    /// The path of a file of this name.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(format!("{name}.swb")).display().to_string()
    }

    pub(crate) fn request(&self, file: &str) {
        self.agent.command(&["enroll", "--token", &self.token, "--offline-request", file]).unwrap();
    }

    /// Events with these ids.
    pub(crate) fn report(&self, ids: Range<u32>) {
        let events: Vec<_> =
            ids.map(|id| json!({"app": "EMS", "kind": "run", "attributes": {"id": id.to_string()}})).collect();
        self.post(&events);
    }

    /// So many events that do not become smaller, of three kilobytes each.
    pub(crate) fn fill(&self, count: usize) {
        let mut state = 1_u64;
        let mut noise = move || {
            let word = |_| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                format!("{:016x}", (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb))
            };
            (0..30).map(word).collect::<String>()
        };
        let mut event = |id: usize| {
            let mut attributes: BTreeMap<_, _> = (0..6).map(|part| (format!("n{part}"), noise())).collect();
            attributes.insert("id".to_owned(), id.to_string());
            json!({"app": "EMS", "kind": "run", "attributes": attributes})
        };
        let events: Vec<_> = (0..count).map(&mut event).collect();
        events.chunks(AT_ONCE).for_each(|events| self.post(events));
    }

    fn post(&self, events: &[Value]) {
        let mut app = self.agent.client().unwrap().basic(USER, PASSWORD);
        let answer = app.post("/api/v1/telemetry/events", json!(events).to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    /// Carries a report to the hub and its reply back; what the agent said of it.
    pub(crate) fn carry(&self, name: &str) -> Vec<Value> {
        self.carry_with(name, &[])
    }

    pub(crate) fn carry_with(&self, name: &str, words: &[&str]) -> Vec<Value> {
        let (there, back) = (self.file(name), self.file(&format!("{name}-reply")));
        self.agent.command(&[&["bundle", "export", &there], words].concat()).unwrap();
        self.hub.command(&["bundle", "import", &there, "--reply", &back]).unwrap();
        self.agent.command(&["bundle", "import", &back, "--json"]).unwrap().list().unwrap()
    }

    /// Carries what the hub has to say, unasked.
    pub(crate) fn told(&self, name: &str) -> Vec<Value> {
        let file = self.file(name);
        self.hub.command(&["bundle", "export", "--site", &self.site, &file]).unwrap();
        self.agent.command(&["bundle", "import", &file, "--json"]).unwrap().list().unwrap()
    }

    /// The `id` of every event at the hub, in their order; each as often as it is there.
    pub(crate) fn ids_at_hub(&self) -> Vec<String> {
        let id = |event: &Value| {
            let attributes = [&event["attributes"], &event["body"]["attributes"]];
            attributes.iter().find_map(|attributes| attributes["id"].as_str().map(str::to_owned)).unwrap()
        };
        let mut ids: Vec<_> = self.hub.events(&self.agent_id).unwrap().iter().map(id).collect();
        ids.sort_by_key(|id| id.parse::<u32>().unwrap());
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all, "an event is there twice");
        ids
    }

    pub(crate) fn other_hub(&self) -> Hub {
        let mut hub = Hub::init(&self.folder.path().join("other-hub")).unwrap();
        hub.start().unwrap();
        hub
    }

    pub(crate) fn other_machine(&self) -> Agent {
        Agent::new(&self.folder.path().join("other-agent")).with("SITEWARDEN_AGENT_SYNC__CARRIER", "none")
    }
}
