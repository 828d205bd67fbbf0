//! The licence server's public endpoints at the hub, by the samples of their document, over HTTPS.

use crate::command::Commands;
use crate::send_telemetry::sample;
use crate::support::{Agent, TestHub, act, now};
use serde_json::{Value, json};
use sitewarden_hub::store::{
    Holder, LicenseEdit, LicenseSelector, Moment, NewLicense, RedFlag, Scope, Statistics, UsageOf, UsageSpan,
};
use sitewarden_protocol::fingerprint::digest;
use sitewarden_protocol::id::{ActivationId, LicenseId, SiteId};
use sitewarden_protocol::license::seats::LAPSE;
use sitewarden_protocol::license::{Kind, Limits, Policy, Status, Term};
use sitewarden_protocol::license_server::activation_text;
use sitewarden_protocol::message::ToHub;
use sitewarden_protocol::record::{Body, Heartbeat, MachineActivated, MachineDeactivated, SessionEnd, SessionEnded};
use sitewarden_protocol::time::UnixMillis;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// Tests call as often as they like, but for the one about it.
const OFTEN: u32 = 1_000_000;

/// A hub with a licence of a customer: two features, two machines, ten users, a year.
pub struct Server {
    pub hub: TestHub,
    pub key: String,
    client: reqwest::Client,
}

pub fn sold(holder: Holder, name: &str) -> NewLicense {
    NewLicense {
        holder,
        app: "GENERAL".to_owned(),
        name: name.to_owned(),
        kind: Kind::Subscription,
        term: Term::Validity("1y".parse().unwrap()),
        limits: Limits { monitors: None, users: Some(10), activations: Some(2) },
        features: vec!["feature1".into(), "feature2".into()],
        policy: Policy::default(),
        thresholds: vec![],
        description: String::new(),
    }
}

impl Server {
    pub async fn start() -> Self {
        let hub = TestHub::start_with(|config| config.changeable.limits.public = OFTEN).await;
        let customer = hub.hub.store().add_customer(&act(), "ACME Corp", Some("admin@acme.com")).await.unwrap();
        let license = sold(Holder::Customer(customer.id), "L1");
        let key = hub.hub.store().issue_license(&act(), license).await.unwrap().key;
        let client = hub.client();
        Self { hub, key, client }
    }

    pub async fn send(&self, endpoint: &str, body: &Value) -> reqwest::Response {
        self.client.post(self.hub.url(&format!("/api/v1/{endpoint}"))).json(body).send().await.unwrap()
    }

