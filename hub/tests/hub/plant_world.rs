//! A hub with one site, its users and its licences; and requests to it.

use crate::support::{Line, PATIENCE, TestHub, act, config, now};
use argon2::{Argon2, PasswordHasher};
use reqwest::Method;
use serde_json::{Value, json};
use sitewarden_hub::store::{Act, Holder, LicenseSelector, NewLicense, Role, Scope, Store, User};
use sitewarden_protocol::id::{LicenseId, PlantId, SiteId};
use sitewarden_protocol::license::{Kind, License, Limits, Policy, Status, Term};
use sitewarden_protocol::message::{LiveStatus, Quota, ToAgent, ToHub};
use sitewarden_protocol::time::UnixMillis;
use tokio::time::{interval, timeout};

/// A status and a body.
pub type Answer = (u16, Value);

const PASSWORD: &str = "a long password";
const DAY: i64 = 86_400_000;

pub fn error(status: u16, message: &str) -> Answer {
    (status, json!({ "error": { "status": status, "message": message } }))
}

pub fn without(body: &Value, name: &str) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove(name);
    body
}

/// A request by `user`, who has the one password unless another is given after a colon; nobody has an empty name.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub method: Method,
    pub path: &'a str,
    pub user: &'a str,
    /// In place of `user`'s.
    pub authorization: Option<&'a str>,
    pub content_type: &'a str,
    pub body: &'a str,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { method: Method::GET, path: "", user: "admin", authorization: None, content_type: "", body: "" }
    }
}

pub struct World {
    hub: TestHub,
    client: reqwest::Client,
    pub site: SiteId,
    pub plant: PlantId,
    customer: i64,
}

impl World {
    pub async fn new() -> Self {
        let hub = TestHub::start().await;
        let site = hub.site().await;
        let plant = hub.hub.store().show_site(site).await.unwrap().plant;
        let customer = hub.hub.store().show_plant(plant).await.unwrap().customer;
        Self { client: hub.client(), hub, site, plant, customer }
    }

    pub fn hub(&self) -> &TestHub {
        &self.hub
    }

    pub fn store(&self) -> &Store {
        self.hub.hub.store()
    }

    /// The same hub, ended and started again.
    pub async fn restarted(self) -> Self {
        let TestHub { hub, data_dir, keys, folder } = self.hub;
        hub.shutdown().await.unwrap();
        let hub = TestHub { hub: sitewarden_hub::start(config(&data_dir)).await.unwrap(), data_dir, keys, folder };
        Self { client: hub.client(), hub, ..self }
    }

