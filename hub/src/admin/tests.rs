mod access;
mod editions;
mod elsewhere;

use super::{AdminState, InviteSettings, administration, local};
use crate::bundle;
use crate::config::{Config, Flags};
use crate::http::{Basic, api::Access};
use crate::keys::Keys;
use crate::settings::Settings;
use crate::store::{Store, StoreSecrets};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use serde_json::{Value, json};
use sitewarden_certs::{fingerprint::Fingerprint, token::EnrolmentToken};
use std::sync::Arc;
use tempfile::TempDir;
use tower::ServiceExt;
use zeroize::Zeroizing;

struct Api {
    /// As on the socket.
    router: Router,
    /// As over HTTPS.
    https: Router,
    access: Arc<Access>,
    ca: Fingerprint,
    _folder: TempDir,
}

impl Api {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secrets = StoreSecrets { license_key: Zeroizing::new([1; 32]) };
        let store = Store::create(&folder.path().join("hub.sqlite"), secrets).await.unwrap();
        let hub_host_port = "hub.example.com:8443".parse().unwrap();
        let keys = Keys::create(&folder.path().join("keys"), crate::wall_clock()).unwrap();
        let Keys { authorities, signing, sealing, .. } = keys;
        let ca = authorities.serving().fingerprint();
        let basic = Arc::new(Basic::new(store.clone()).unwrap());
        let config = Config::load(folder.path(), Flags::default()).unwrap();
        let settings = Settings::load(store.clone(), &config).await.unwrap();
        let access = Arc::new(Access::new(store.clone(), basic, &[2; 32], settings.live()));
        let bundles = bundle::testing::bundles(&store, &authorities, &signing, &sealing);
        let invite = InviteSettings { hub_host_port, authorities };
        let state = AdminState { access: Arc::clone(&access), store, invite, settings, sealing, signing, bundles };
        let https = administration(state).router;
        Self { router: local(https.clone()), https, access, ca, _folder: folder }
    }

    async fn call(&self, method: Method, path: &str, body: Body) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(format!("/api/v1/admin/{path}"));
        let request = request.header("content-type", "application/json").body(body).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, Body::empty()).await
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.call(Method::POST, path, Body::from(body.to_string())).await
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        let (status, made) = self.post(path, &body).await;
        assert_eq!(status, StatusCode::CREATED, "{path}: {made}");
        made
    }

    async fn site(&self) -> Value {
        let customer = self.made("customers", json!({ "name": "Acme" })).await;
        let plant = self.made("plants", json!({ "name": "North", "customer": customer["id"] })).await;
        self.made("sites", json!({ "name": "Line 1", "plant": plant["id"] })).await["id"].clone()
    }
}

#[tokio::test]
async fn what_is_made_is_listed_and_shown() {
    let api = Api::new().await;
    let site = api.site().await;
    let site = site.as_str().unwrap();
    let request = json!({ "site": site, "app": "EMS", "name": "L1", "quota": 100, "validity": "1y" });
    let license = api.made("licenses", request.clone()).await;
    assert_eq!(license["license_key"].as_str().map(str::len), Some(32));
    assert_eq!((&license["status"], &license["type"]), (&json!("inactive"), &json!("subscription")));
    let (_, list) = api.get(&format!("licenses?site={site}")).await;
    assert_eq!((list["licenses"].as_array().map(Vec::len), &list["total"]), (Some(1), &json!(1)));
    for id in [license["id"].to_string(), license["uuid"].as_str().unwrap().to_owned()] {
        let (status, shown) = api.get(&format!("licenses/{id}")).await;
        assert_eq!((status, &shown["license_key"]), (StatusCode::OK, &license["license_key"]));
        assert_eq!((&shown["customer"]["name"], &shown["name"]), (&json!("Acme"), &json!("L1")));
    }
    let (status, clash) = api.post("licenses", &request).await;
    assert_eq!((status, &clash["error"]["code"]), (StatusCode::CONFLICT, &json!("CONFLICT")));
    let (_, customers) = api.get("customers?limit=1").await;
    assert_eq!(customers["next"], json!("1"));
}

