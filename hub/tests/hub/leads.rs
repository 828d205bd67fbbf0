//! Leads over HTTPS, from the document's samples; and by the command line.

use crate::command::Commands;
use crate::support::TestHub;
use serde_json::{Value, json};

const INSTITUTIONS: &str = "/api/institutions";

/// Somebody who calls.
struct Caller<'a> {
    hub: &'a TestHub,
    token: String,
}

impl<'a> Caller<'a> {
    async fn log_in(hub: &'a TestHub, name: &str) -> Self {
        let login = json!({ "username": name, "password": "a long password" });
        let response = hub.client().post(hub.url("/api/v1/auth/login")).json(&login).send().await.unwrap();
        let tokens: Value = response.json().await.unwrap();
        Self { hub, token: tokens["access_token"].as_str().unwrap().to_owned() }
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = self.hub.client().request(method.parse().unwrap(), self.hub.url(path)).bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call("POST", path, Some(body)).await
    }
}

/// The document's institution.
fn university() -> Value {
    json!({
        "name": "Example University", "type": "university", "address": "123 Main St", "tags": ["education", "research"],
        "metadata": { "student_count": 5000 },
    })
}

/// The document's person.
fn john() -> Value {
    json!({
        "name": "John Doe", "email": "john@example.com", "phone": "+1234567890", "position": "IT Manager",
        "is_primary": true,
    })
}

/// Whether all fields of a sample came back as they were sent.
fn holds(answer: &Value, sample: &Value) -> bool {
    sample.as_object().unwrap().iter().all(|(name, value)| answer[name] == *value)
}

#[tokio::test]
async fn the_documented_samples_are_taken_and_come_back() {
    let hub = TestHub::start().await;
    let admin = Caller::log_in(&hub, "admin").await;
    let (status, made) = admin.post(INSTITUTIONS, &university()).await;
    assert!(status == 201 && holds(&made, &university()), "{made}");
    let path = format!("{INSTITUTIONS}/{}", made["id"]);
    assert_eq!(admin.get(&path).await, (200, made.clone()));
    let (_, list) = admin.get(&format!("{INSTITUTIONS}?search=exam&tags=education,research&page=1&per_page=20")).await;
    let expected = json!({ "institutions": [made], "total": 1, "page": 1, "per_page": 20 });
    assert_eq!(list, expected);
    assert_eq!(admin.get(&format!("{INSTITUTIONS}?tags=education,other")).await.1["total"], 0);

    let (status, contact) = admin.post(&format!("{path}/contacts"), &john()).await;
    assert!(status == 201 && holds(&contact, &john()), "{contact}");
    let (_, list) = admin.get(&format!("{path}/contacts")).await;
    assert_eq!(list, json!({ "contacts": [contact], "total": 1, "page": 1, "per_page": 50 }));

    let note = json!({ "content": "Discussed pricing options", "type": "meeting", "tags": ["sales", "followup"] });
    let (status, made) = admin.post(&format!("{path}/notes"), &note).await;
    assert!(status == 201 && holds(&made, &note) && made["author"] == "admin", "{made}");
    let (_, list) = admin.get(&format!("{path}/notes")).await;
    assert_eq!(list, json!({ "notes": [made], "total": 1, "page": 1, "per_page": 50 }));

    let (status, edited) = admin.call("PUT", &path, Some(&json!({ "address": "1 Side St", "unknown": 1 }))).await;
    assert_eq!((status, &edited["address"], &edited["name"]), (200, &json!("1 Side St"), &json!("Example University")));
    assert_eq!(admin.call("DELETE", &path, None).await.0, 200);
    assert_eq!(admin.get(&path).await.0, 404);
}