    pub async fn call(&self, request: Request<'_>) -> Answer {
        let (status, text) = self.try_call(request).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// Status and text of an answer that may be something else than JSON.
    pub async fn try_call(&self, request: Request<'_>) -> (u16, String) {
        let built = self.client.request(request.method, self.hub.url(request.path));
        let (name, password) = request.user.split_once(':').unwrap_or((request.user, PASSWORD));
        let built = match (request.authorization, request.user) {
            (Some(header), _) => built.header("authorization", header),
            (None, "") => built,
            (None, _) => built.basic_auth(name, Some(password)),
        };
        let built =
            if request.content_type.is_empty() { built } else { built.header("content-type", request.content_type) };
        let response = built.body(request.body.to_owned()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Request { path, ..Request::default() }).await
    }

    pub async fn send(&self, method: Method, path: &str, content_type: &str, body: &str) -> Answer {
        self.call(Request { method, path, content_type, body, ..Request::default() }).await
    }

    pub async fn send_owned(&self, method: Method, path: String, body: Value) -> Answer {
        self.send(method, &path, "application/json", &body.to_string()).await
    }

    /// The document's own body of a generation, for this world's plant and site.
    pub fn sample(&self) -> Value {
        json!({
            "license_name": "L1", "plant_id": self.plant, "site_id": self.site, "license_validity": "1y",
            "app": "EMS", "license_quota": 100, "license_description": "Description",
        })
    }

    pub async fn license(&self, name: &str, app: &str) -> LicenseId {
        self.license_of(name, app, 100).await
    }

    pub async fn license_of(&self, name: &str, app: &str, quota: u32) -> LicenseId {
        let mut body = self.sample();
        (body["license_name"], body["app"], body["license_quota"]) = (json!(name), json!(app), json!(quota));
        let (_, made) = self.send_owned(Method::POST, "/_config/licenses".to_owned(), body).await;
        made["id"].as_str().unwrap_or_else(|| panic!("{made}")).parse().unwrap()
    }

    /// A licence that was activated some days ago.
    pub async fn ended(&self, name: &str, app: &str, validity: &str, days_ago: i64) -> LicenseId {
        let then = Act { at: UnixMillis(now().0 - days_ago * DAY), ..act() };
        let new = NewLicense {
            holder: Holder::Site(self.site),
            app: app.to_owned(),
            name: name.to_owned(),
            kind: Kind::Subscription,
            term: Term::Validity(validity.parse().unwrap()),
            limits: Limits::default(),
            features: vec![],
            policy: Policy::default(),
            thresholds: vec![],
            description: String::new(),
        };
        let issued = self.store().issue_license(&then, new).await.unwrap();
        // The job may have made the one before it Expired, or not yet.
        self.store().expire_licenses(now()).await.unwrap();
        let activated = self.store().activate_license(&then, Scope::default(), &issued.key, false).await.unwrap();
        activated.unwrap().uuid
    }

    pub async fn key(&self, id: LicenseId) -> String {
        self.store().reveal_license(LicenseSelector::Uuid(id)).await.unwrap().key
    }

    pub async fn activated(&self, id: LicenseId) {
        let key = self.key(id).await;
        self.store().activate_license(&act(), Scope::default(), &key, false).await.unwrap().unwrap();
    }

    pub async fn status(&self, id: LicenseId) -> Status {
        self.store().show_license(LicenseSelector::Uuid(id)).await.unwrap().status
    }

    pub async fn becomes(&self, id: LicenseId, status: Status) {
        let wait = async {
            let mut ticks = interval(std::time::Duration::from_millis(5));
            while self.status(id).await != status {
                ticks.tick().await;
            }
        };
        timeout(PATIENCE, wait).await.expect("another status");
    }

    /// A user of the site, or of everything.
    pub async fn user(&self, name: &str, role: Role, of_site: bool) {
        let scope = Scope { customer: None, site: Some(self.site).filter(|_| of_site) };
        self.add(name, role, scope).await;
    }

    /// A user of another customer.
    pub async fn elsewhere(&self, name: &str) {
        let other = self.store().add_customer(&act(), "Other", None).await.unwrap();
        assert_ne!(other.id, self.customer);
        self.add(name, Role::Admin, Scope { customer: Some(other.id), site: None }).await;
    }

    async fn add(&self, name: &str, role: Role, scope: Scope) {
        let password_hash = Argon2::default().hash_password(PASSWORD.as_bytes()).unwrap().to_string();
        self.store()
            .add_user(&act(), User { name: name.to_owned(), role, scope, password_hash }, false)
            .await
            .unwrap()
            .unwrap();
    }

    /// An agent that says how many monitors run; it is heard when this returns.
    pub async fn reports(&self, app: &str, used: u32) -> Line {
        let mut agent = self.hub.agent_at(self.site).await;
        let (mut line, _) = agent.session(&self.hub).await;
        let quotas = vec![Quota { app: app.to_owned(), used, permitted: None }];
        line.send(ToHub::Status(LiveStatus { quotas, ..LiveStatus::default() })).await;
        let batch = agent.batch(1);
        line.send(ToHub::Batch(batch)).await;
        agent.receipt(&mut line).await;
        line
    }

    /// The first licence of that kind in a snapshot that the hub pushes.
    pub async fn pushed(&self, line: &mut Line, wanted: impl Fn(&License) -> bool) -> License {
        loop {
            let Some(ToAgent::Snapshot(snapshot)) = line.receive().await else { panic!("no snapshot") };
            let snapshot = snapshot.verify(&[self.hub.keys.signing.public()]).unwrap();
            if let Some(license) = snapshot.licenses.into_iter().find(|license| wanted(license)) {
                return license;
            }
        }
    }

    pub fn a_year_from_now(&self) -> String {
        let end = "1y".parse::<sitewarden_protocol::license::Validity>().unwrap().end(now()).unwrap();
        end.calendar().unwrap().format("%d/%m/%Y").to_string()
    }

    pub fn day(&self, from_today: i64) -> String {
        UnixMillis(now().0 + from_today * DAY).calendar().unwrap().format("%b %d %Y").to_string()
    }
}