#[tokio::test]
async fn a_license_is_edited_and_revoked_and_its_history_says_so() {
    let api = Api::new().await;
    let site = api.site().await;
    let request = json!({ "site": site, "app": "EMS", "name": "L1", "quota": 100, "validity": "1y" });
    api.made("licenses", request).await;
    let edit = json!({ "name": "L2", "quota": null, "validity": "2y" });
    let (status, edited) = api.call(Method::PUT, "licenses/1", Body::from(edit.to_string())).await;
    assert_eq!(
        (status, &edited["name"], &edited["max_monitors"]),
        (StatusCode::OK, &json!("L2"), &Value::Null),
        "{edited}"
    );
    let (_, revoked) = api.call(Method::DELETE, "licenses/1", Body::empty()).await;
    assert_eq!(
        (&revoked["status"], &revoked["state"], &revoked["revision"]),
        (&json!("revoked"), &json!("Invalid"), &json!(3))
    );
    let back = json!({ "status": "Active" }).to_string();
    let (status, refused) = api.call(Method::PUT, "licenses/1", Body::from(back)).await;
    let text = json!("Cannot change status from 'Invalid' to any other value");
    assert_eq!((status, &refused["error"]["message"]), (StatusCode::CONFLICT, &text));
    let (_, history) = api.get("licenses/1/history").await;
    let fields = |revision: &Value| -> Vec<String> {
        let changes = revision["changes"].as_array().unwrap().iter();
        changes.map(|change| change["field"].as_str().unwrap().to_owned()).collect()
    };
    let history: Vec<_> = history.as_array().unwrap().iter().map(fields).collect();
    assert_eq!(history, [vec!["status"], vec!["limits", "name", "term"], vec![]]);
}

#[tokio::test]
async fn a_token_names_hub_site_and_authority() {
    let api = Api::new().await;
    let site = api.site().await;
    let invited = api.made("agents/invite", json!({ "site": site, "valid_for": 60 })).await;
    let token = EnrolmentToken::parse(invited["token"].as_str().unwrap()).unwrap();
    assert_eq!((token.hub.to_string(), json!(token.site)), ("hub.example.com:8443".to_owned(), site.clone()));
    assert_eq!(token.ca, api.ca);
    let elsewhere = api.made("agents/invite", json!({ "site": site, "hub": "other.example.com:1" })).await;
    assert_eq!(EnrolmentToken::parse(elsewhere["token"].as_str().unwrap()).unwrap().hub.port(), 1);
}

#[tokio::test]
async fn bad_requests_are_told_which_field_is_wrong() {
    let api = Api::new().await;
    let site = api.site().await;
    for (path, body, field) in [
        ("customers", json!({ "name": "x", "colour": "red" }), "colour"),
        ("customers", json!({}), "name"),
        ("customers", json!({ "name": 5 }), "name"),
        ("plants", json!({ "name": "x", "customer": "one" }), "customer"),
        ("licenses", json!({ "site": site, "app": "EMS", "name": "x", "validity": "1w" }), "validity"),
        ("licenses", json!({ "site": site, "app": "E S", "name": "x" }), "app"),
        ("agents/invite", json!({ "site": site, "valid_for": 0 }), "valid_for"),
        ("agents/invite", json!({ "site": site, "hub": "nowhere" }), "hub"),
        ("agents/invite", json!({}), "site"),
    ] {
        let (status, answer) = api.post(path, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let told = answer["error"].to_string();
        assert!(told.contains(field), "{field}: {told}");
    }
    for path in ["customers/x", "customers?colour=red", "records", "agents?limit=x", "records?site=1&agent=2"] {
        assert_eq!(api.get(path).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(api.get("nothing").await.0, StatusCode::NOT_FOUND);
    assert_eq!(api.get("customers/99").await.0, StatusCode::NOT_FOUND);
    assert_eq!(api.get("agents/invite").await.0, StatusCode::METHOD_NOT_ALLOWED);
    let huge = Body::from("x".repeat(70 << 10));
    assert_eq!(api.call(Method::POST, "customers", huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}
