//! What is told of a licence's machines and users: each activation once, each threshold once at its crossing.

use crate::store::{
    Holder, MachineRefusal, Moment, NewLicense, NewMachine, WebhookEvent,
    testing::{Fixture, NOW, Plant, act},
};
use serde_json::{Value, json};
use sitewarden_protocol::{
    fingerprint::{Parts, digest},
    id::{ActivationId, LicenseId},
    license::{
        Limits,
        seats::{LAPSE, Refusal},
    },
    license_server::activation_text,
    record::{Activation, Body, Heartbeat, MachineActivated, MachineDeactivated},
    time::UnixMillis,
};

const MOMENT: Moment = Moment { now: NOW, listening_since: UnixMillis(0) };

fn hardware(machine: u8) -> Parts {
    vec![("id".into(), digest("id", &machine.to_string()))]
}

/// Ten users, five machines, and one threshold at four fifths.
fn limited(fixture: &Fixture, holder: Holder) -> NewLicense {
    let limits = Limits { monitors: None, users: Some(10), activations: Some(5) };
    NewLicense { holder, limits, thresholds: vec![80], ..fixture.license("L1") }
}

impl Fixture {
    async fn activate(&self, key: &str, machine: u8) -> ActivationId {
        let new =
            NewMachine { hardware: hardware(machine), name: format!("PC-{machine}"), app_version: "1.0.0".into() };
        self.store.activate_machine(MOMENT, key, new, [machine; 10]).await.unwrap().unwrap().0
    }

    async fn claims(&self, key: &str, machine: ActivationId, users: u32) -> Result<(), MachineRefusal> {
        self.store.claim_users(MOMENT, key, machine, users, Some(vec![])).await.unwrap()
    }

    /// What was told of thresholds: what is used, and how much of it.
    async fn thresholds(&self, webhook: i64) -> Vec<(String, Value)> {
        let told = self.heard(webhook).await;
        let of = |told: &Value| {
            let data = &told["data"];
            assert_eq!((&told["event"], &data["threshold"]), (&json!("usage.threshold"), &json!(80)), "{told}");
            (data["metric"].as_str().unwrap().to_owned(), data["used"].clone())
        };
        told.iter().map(of).collect()
    }
}

#[tokio::test]
async fn a_threshold_of_machines_is_told_at_its_crossing_and_again_after_they_were_fewer() {
    let fixture = Fixture::new().await;
    let webhook = fixture.webhook(None, &[WebhookEvent::UsageThreshold]).await.id;
    let key = fixture.store.issue_license(&act(), limited(&fixture, Holder::Customer(1))).await.unwrap().key;
    let mut machines = Vec::new();
    for (machine, told) in [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)] {
        machines.push(fixture.activate(&key, machine).await);
        assert_eq!(fixture.thresholds(webhook).await.len(), told, "machine {machine}");
    }
    fixture.activate(&key, 5).await;
    let new = NewMachine { hardware: hardware(6), name: "PC-6".into(), app_version: "1.0.0".into() };
    let refused = fixture.store.activate_machine(MOMENT, &key, new, [6; 10]).await.unwrap().unwrap_err();
    assert!(matches!(refused, MachineRefusal::Refused(Refusal::TooManyMachines { .. })), "{refused:?}");
    assert_eq!(fixture.thresholds(webhook).await.len(), 1, "neither a repeat nor a refusal is a machine more");
    for machine in machines.drain(3..) {
        fixture.store.deactivate_machine(NOW, &key, machine, String::new()).await.unwrap().unwrap();
    }
    assert_eq!(fixture.thresholds(webhook).await.len(), 1, "that they are fewer is not told");
    fixture.activate(&key, 7).await;
    let four = ("activations".to_owned(), json!(4));
    assert_eq!(fixture.thresholds(webhook).await, [four.clone(), four]);
}

#[tokio::test]
async fn a_threshold_of_users_is_told_at_its_crossing_and_again_after_they_were_fewer() {
    let fixture = Fixture::new().await;
    let webhook = fixture.webhook(None, &[WebhookEvent::UsageThreshold]).await.id;
    let key = fixture.store.issue_license(&act(), limited(&fixture, Holder::Customer(1))).await.unwrap().key;
    let (one, two) = (fixture.activate(&key, 1).await, fixture.activate(&key, 2).await);
    fixture.claims(&key, one, 5).await.unwrap();
    for (users, told) in [(2, 0), (3, 1), (5, 1), (4, 1), (3, 1), (2, 1), (3, 2), (3, 2)] {
        fixture.claims(&key, two, users).await.unwrap();
        assert_eq!(fixture.thresholds(webhook).await.len(), told, "{users} users more");
    }
    assert!(fixture.claims(&key, two, 6).await.is_err());
    assert_eq!(fixture.thresholds(webhook).await.len(), 2, "who is refused uses nothing");
    let silent = Moment { now: NOW.after(LAPSE * 2), ..MOMENT };
    assert_eq!(fixture.store.lapse_sessions(silent).await.unwrap(), 2);
    fixture.store.claim_users(silent, &key, one, 9, Some(vec![])).await.unwrap().unwrap();
    let of = |used: u32| ("users".to_owned(), json!(used));
    let mut told = fixture.thresholds(webhook).await;
    told.sort_by_key(|(_, used)| used.as_u64());
    assert_eq!(told, [of(8), of(8), of(9)], "those who fell silent are not there");
}