#[tokio::test]
async fn contacts_and_notes_are_edited_and_removed() {
    let hub = TestHub::start().await;
    let admin = Caller::log_in(&hub, "admin").await;
    let (_, made) = admin.post(INSTITUTIONS, &university()).await;
    let path = format!("{INSTITUTIONS}/{}", made["id"]);
    let (_, john) = admin.post(&format!("{path}/contacts"), &john()).await;
    let mary = json!({ "name": "Mary", "is_primary": true });
    let (_, mary) = admin.post(&format!("{path}/contacts"), &mary).await;
    let of = |contact: &Value| format!("{path}/contacts/{}", contact["id"]);
    assert_eq!(admin.get(&of(&john)).await.1["is_primary"], false, "one at most");
    let edit = json!({ "is_primary": true, "phone": "" });
    let (status, edited) = admin.call("PUT", &of(&john), Some(&edit)).await;
    assert_eq!((status, &edited["is_primary"], &edited["phone"]), (200, &json!(true), &Value::Null));
    assert_eq!(admin.get(&of(&mary)).await.1["is_primary"], false);
    assert_eq!(admin.call("DELETE", &of(&mary), None).await.0, 200);
    assert_eq!(admin.get(&of(&mary)).await.0, 404);

    let (_, note) = admin.post(&format!("{path}/notes"), &json!({ "content": "x" })).await;
    let of_note = format!("{path}/notes/{}", note["id"]);
    let (status, edited) = admin.call("PUT", &of_note, Some(&json!({ "type": "call" }))).await;
    assert_eq!((status, &edited["type"], &edited["content"]), (200, &json!("call"), &json!("x")));
    assert_eq!(admin.call("DELETE", &of_note, None).await.0, 200);
    assert_eq!(admin.get(&of_note).await.0, 404);
    assert_eq!(admin.get(&format!("{INSTITUTIONS}/99/contacts")).await.0, 404);
}

#[tokio::test]
async fn a_lead_becomes_a_customer_and_stays() {
    let hub = TestHub::start().await;
    let admin = Caller::log_in(&hub, "admin").await;
    let (_, made) = admin.post(INSTITUTIONS, &university()).await;
    let path = format!("{INSTITUTIONS}/{}", made["id"]);
    admin.post(&format!("{path}/contacts"), &john()).await;
    let (status, customer) = admin.post(&format!("{path}/convert"), &json!({})).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&customer["name"], &customer["email"], &customer["institution_id"]),
        (&json!("Example University"), &json!("john@example.com"), &made["id"])
    );
    assert_eq!(admin.get(&path).await.1["customer_id"], customer["id"]);
    let (status, refused) = admin.call("DELETE", &path, None).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("IS_CUSTOMER")));
    assert_eq!(refused["error"]["details"], json!({ "customer": customer["id"] }));
    let (status, refused) = admin.post(&format!("{path}/convert"), &json!({})).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("ALREADY_CUSTOMER")));
    assert_eq!(admin.get(&format!("{path}/contacts")).await.1["total"], 1, "the history stays");
    assert_eq!(admin.get(&format!("/api/v1/admin/customers/{}", customer["id"])).await.0, 200);
}

#[tokio::test]
async fn a_change_is_made_only_to_the_state_that_was_seen() {
    let hub = TestHub::start().await;
    let admin = Caller::log_in(&hub, "admin").await;
    let (_, made) = admin.post(INSTITUTIONS, &university()).await;
    let path = format!("{INSTITUTIONS}/{}", made["id"]);
    let send = async |method: &str, seen: &str| {
        let request = hub.client().request(method.parse().unwrap(), hub.url(&path)).bearer_auth(&admin.token);
        let request = request.header("if-match", seen).json(&json!({ "address": seen }));
        let response = request.send().await.unwrap();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (response.status().as_u16(), tag, response.json::<Value>().await.unwrap())
    };
    let shown = hub.client().get(hub.url(&path)).bearer_auth(&admin.token).send().await.unwrap();
    assert_eq!(shown.headers()["etag"], "\"1\"");
    let (status, tag, _) = send("PUT", "\"1\"").await;
    assert_eq!((status, tag.as_deref()), (200, Some("\"2\"")));
    for late in ["\"1\"", "\"x\"", "W/\"2\""] {
        let (status, _, refused) = send("PUT", late).await;
        assert_eq!((status, &refused["error"]["code"]), (412, &json!("CHANGED")), "{late}");
    }
    assert_eq!(send("DELETE", "\"1\"").await.0, 412);
    assert_eq!(send("PUT", "*").await.0, 200);
    assert_eq!(send("DELETE", "\"3\"").await.0, 200);
}