    pub async fn post(&self, endpoint: &str, body: &Value) -> (u16, Value) {
        let answer = self.send(endpoint, body).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Activates the document's machine; answers its activation.
    pub async fn activated(&self) -> Value {
        let (status, answer) = self.post("activate", &self.sample("activate", &Value::Null)).await;
        assert_eq!(status, 200, "{answer}");
        answer["activation_id"].clone()
    }

    pub async fn statistics(&self) -> Statistics {
        let span = UsageSpan::new(now().before(DAY), now().after(DAY)).unwrap();
        self.hub.hub.store().statistics(UsageOf::default(), span).await.unwrap()
    }

    async fn edit(&self, edit: LicenseEdit) {
        self.hub.hub.store().edit_license(&act(), LicenseSelector::Number(1), edit).await.unwrap().unwrap();
    }

    /// The document's sample requests, with an activation that there is.
    pub fn sample(&self, endpoint: &str, activation: &Value) -> Value {
        let hardware = json!({
            "mac_address": "00:1B:44:11:3A:B7",
            "cpu_id": "BFEBFBFF000906EA",
            "system_uuid": "4C4C4544-0052-3410-8036-B8C04F303832"
        });
        match endpoint {
            "activate" => json!({
                "license_key": self.key, "hardware_id": hardware, "machine_name": "DESKTOP-ABC123", "app_version": "1.0.0"
            }),
            "validate" => json!({
                "license_key": self.key, "activation_id": activation, "hardware_id": hardware, "current_users": 5,
                "app_version": "1.0.0"
            }),
            "heartbeat" => json!({
                "license_key": self.key, "activation_id": activation, "current_users": 5,
                "feature_usage": {"feature1": 150, "feature2": 75}
            }),
            _ => json!({"license_key": self.key, "activation_id": activation, "reason": "System upgrade"}),
        }
    }
}

/// A sample with some fields changed; null takes one away.
fn changed(mut sample: Value, changes: &Value) -> Value {
    let fields = sample.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    sample
}

#[tokio::test]
async fn the_documents_samples_are_answered_to_the_letter() {
    let server = Server::start().await;
    assert_eq!(server.key.len(), 19);
    let (status, activated) = server.post("activate", &server.sample("activate", &Value::Null)).await;
    let id = activated["activation_id"].clone();
    let license = server.hub.hub.store().license_by_key(&server.key).await.unwrap();
    let expected = json!({
        "success": true, "activation_id": id, "features": ["feature1", "feature2"], "max_users": 10,
        "valid_until": license.expires_at.unwrap().to_string(),
    });
    assert_eq!((status, &activated, license.status), (200, &expected, Status::Active));
    assert!(id.as_str().unwrap().starts_with("act_"));
    let valid =
        json!({"valid": true, "features": ["feature1", "feature2"], "max_users": 10, "message": "License valid"});
    assert_eq!(server.post("validate", &server.sample("validate", &id)).await, (200, valid));
    let (status, alive) = server.post("heartbeat", &server.sample("heartbeat", &id)).await;
    assert_eq!((status, &alive["success"]), (200, &json!(true)), "{alive}");
    let next = alive["next_heartbeat"].as_str().unwrap();
    assert!(next.ends_with('Z') && next > now().to_string().as_str(), "{next}");
    assert_eq!(server.statistics().await.users, 5);
    let gone = json!({"success": true, "message": "License deactivated successfully"});
    assert_eq!(server.post("deactivate", &server.sample("deactivate", &id)).await, (200, gone));
    let after = server.statistics().await;
    assert_eq!((after.users, after.activations, after.active_activations), (0, 1, 0));
    assert_eq!(server.post("heartbeat", &server.sample("heartbeat", &id)).await.0, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let server = Server::start().await;
    let id = server.activated().await;
    for (endpoint, changes, status, code, details) in [
        (
            "activate",
            json!({"license_key": null}),
            400,
            "INVALID_LICENSE",
            json!({"field": "license_key", "reason": "required"}),
        ),
        (
            "validate",
            json!({"license_key": "a b"}),
            400,
            "INVALID_LICENSE",
            json!({"field": "license_key", "reason": "format_invalid"}),
        ),
        (
            "activate",
            json!({"hardware_id": {}}),
            400,
            "INVALID_REQUEST",
            json!({"field": "hardware_id", "reason": "value_invalid"}),
        ),
        (
            "validate",
            json!({"activation_id": null}),
            400,
            "INVALID_REQUEST",
            json!({"field": "activation_id", "reason": "required"}),
        ),
        (
            "heartbeat",
            json!({"current_users": null}),
            400,
            "INVALID_REQUEST",
            json!({"field": "current_users", "reason": "required"}),
        ),
        (
            "heartbeat",
            json!({"feature_usage": [1]}),
            400,
            "INVALID_REQUEST",
            json!({"field": "feature_usage", "reason": "type_invalid"}),
        ),
        ("validate", json!({"activation_id": "act_123456"}), 404, "NOT_FOUND", json!({"field": "activation_id"})),
        (
            "deactivate",
            json!({"activation_id": "act_00000000000000000000000000000000"}),
            404,
            "NOT_FOUND",
            json!({"field": "activation_id"}),
        ),
    ] {
        let (answered, answer) = server.post(endpoint, &changed(server.sample(endpoint, &id), &changes)).await;
        let error = &answer["error"];
        assert_eq!(
            (answered, &error["code"], &error["details"]),
            (status, &json!(code), &details),
            "{endpoint} {changes}"
        );
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    }
}

#[tokio::test]
async fn unknown_keys_other_methods_types_and_sizes_have_errors_of_this_shape() {
    let server = Server::start().await;
    let id = server.activated().await;
    for endpoint in ["activate", "validate", "heartbeat", "deactivate"] {
        let unknown = changed(server.sample(endpoint, &id), &json!({"license_key": "ZZZZ-ZZZZ-ZZZZ-ZZZZ"}));
        let error = json!({"error": {
            "code": "INVALID_LICENSE", "message": "The provided license key is invalid",
            "details": {"field": "license_key", "reason": "unknown"}
        }});
        assert_eq!(server.post(endpoint, &unknown).await, (404, error), "{endpoint}");
    }
    let get = server.hub.get("/api/v1/validate").await;
    assert_eq!(get.status(), 405);
    let text = server.client.post(server.hub.url("/api/v1/activate")).body("{}").send().await.unwrap();
    assert_eq!(text.status(), 415);
    let large = changed(server.sample("activate", &id), &json!({"machine_name": "x".repeat(65 << 10)}));
    assert_eq!(server.post("activate", &large).await.0, 413);
}

#[tokio::test]
async fn the_same_hardware_has_the_same_activation_and_machines_and_users_are_limited() {
    let server = Server::start().await;
    let id = server.activated().await;
    let base = server.sample("activate", &id);
    let with = |hardware: Value| changed(base.clone(), &json!({ "hardware_id": hardware }));
    let new_card = json!({
        "mac_address": "AA:BB:CC:DD:EE:FF", "cpu_id": "BFEBFBFF000906EA",
        "system_uuid": "4C4C4544-0052-3410-8036-B8C04F303832"
    });
    assert_eq!(server.post("activate", &with(new_card)).await.1["activation_id"], id, "n of m parts");
    let other = server.post("activate", &with(json!("another"))).await.1["activation_id"].clone();
    assert_ne!(other, id);
    let (status, full) = server.post("activate", &with(json!("a third one"))).await;
    let error = json!({"error": {
        "code": "ACTIVATION_LIMIT", "details": {"max_activations": 2},
        "message": "the license permits 2 activations, and all are in use; deactivate a machine first"
    }});
    assert_eq!((status, full), (409, error));
    let stolen = changed(server.sample("validate", &id), &json!({"hardware_id": "another"}));
    let (status, answer) = server.post("validate", &stolen).await;
    assert_eq!((status, &answer["valid"], &answer["code"]), (200, &json!(false), &json!("HARDWARE_MISMATCH")));

    assert_eq!(server.post("heartbeat", &server.sample("heartbeat", &id)).await.0, 200);
    let claim = |users: u32| {
        changed(server.sample("validate", &other), &json!({"hardware_id": "another", "current_users": users}))
    };
    let (status, answer) = server.post("validate", &claim(6)).await;
    let refused = json!({
        "valid": false, "features": ["feature1", "feature2"], "max_users": 10, "code": "USER_LIMIT",
        "message": "6 users and the 5 of other machines exceed the permitted 10",
        "details": {"current_users": 6, "users_elsewhere": 5, "max_users": 10}
    });
    assert_eq!((status, answer), (200, refused));
    assert_eq!(server.post("validate", &claim(5)).await.1["valid"], true);
    assert_eq!(server.statistics().await.users, 10);
    let more = changed(server.sample("heartbeat", &other), &json!({"current_users": 6}));
    assert_eq!(server.post("heartbeat", &more).await.0, 409);
    assert_eq!(server.statistics().await.users, 10, "what both had stays their own");
}

#[tokio::test]
async fn claims_that_race_never_pass_the_limit_together() {
    let server = Server::start().await;
    server.edit(LicenseEdit { activations: Some(Some(8)), ..LicenseEdit::default() }).await;
    let mut racing = tokio::task::JoinSet::new();
    for number in 0..8 {
        let hardware = json!({ "hardware_id": format!("pc {number}") });
        let activate = changed(server.sample("activate", &Value::Null), &hardware);
        let id = server.post("activate", &activate).await.1["activation_id"].clone();
        let heartbeat = changed(server.sample("heartbeat", &id), &json!({"current_users": 3}));
        let request = server.client.post(server.hub.url("/api/v1/heartbeat")).json(&heartbeat);
        racing.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let answers = racing.join_all().await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 3, "{answers:?}");
    assert_eq!(server.statistics().await.users, 9);
}

#[tokio::test]
async fn a_licence_that_may_not_be_used_is_an_answer_to_validate_and_an_error_elsewhere() {
    let server = Server::start().await;
    let id = server.activated().await;
    let ended = Term::Dates { from: now().before(DAY * 2), until: now().before(DAY) };
    server.edit(LicenseEdit { term: Some(ended), ..LicenseEdit::default() }).await;
    let (status, answer) = server.post("validate", &server.sample("validate", &id)).await;
    assert_eq!((status, &answer["valid"], &answer["code"]), (200, &json!(false), &json!("LICENSE_EXPIRED")));
    assert_eq!(answer["features"], json!([]));
    for endpoint in ["activate", "heartbeat"] {
        let (status, answer) = server.post(endpoint, &server.sample(endpoint, &id)).await;
        assert_eq!((status, &answer["error"]["code"]), (403, &json!("LICENSE_EXPIRED")), "{endpoint}");
    }
    server.edit(LicenseEdit { status: Some(Status::Invalid), ..LicenseEdit::default() }).await;
    let (status, answer) = server.post("validate", &server.sample("validate", &id)).await;
    assert_eq!((status, &answer["valid"], &answer["code"]), (200, &json!(false), &json!("LICENSE_REVOKED")));
    let (status, answer) = server.post("activate", &server.sample("activate", &id)).await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("LICENSE_REVOKED")));
    assert_eq!(server.post("deactivate", &server.sample("deactivate", &id)).await.0, 200);
}

