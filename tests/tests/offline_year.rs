//! A year without the hub, in steps around each date that matters: at each, the agent's real answers are what the
//! licences' policies say, across restarts of the machine and with a wall clock that is moved back on the way.
//!
//! Hub and enrolment are real processes. Then both end, and the agent goes on in this process, where its machine's
//! clocks are made up and time passes only when the test says so.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where what it relies on is not so"
)]

use serde_json::{Value, json};
use sitewarden_agent::clock::{Moment, Source, wall};
use sitewarden_agent::config::Config;
use sitewarden_agent::folder::Folder;
use sitewarden_agent::server::{self, Running};
use sitewarden_protocol::time::UnixMillis;
use sitewarden_protocol::trusted_time::Reading;
use sitewarden_tests::harness::{Client, Line, PASSWORD, USER, call, until};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const RUNNING: &str = "running";
/// How long what is waited for may take in real time.
const LIMIT: Duration = Duration::from_secs(30);

/// One licence, and what its app may do from which day on; fresh_until is day 30.
struct Sold {
    app: &'static str,
    kind: &'static str,
    validity: Option<&'static str>,
    /// The day on which it ends.
    ends: Option<i64>,
    expiry: Value,
    staleness: Value,
    verdicts: &'static [(i64, &'static str)],
}

fn sold() -> [Sold; 6] {
    let rule = |days: u16, then: &str| json!({"grace_days": days, "then": then});
    let (block, usual, observe) = (rule(0, "block"), rule(30, "block_new"), rule(0, "observe"));
    [
        Sold {
            app: "PERP",
            kind: "perpetual",
            validity: None,
            ends: None,
            expiry: block.clone(),
            staleness: usual.clone(),
            verdicts: &[(0, "allowed"), (30, "warned"), (60, "no_new")],
        },
        Sold {
            app: "SUB",
            kind: "subscription",
            validity: Some("365d"),
            ends: Some(365),
            expiry: block.clone(),
            staleness: usual,
            verdicts: &[(0, "allowed"), (30, "warned"), (60, "no_new"), (365, "denied")],
        },
        Sold {
            app: "GRACE",
            kind: "subscription",
            validity: Some("200d"),
            ends: Some(200),
            expiry: rule(10, "block_new"),
            staleness: observe.clone(),
            verdicts: &[(0, "allowed"), (200, "warned"), (210, "no_new")],
        },
        Sold {
            app: "STALE",
            kind: "perpetual",
            validity: None,
            ends: None,
            expiry: block.clone(),
            staleness: rule(90, "block"),
            verdicts: &[(0, "allowed"), (30, "warned"), (120, "denied")],
        },
        Sold {
            app: "OBS",
            kind: "subscription",
            validity: Some("100d"),
            ends: Some(100),
            expiry: observe.clone(),
            staleness: observe.clone(),
            verdicts: &[(0, "allowed")],
        },
        Sold {
            app: "TRIAL",
            kind: "trial",
            validity: Some("30d"),
            ends: Some(30),
            expiry: block,
            staleness: observe,
            verdicts: &[(0, "allowed"), (30, "denied")],
        },
    ]
}

/// Days around which the answers are looked at, besides the start: an hour before and an hour after.
const DATES: [i64; 11] = [30, 60, 70, 100, 120, 170, 200, 210, 300, 335, 365];
/// Before these dates the machine is off for two days and starts again.
const RESTARTS: [i64; 4] = [60, 120, 210, 365];
/// From the first date to the second the wall clock is 200 days behind.
const MOVED_BACK: (i64, i64) = (170, 200);

/// The clocks of a machine that only the test moves.
#[derive(Clone)]
struct Machine(Arc<Mutex<Reading>>);

impl Source for Machine {
    fn uptime(&self) -> Duration {
        self.0.lock().unwrap().uptime
    }
    fn read(&self) -> Reading {
        *self.0.lock().unwrap()
    }
}