#[tokio::test]
async fn every_fault_names_its_field() {
    let hub = TestHub::start().await;
    let admin = Caller::log_in(&hub, "admin").await;
    let (_, made) = admin.post(INSTITUTIONS, &university()).await;
    let path = format!("{INSTITUTIONS}/{}", made["id"]);
    let (contacts, notes) = (format!("{path}/contacts"), format!("{path}/notes"));
    for (path, body, field) in [
        (INSTITUTIONS, json!({ "type": "x" }), "name"),
        (INSTITUTIONS, json!({ "name": 5 }), "name"),
        (INSTITUTIONS, json!({ "name": "" }), "name"),
        (INSTITUTIONS, json!({ "name": "B", "tags": "a" }), "tags"),
        (INSTITUTIONS, json!({ "name": "B", "tags": ["a,b"] }), "tags"),
        (INSTITUTIONS, json!({ "name": "B", "metadata": [] }), "metadata"),
        (&contacts, json!({ "email": "a@b" }), "name"),
        (&contacts, json!({ "name": "x", "email": "nowhere" }), "email"),
        (&contacts, json!({ "name": "x", "is_primary": "yes" }), "is_primary"),
        (&notes, json!({ "type": "x" }), "content"),
        (&notes, json!({ "content": " " }), "content"),
    ] {
        let (status, refused) = admin.post(path, &body).await;
        assert_eq!(status, 400, "{body}: {refused}");
        let told = refused["error"]["details"]["field"].as_str().unwrap_or_default();
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(told == field || message.contains(field), "{body}: {refused}");
    }
    assert_eq!(admin.post(INSTITUTIONS, &university()).await.0, 409, "the name is taken");
    for query in ["page=0", "per_page=0", "per_page=1000000", "page=x", "page=30000&per_page=500"] {
        assert_eq!(admin.get(&format!("{INSTITUTIONS}?{query}")).await.0, 400, "{query}");
    }
    assert_eq!(admin.get(&format!("{INSTITUTIONS}/x")).await.0, 400);
    assert_eq!(admin.get(&format!("{path}/contacts/x")).await.0, 400);
}

#[tokio::test]
async fn strangers_and_those_of_one_customer_get_nothing_and_viewers_change_nothing() {
    let hub = TestHub::start().await;
    hub.site().await;
    let commands = Commands::of(&hub);
    commands.password("p", "a long password");
    commands.json("user add vera --role viewer --password-file p").await;
    commands.json("user add carl --role admin --password-file p --customer 1").await;
    let admin = Caller::log_in(&hub, "admin").await;
    let (_, made) = admin.post(INSTITUTIONS, &university()).await;
    let path = format!("{INSTITUTIONS}/{}", made["id"]);
    let viewer = Caller::log_in(&hub, "vera").await;
    assert_eq!(viewer.get(&path).await.0, 200);
    let limited = Caller::log_in(&hub, "carl").await;
    for path in [INSTITUTIONS.to_owned(), path.clone(), format!("{path}/contacts"), format!("{path}/notes")] {
        assert_eq!(limited.get(&path).await.0, 403, "{path}");
        assert_eq!(hub.get(&path).await.status(), 401, "{path}");
    }
    for (method, path) in [
        ("POST", INSTITUTIONS.to_owned()),
        ("PUT", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/convert")),
        ("POST", format!("{path}/contacts")),
        ("POST", format!("{path}/notes")),
    ] {
        for caller in [&viewer, &limited] {
            assert_eq!(caller.call(method, &path, Some(&university())).await.0, 403, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_command_line_does_the_same() {
    let hub = TestHub::start().await;
    let commands = Commands::of(&hub);
    let made = commands.json("institution add Acme --type plant --tag a --tag b --metadata {\"x\":1}").await;
    assert_eq!((&made["tags"], &made["metadata"]), (&json!(["a", "b"]), &json!({ "x": 1 })));
    let contact = commands.json("contact add --institution 1 Mary --email mary@acme.example --primary").await;
    assert_eq!(contact["is_primary"], true);
    commands.json("note add --institution 1 called --type call").await;
    assert_eq!(commands.json("institution list --search mary").await[0]["name"], "Acme");
    assert_eq!(commands.json("institution edit 1 --address here").await["address"], "here");
    let customer = commands.json("institution convert 1").await;
    assert_eq!((&customer["name"], &customer["email"]), (&json!("Acme"), &json!("mary@acme.example")));
    assert_eq!(commands.json("institution show 1").await["contacts"][0]["name"], "Mary");
    assert_eq!(commands.json("note list --institution 1").await[0]["content"], "called");
    commands.json("contact edit --institution 1 1 --primary false").await;
    commands.json("contact remove --institution 1 1").await;
    commands.json("note remove --institution 1 1").await;
    assert_eq!(commands.json("contact list --institution 1").await, json!([]));
}