#[tokio::test]
async fn heartbeats_are_taken_once_a_minute_and_silent_machines_count_no_more() {
    let server = Server::start().await;
    let id = server.activated().await;
    let heartbeat = server.sample("heartbeat", &id);
    let first = server.send("heartbeat", &heartbeat).await;
    assert_eq!((first.status().as_u16(), &first.headers()["ratelimit-limit"]), (200, &"1".parse().unwrap()));
    let second = server.send("heartbeat", &heartbeat).await;
    let wait: u64 = second.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait) && second.status() == 429);
    assert_eq!(second.json::<Value>().await.unwrap()["error"]["code"], "RATE_LIMITED");

    let store = server.hub.hub.store();
    let begun = now();
    let later = |span: Duration| Moment { now: begun.after(span), listening_since: begun };
    assert_eq!(store.lapse_sessions(later(LAPSE - DAY / 1440)).await.unwrap(), 0);
    assert_eq!(store.lapse_sessions(later(LAPSE * 2)).await.unwrap(), 1);
    let after = server.statistics().await;
    assert_eq!((after.users, after.active_activations), (0, 1));
    assert_eq!(after.features["feature1"], 150, "the second one was not counted");
}

#[tokio::test]
async fn an_address_has_a_hundred_calls_a_minute() {
    let hub = TestHub::start().await;
    let client = hub.client();
    let mut last = 0;
    for _ in 0..120 {
        let request = client.post(hub.url("/api/v1/activate")).json(&json!({"license_key": "ZZZZ-ZZZZ-ZZZZ-ZZZZ"}));
        last = request.send().await.unwrap().status().as_u16();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
}

/// What an agent's machines did.
struct AtSite {
    license: LicenseId,
    activation: ActivationId,
}

impl AtSite {
    fn activated(&self) -> Body {
        Body::MachineActivated(MachineActivated {
            license: self.license,
            activation: self.activation,
            hardware: vec![("id".into(), digest("id", "pc"))],
            machine: "PC-1".into(),
            app_version: "1.0.0".into(),
        })
    }

    fn heartbeat(&self, users: u32, feature: u64) -> Body {
        let features = vec![("feature1".to_owned(), feature)];
        Body::Heartbeat(Heartbeat { license: self.license, activation: self.activation, users, features })
    }
}

async fn tell(hub: &TestHub, agent: &mut Agent, bodies: &[Body]) {
    let (mut line, _) = agent.session(hub).await;
    let batch = agent.batch_of(bodies);
    line.send(ToHub::Batch(batch)).await;
    assert_eq!(agent.receipt(&mut line).await.through, agent.end);
}

async fn site_of(hub: &TestHub) -> (SiteId, LicenseId) {
    let site = hub.site().await;
    let license = hub.hub.store().issue_license(&act(), sold(Holder::Site(site), "L2")).await.unwrap().license;
    (site, license.uuid)
}

#[tokio::test]
async fn what_machines_of_an_agent_do_is_known_and_counted_here_too() {
    let server = Server::start().await;
    let (site, license) = site_of(&server.hub).await;
    let mut agent = server.hub.agent_at(site).await;
    let at_site = AtSite { license, activation: ActivationId::new(now(), [7; 10]) };
    let released = SessionEnded {
        license,
        activation: at_site.activation,
        users: 4,
        cause: SessionEnd::Released { by: "operator".into() },
    };
    tell(&server.hub, &mut agent, &[at_site.activated(), at_site.heartbeat(6, 10), at_site.heartbeat(4, 5)]).await;
    let found = server.statistics().await;
    assert_eq!((found.activations, found.users, found.features["feature1"]), (1, 4, 15));
    tell(&server.hub, &mut agent, &[Body::SessionEnded(released)]).await;
    assert_eq!(server.statistics().await.users, 0);

    // Telemetry that names it is no red flag; one that names nothing that there is, is.
    let store = server.hub.hub.store();
    let made = Commands::of(&server.hub).json("apikey add --customer 2 --name p").await;
    let send = |activation: String| {
        let body = changed(sample(made["key"].as_str().unwrap()), &json!({ "activation_identifier": activation }));
        server.client.post(server.hub.url("/api/v1/send-telemetry-data")).json(&body).send()
    };
    send(activation_text(at_site.activation)).await.unwrap();
    let flags = |all: Vec<RedFlag>| all.iter().filter(|flag| flag.kind == "unknown_activation").count();
    assert_eq!(flags(store.list_flags(Scope::default(), true, None, None, 100).await.unwrap()), 0);
    send("act_00000000000000000000000000000000".to_owned()).await.unwrap();
    assert_eq!(flags(store.list_flags(Scope::default(), true, None, None, 100).await.unwrap()), 1);

    let gone = MachineDeactivated { license, activation: at_site.activation, reason: "moved".into() };
    tell(&server.hub, &mut agent, &[Body::MachineDeactivated(gone)]).await;
    assert_eq!(server.statistics().await.active_activations, 0);
}

#[tokio::test]
async fn an_agent_that_tells_of_another_sites_licence_is_flagged_and_changes_nothing() {
    let server = Server::start().await;
    let (site, _) = site_of(&server.hub).await;
    let mut agent = server.hub.agent_at(site).await;
    let foreign = server.hub.hub.store().show_license(LicenseSelector::Number(1)).await.unwrap().uuid;
    let at_site = AtSite { license: foreign, activation: ActivationId::new(UnixMillis(1), [1; 10]) };
    tell(&server.hub, &mut agent, &[at_site.activated(), at_site.heartbeat(6, 10)]).await;
    let found = server.statistics().await;
    assert_eq!((found.activations, found.users, found.features.len()), (0, 0, 0));
    let flags = server.hub.hub.store().list_flags(Scope::default(), true, None, None, 100).await.unwrap();
    assert!(flags.iter().any(|flag| flag.kind == "activation"), "{flags:?}");
}