impl Machine {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Reading { wall: wall(), uptime: Duration::from_secs(60), boot: [1; 16] })))
    }

    fn pass(&self, millis: i64) {
        let mut reading = self.0.lock().unwrap();
        reading.wall.0 += millis;
        reading.uptime += Duration::from_millis(millis.unsigned_abs());
    }

    fn move_clock(&self, millis: i64) {
        self.0.lock().unwrap().wall.0 += millis;
    }

    fn boot(&self) {
        let mut reading = self.0.lock().unwrap();
        reading.uptime = Duration::from_secs(60);
        reading.boot[0] += 1;
    }
}

/// A plant that the hub will not be heard of again.
struct Plant {
    line: Line,
    runtime: Runtime,
    machine: Machine,
    agent: Option<Running>,
    /// When the year began.
    start: i64,
}

#[test]
fn a_year_without_the_hub_goes_as_the_policies_say() {
    let sold = sold();
    let mut plant = Plant::new(&sold);
    plant.restart();
    plant.check(&sold);
    for license in &sold {
        let path = format!("/_config/monitors/{RUNNING}?app={}", license.app);
        assert_eq!(plant.client().put(&path).unwrap().status, 200, "{}", license.app);
    }
    for date in DATES {
        if RESTARTS.contains(&date) {
            plant.reach(date * DAY - 3 * DAY);
            plant.stop();
            plant.machine.move_clock(2 * DAY); // Its battery keeps the clock going.
            plant.machine.boot();
            plant.restart();
        }
        plant.reach(date * DAY - HOUR);
        plant.check(&sold);
        plant.reach(date * DAY + HOUR);
        plant.check(&sold);
        if date == MOVED_BACK.0 {
            plant.machine.move_clock(-200 * DAY);
        } else if date == MOVED_BACK.1 {
            plant.machine.move_clock(200 * DAY);
        }
    }
    plant.stop();
}

impl Plant {
    /// With the licences activated, and the hub and the agent's own process ended.
    fn new(sold: &[Sold]) -> Self {
        let mut line = Line::new(1).unwrap();
        let socket = line.hub.folder().join("run/admin.sock");
        for license in sold {
            let policy = json!({"expiry": license.expiry, "staleness": license.staleness, "overage_percent": 0});
            let new = json!({"site": line.site, "app": license.app, "name": license.app, "kind": license.kind,
                "validity": license.validity, "quota": 2, "policy": policy});
            let issued = call(&socket, "POST", "/api/v1/admin/licenses", Some(&new)).unwrap();
            let key = issued["license_key"].as_str().unwrap().to_owned();
            until(LIMIT, "a licence to reach the plant", || {
                Ok(line.agent.try_command(&["activate", &key])?.succeeded().ok())
            })
            .unwrap();
        }
        line.drained().unwrap();
        line.hub.stop().unwrap();
        line.agent.stop().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (machine, start) = (Machine::new(), wall().0);
        Self { line, runtime, machine, agent: None, start }
    }

    fn restart(&mut self) {
        let folder = Folder::at(self.line.agent.folder());
        let config = Config { http: ([127, 0, 0, 1], 0).into(), ..Config::default() };
        let started = server::start(&folder, &config, Box::new(self.machine.clone()));
        self.agent = Some(self.runtime.block_on(started).unwrap());
    }

    fn stop(&mut self) {
        self.runtime.block_on(self.agent.take().unwrap().stop());
    }

    fn client(&self) -> Client {
        Client::new(self.agent.as_ref().unwrap().http).basic(USER, PASSWORD)
    }

    /// Milliseconds since the year began, by the operator's own view of time.
    fn now(&self) -> i64 {
        // It is told in whole seconds.
        (moment(&self.explain("PERP")["at"]) - self.start).max(0)
    }

    /// Lets time pass up to a moment after the start. The clocks agree, so it does not matter who reads them meanwhile.
    fn reach(&self, moment: i64) {
        let missing = moment - self.now();
        assert!(missing >= 0, "{missing} ms: time is ahead of the calendar");
        self.machine.pass(missing);
        let off = (self.now() - moment).abs();
        assert!(off < 1_000, "licence time is {off} ms off after {missing} ms");
    }

