//! `make demo`: the whole line on this machine, step by step, each step checked.
//!
//! Everything lives under `target/demo/` and may be thrown away. With `--once` it ends after the last step; otherwise
//! it stays up until Ctrl-C. Both processes are ended with it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sitewarden_tests::harness::{ADMIN_PASSWORD, Agent, Hub, PASSWORD, USER, until, workspace};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs};

const QUOTA: usize = 3;
const EVENTS: usize = 250;
/// How long the line may take for any one thing here.
const LIMIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n  ✗ {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let once = words.iter().any(|word| word == "--once");
    if let Some(strange) = words.iter().find(|word| *word != "--once") {
        bail!("{strange:?} is not known here; --once ends after the last step");
    }
    println!("\nSitewarden: from an app in a plant to the vendor's hub and back\n");
    let mut demo = Demo::new()?;
    demo.vendor()?;
    demo.plant()?;
    demo.license()?;
    demo.monitors()?;
    demo.records()?;
    demo.offline()?;
    println!("\n  Every step was checked.\n");
    if !once {
        demo.stay()?;
    }
    demo.end()
}

struct Demo {
    agent: Agent,
    hub: Hub,
    step: u32,
    site: String,
    key: String,
    agent_id: String,
}

impl Demo {
    fn new() -> Result<Self> {
        let folder = workspace().join("target/demo");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        println!("  data in {}\n", folder.display());
        let hub = Hub::init(&folder.join("hub"))?;
        let agent = Agent::new(&folder.join("agent")).with("SITEWARDEN_AGENT_HOST__INTERVAL_SECONDS", "5");
        let (site, key, agent_id) = Default::default();
        Ok(Self { agent, hub, step: 0, site, key, agent_id })
    }

    fn done(&mut self, what: &str) {
        self.step += 1;
        println!("  ✓ {:>2}  {what}", self.step);
    }

    fn vendor(&mut self) -> Result<()> {
        self.hub.start()?;
        self.done(&format!("hub started: https://{}, sync over QUIC on {}", self.hub.https()?, self.hub.sync()?));
        let customer = self.hub.add(&["customer", "add", "Acme Water"])?;
        let plant = self.hub.add(&["plant", "add", "North Works", "--customer", &customer])?;
        self.site = self.hub.add(&["site", "add", "Pump Hall", "--plant", &plant])?;
        self.done("customer Acme Water, plant North Works, site Pump Hall");
        let quota = QUOTA.to_string();
        let terms = ["--app", "EMS", "--quota", &quota, "--validity", "1y", "--name", "L1"];
        let license = self.hub.command(&[&["license", "issue", "--site", &self.site][..], &terms].concat())?.json()?;
        self.key = license["key"].as_str().context("the licence has no key")?.to_owned();
        self.done(&format!("licence L1 issued: EMS, {QUOTA} monitors, one year from its activation"));
        Ok(())
    }

    fn plant(&mut self) -> Result<()> {
        let token = self.hub.invite(&self.site)?;
        self.agent.enroll(&token)?.succeeded()?;
        self.done("agent invited and enrolled: its two keys were made here and stay here");
        self.agent.start()?;
        self.agent.add_user(USER, "app", PASSWORD)?;
        let status = self.agent.status()?;
        self.agent_id = status["agent_id"].as_str().context("the agent has no id")?.to_owned();
        self.done(&format!("agent started: http://{}", self.agent.http()?));
        until(LIMIT, "a session with the hub", || {
            Ok((self.agent.status()?["sync"]["connected"] == true).then_some(()))
        })?;
        self.done("agent and hub are connected: QUIC, certificates on both sides");
        Ok(())
    }

    fn license(&mut self) -> Result<()> {
        let verify = "/_config/licenses/_verify?app=EMS";
        let mut app = self.agent.client()?.basic(USER, PASSWORD);
        let before = app.get(verify)?;
        ensure!(before.status != 200, "EMS was authorised before its licence was activated");
        self.agent.command(&["activate", &self.key])?;
        let after = app.get(verify)?;
        ensure!(after.json() == "Authorised", "EMS is not authorised: {}", after.text());
        self.done("licence activated with its key; EMS is answered \"Authorised\"");
        Ok(())
    }