fn of_machine(license: LicenseId, machine: u8) -> (ActivationId, Body) {
    let activation = ActivationId::new(NOW, [machine; 10]);
    let (hardware, app_version) = (hardware(machine), "1.0.0".to_owned());
    let activated = MachineActivated { license, activation, hardware, machine: format!("PC-{machine}"), app_version };
    (activation, Body::MachineActivated(activated))
}

/// Takes in what was recorded after `after`.
async fn hear(fixture: &Fixture, plant: &Plant, after: usize) -> usize {
    fixture.store.ingest(NOW, plant.batch(after, plant.records(), 0)).await.unwrap();
    plant.records()
}

#[tokio::test]
async fn what_an_agent_tells_of_machines_and_users_crosses_thresholds_too() {
    let fixture = Fixture::new().await;
    let webhook = fixture.webhook(None, &[WebhookEvent::UsageThreshold]).await.id;
    let issued = fixture.store.issue_license(&act(), limited(&fixture, Holder::Site(fixture.site))).await.unwrap();
    let license = issued.license.uuid;
    let mut plant = fixture.agent(1).await;
    let by = Activation { license, replaces: None, by: "operator".into() };
    plant.record(&Body::LicenseActivated(by));
    let machines: Vec<_> = (1..=4).map(|machine| of_machine(license, machine)).collect();
    machines.iter().for_each(|(_, body)| plant.record(body));
    let mut heard = hear(&fixture, &plant, 0).await;
    assert_eq!(fixture.thresholds(webhook).await, [("activations".to_owned(), json!(4))]);
    let (first, _) = machines[0];
    for (users, told) in [(7, 1), (8, 2), (9, 2), (7, 2), (8, 3)] {
        plant.record(&Body::Heartbeat(Heartbeat { license, activation: first, users, features: vec![] }));
        heard = hear(&fixture, &plant, heard).await;
        assert_eq!(fixture.thresholds(webhook).await.len(), told, "{users} users");
    }
    let gone = MachineDeactivated { license, activation: machines[3].0, reason: String::new() };
    plant.record(&Body::MachineDeactivated(gone));
    plant.record(&of_machine(license, 5).1);
    heard = hear(&fixture, &plant, heard).await;
    assert_eq!(fixture.thresholds(webhook).await.len(), 3, "what a batch ends with is what counts");
    // The same records again are no news.
    fixture.store.ingest(NOW, plant.batch(0, heard, 0)).await.unwrap();
    assert_eq!(fixture.thresholds(webhook).await.len(), 3);
}

/// The activations that were told, in the order of their happening.
async fn activations(fixture: &Fixture, webhook: i64) -> Vec<Value> {
    let told = fixture.heard(webhook).await;
    told.into_iter().map(|mut told| told["data"]["activation_id"].take()).collect()
}

#[tokio::test]
async fn a_machine_that_puts_a_licence_in_force_is_told_of_once_and_each_later_one_too() {
    for holder in ["site", "customer"] {
        let fixture = Fixture::new().await;
        let webhook = fixture.webhook(None, &[WebhookEvent::LicenseActivated]).await.id;
        let (holder, expected) = match holder {
            "site" => (Holder::Site(fixture.site), json!("act_1")),
            _ => (Holder::Customer(1), json!(activation_text(ActivationId::new(NOW, [1; 10])))),
        };
        let key = fixture.store.issue_license(&act(), limited(&fixture, holder)).await.unwrap().key;
        fixture.activate(&key, 1).await;
        assert_eq!(activations(&fixture, webhook).await, [expected], "{holder:?}");
        let second = json!(activation_text(fixture.activate(&key, 2).await));
        let told = activations(&fixture, webhook).await;
        assert!(told.len() == 2 && told.contains(&second), "{holder:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_machine_at_a_plant_that_puts_a_licence_in_force_is_told_of_once() {
    for (by, times) in [("machine PC-1", 1), ("operator", 2)] {
        let fixture = Fixture::new().await;
        let webhook = fixture.webhook(None, &[WebhookEvent::LicenseActivated]).await.id;
        let issued = fixture.store.issue_license(&act(), limited(&fixture, Holder::Site(fixture.site))).await.unwrap();
        let license = issued.license.uuid;
        let mut plant = fixture.agent(1).await;
        plant.record(&Body::LicenseActivated(Activation { license, replaces: None, by: by.into() }));
        plant.record(&of_machine(license, 1).1);
        let heard = hear(&fixture, &plant, 0).await;
        assert_eq!(activations(&fixture, webhook).await.len(), times, "{by}");
        plant.record(&of_machine(license, 2).1);
        hear(&fixture, &plant, heard).await;
        assert_eq!(activations(&fixture, webhook).await.len(), times + 1, "{by}");
    }
}