    fn explain(&self, app: &str) -> Value {
        let socket = self.line.agent.folder().join("run/agent.sock");
        call(&socket, "GET", &format!("/agent/v1/explain?app={app}"), None).unwrap()
    }

    fn check(&self, sold: &[Sold]) {
        let mut client = self.client();
        let now = self.now();
        for license in sold {
            let due = license.verdicts.iter().rev().find(|(day, _)| day * DAY <= now).unwrap().1;
            let place = format!("{} on day {:.2}, when it is to be {due}", license.app, now as f64 / DAY as f64);
            self.check_explanation(license, due, now, &place);
            check_api(&mut client, license.app, due, now > 12 * HOUR, &place);
            check_notification(&mut client, license, now, &place);
        }
    }

    /// The verdict, and the date of the next change.
    fn check_explanation(&self, license: &Sold, due: &str, now: i64, place: &str) {
        let told = self.explain(license.app);
        assert_eq!(told["verdict"], due, "{place}: {told}");
        assert_eq!(told["allowed"], due != "denied", "{place}: {told}");
        let next = license.verdicts.iter().find(|(day, _)| day * DAY > now);
        let foretold = &told["changes"][0];
        match next {
            None => assert_eq!(*foretold, Value::Null, "{place}: {told}"),
            Some((day, verdict)) => {
                let at = UnixMillis(moment(&foretold["at"]));
                assert!((at.0 - self.start - day * DAY).abs() < HOUR, "{place}: the next change is told for {at}");
                assert_eq!(foretold["verdict"], *verdict, "{place}: {told}");
            }
        }
    }
}

/// `_verify`, what runs, and one monitor more.
fn check_api(client: &mut Client, app: &str, due: &str, runs: bool, place: &str) {
    let verified = client.get(&format!("/_config/licenses/_verify?app={app}")).unwrap();
    assert_eq!(verified.status, if due == "denied" { 401 } else { 200 }, "{place}: _verify");
    let new = format!("/_config/monitors/new?app={app}");
    let answer = client.put(&new).unwrap();
    let room = ["allowed", "warned"].contains(&due);
    assert_eq!(answer.status, if room { 200 } else { 403 }, "{place}: a new monitor: {}", answer.text());
    assert_eq!(client.delete(&new).unwrap().json()["released"], room, "{place}");
    let listed = client.get(&format!("/_config/monitors/_list?app={app}")).unwrap().json();
    let expected = if runs { json!([RUNNING]) } else { json!([]) };
    assert_eq!(listed["monitors"], expected, "{place}: what ran was stopped or came from nowhere");
    if runs {
        let again = client.put(&format!("/_config/monitors/{RUNNING}?app={app}")).unwrap();
        assert_eq!((again.status, &again.json()["reserved_before"]), (200, &true.into()), "{place}: {}", again.text());
    }
}

/// Thirty days before the end it is told, and after it that it is over, whatever the policy does.
fn check_notification(client: &mut Client, license: &Sold, now: i64, place: &str) {
    let told = client.get(&format!("/_config/licenses/_notification?app={}", license.app)).unwrap().json();
    let texts = told["notification"].as_array().unwrap_or_else(|| panic!("{place}: {told}"));
    let word = match license.ends {
        Some(day) if now >= day * DAY => "has expired on",
        Some(day) if now + 30 * DAY >= day * DAY => "is about to expire on",
        _ => return assert!(texts.is_empty(), "{place}: {told}"),
    };
    assert_eq!(texts.len(), 1, "{place}: {told}");
    let text = texts[0].as_str().unwrap();
    assert!(text.starts_with(&format!("The {} license {word} ", license.app)), "{place}: {told}");
}

/// A moment as the operator's socket tells it.
fn moment(told: &Value) -> i64 {
    let moment = told.as_str().and_then(|text| text.parse().ok());
    let Some(Moment::Day(at) | Moment::Exact(at)) = moment else { panic!("no moment: {told}") };
    at.0
}