    fn monitors(&mut self) -> Result<()> {
        let mut app = self.agent.client()?.basic(USER, PASSWORD);
        for number in 1..=QUOTA {
            let answer = app.put(&format!("/_config/monitors/pump-{number}?app=EMS"))?;
            ensure!(answer.status == 200, "pump-{number} was refused: {}", answer.text());
        }
        self.done(&format!("monitors pump-1 to pump-{QUOTA} reserved"));
        let refused = app.put(&format!("/_config/monitors/pump-{}?app=EMS", QUOTA + 1))?;
        ensure!(refused.status == 409, "one monitor too many was answered {}", refused.status);
        let reason = refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        self.done(&format!("one more is refused with 409: {reason}"));
        Ok(())
    }

    fn records(&mut self) -> Result<()> {
        let mut app = self.agent.client()?.basic(USER, PASSWORD);
        for number in 0..EVENTS {
            let event = format!(
                r#"{{"app": "EMS", "kind": "reading", "outcome": "success", "attributes": {{"number": {number}}}}}"#
            );
            let answer = app.post("/api/v1/telemetry/events", event.as_bytes())?;
            ensure!(answer.status == 202, "an event was answered {}: {}", answer.status, answer.text());
        }
        self.done(&format!("{EVENTS} app events taken, each on disk before its 202"));
        self.drained()?;
        self.at_hub("event", EVENTS)?;
        self.at_hub("monitor_reserved", QUOTA)?;
        self.at_hub("denial", 1)?;
        let license = self.hub.command(&["license", "show", "1"])?.json()?;
        ensure!(license["status"] == "Active", "the licence is {} at the hub", license["status"]);
        self.done(&format!("read back at the hub: {EVENTS} events, {QUOTA} reservations, 1 denial, and L1 is Active"));
        let host = until(LIMIT, "this machine's figures at the hub", || Ok(self.read("host")?.pop()))?;
        self.done(&format!("and this machine's own figures, such as {}", brief(&host)));
        Ok(())
    }

    fn offline(&mut self) -> Result<()> {
        self.hub.stop()?;
        let mut app = self.agent.client()?.basic(USER, PASSWORD);
        let answer = app.get("/_config/licenses/_verify?app=EMS")?;
        ensure!(answer.json() == "Authorised", "without the hub EMS is answered {}", answer.text());
        let event = br#"{"app": "EMS", "kind": "reading", "outcome": "success"}"#;
        ensure!(app.post("/api/v1/telemetry/events", event)?.status == 202, "an event was not taken without the hub");
        self.done("hub stopped: EMS is still authorised, and an event is still taken");
        self.hub.start()?;
        self.drained()?;
        self.at_hub("event", EVENTS + 1)?;
        self.done("hub started again: the event arrived, nothing came twice");
        Ok(())
    }

    fn drained(&self) -> Result<()> {
        until(LIMIT, "the queue to drain", || Ok((self.agent.backlog()? == 0).then_some(())))
    }

    fn read(&self, kind: &str) -> Result<Vec<Value>> {
        self.hub.command(&["record", "list", "--agent", &self.agent_id, "--kind", kind, "--all"])?.list()
    }

    fn at_hub(&self, kind: &str, expected: usize) -> Result<()> {
        let found = self.read(kind)?.len();
        ensure!(found == expected, "the hub has {found} {kind} records, not {expected}");
        Ok(())
    }

    fn stay(&self) -> Result<()> {
        println!("  agent   http://{}   user {USER}, password {PASSWORD:?}", self.agent.http()?);
        println!("  hub     https://{}  user admin, password {ADMIN_PASSWORD:?}", self.hub.https()?);
        println!(
            "\n  Try:  curl -u '{USER}:{PASSWORD}' 'http://{}/_config/licenses/_verify?app=EMS'",
            self.agent.http()?
        );
        println!("\n  Ctrl-C ends both.");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(tokio::signal::ctrl_c())?;
        println!();
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        // Ctrl-C went to them too; a process that ended already is as good as one that was asked to.
        let _ = self.agent.stop();
        let _ = self.hub.stop();
        Ok(())
    }
}

fn brief(record: &Value) -> String {
    let text = record.to_string();
    if text.chars().count() > 160 { format!("{}…", text.chars().take(160).collect::<String>()) } else { text }
}
