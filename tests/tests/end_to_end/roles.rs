//! Who may do what at the agent's local API: apps, operators, admins, the vendor's own people, and strangers.

use serde_json::json;
use sitewarden_protocol::snapshot::Administrator;
use sitewarden_tests::harness::{Client, Line, PASSWORD, USER, resign};
use std::collections::BTreeSet;

const OPERATOR: &str = "an operator of the tests";
const ADMIN: &str = "an admin of the tests";
/// Of the vendor's administrator, with a hash that costs other than the agent's own ones.
const VENDOR: (&str, &str, &str) = (
    "support",
    "the vendor in the tests",
    "$argon2id$v=19$m=19456,t=2,p=1$dmVuZG9yIG9mIHRlc3RzIQ$pRmrWL/vjq1HYYIvCnPLdLkdunROyaPndZC0mPiUCPo",
);

/// A line whose licence is active, with one user of each role, and one of the vendor's people.
fn line() -> (Line, String) {
    let mut line = Line::new(10).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    line.drained().unwrap();
    line.agent.add_user("operator", "operator", OPERATOR).unwrap();
    line.agent.add_user("admin", "admin", ADMIN).unwrap();
    // The site may have a user of the same name; the vendor's counts.
    line.agent.add_user(VENDOR.0, "admin", ADMIN).unwrap();
    line.agent.stop().unwrap();
    line.hub.stop().unwrap();
    let mut id = None;
    resign(&line.agent, |snapshot| {
        snapshot.administrators = vec![Administrator { name: VENDOR.0.into(), password: VENDOR.2.into() }];
        id = snapshot.licenses.first().map(|license| license.id.to_string());
    })
    .unwrap();
    line.agent.start().unwrap();
    (line, id.unwrap())
}

#[test]
fn each_role_may_do_its_own_and_401_is_the_only_word_for_the_rest() {
    let (line, id) = line();
    let client = |user: &str, password: &str| line.agent.client().unwrap().basic(user, password);
    let mut roles: [Client; 5] = [
        client(USER, PASSWORD),
        client("operator", OPERATOR),
        client("admin", ADMIN),
        client(VENDOR.0, VENDOR.1),
        client(VENDOR.0, ADMIN),
    ];
    let event = r#"{"app": "EMS", "kind": "run"}"#;
    let key = json!({"license_key": line.key}).to_string();
    let bulk = r#"{"app": "EMS", "monitors": ["m2"]}"#;
    let license = format!("/_config/licenses/{id}");
    // What an app, an operator, an admin and one of the vendor's get; the last caller is a stranger everywhere.
    let table: [(&str, &str, Option<&str>, [u16; 4]); 13] = [
        ("GET", "/_config/licenses/_verify?app=EMS", None, [200; 4]),
        ("GET", "/_config/licenses/_verify?app=LM", None, [200; 4]),
        ("PUT", "/_config/monitors/m1?app=EMS", None, [200; 4]),
        ("GET", "/_config/monitors/_list?app=EMS", None, [200; 4]),
        ("DELETE", "/_config/monitors/m1?app=EMS", None, [200; 4]),
        ("POST", "/_config/monitors/_bulk", Some(bulk), [200; 4]),
        ("POST", "/api/v1/telemetry/events", Some(event), [202; 4]),
        ("GET", "/_config/licenses/_notification", None, [200, 200, 200, 403]),
        ("GET", "/_config/licenses/_notification?app=EMS", None, [200, 200, 200, 403]),
        ("GET", &license, None, [401, 200, 200, 200]),
        ("GET", "/_config/licenses/_explain?app=EMS", None, [401, 200, 200, 200]),
        // It is activated already, which only who may activate is told.
        ("POST", "/_config/licenses/_activate", Some(&key), [401, 400, 400, 400]),
        ("GET", "/_config/licenses/_list", None, [401, 400, 400, 400]),
    ];
    for (method, path, body, expected) in table {
        for (client, expected) in roles.iter_mut().zip(expected.into_iter().chain([401])) {
            let answer = client.request(method, path, body.map(str::as_bytes)).unwrap();
            // A stranger who comes back too often is told to wait, which is no more than to be refused.
            let refused = expected == 401 && answer.status == 429;
            assert!(answer.status == expected || refused, "{method} {path}: {} {}", answer.status, answer.text());
            if answer.status == 401 {
                let told = answer.json();
                let told = if path.starts_with("/_config") { &told["error"]["message"] } else { &told["detail"] };
                assert_eq!(told, "Unauthorised", "{method} {path}");
            }
        }
    }
}

/// What nobody is asked for a name at: it is about nobody, is what one logs in by, or has a key or a signature in its body.
const PUBLIC: [&str; 14] = [
    "GET /.well-known/sitewarden",
    "GET /api/docs",
    "GET /api/docs/{file}",
    "GET /api/openapi.json",
    "GET /healthz",
    "GET /metrics",
    "GET /readyz",
    "POST /api/v1/activate",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/deactivate",
    "POST /api/v1/heartbeat",
    "POST /api/v1/telemetry/webhook/license-update",
    "POST /api/v1/validate",
];

#[test]
fn without_a_credential_nothing_that_is_guarded_answers() {
    let line = Line::new(1).unwrap();
    let mut stranger = line.agent.client().unwrap();
    let document = stranger.get("/api/openapi.json").unwrap().json();
    let mut open = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
        let url = parts.collect::<Vec<_>>().join("/");
        for (method, operation) in operations.as_object().unwrap() {
            let name = format!("{} {path}", method.to_uppercase());
            let guarded = operation["security"].as_array().is_some_and(|ways| !ways.is_empty());
            let answer = stranger.request(&method.to_uppercase(), &url, Some(b"{}")).unwrap();
            // A body without the signature is refused in the same way.
            let asked = guarded || path.ends_with("/webhook/license-update");
            assert_eq!(answer.status == 401, asked, "{name}: {} {}", answer.status, answer.text());
            if !guarded {
                open.insert(name);
            }
        }
    }
    assert_eq!(open, PUBLIC.map(str::to_owned).into(), "what is open is open on purpose");
}

#[test]
fn the_vendors_people_are_told_that_they_are_and_a_sites_own_admin_never_is() {
    let (line, _) = line();
    let client = |user: &str, password: &str| line.agent.client().unwrap().basic(user, password);
    let (mut vendor, mut admin) = (client(VENDOR.0, VENDOR.1), client("admin", ADMIN));
    for app in ["EMS", "CBM", "LM"] {
        let answer = vendor.get(&format!("/_config/licenses/_verify?app={app}")).unwrap();
        assert_eq!((answer.status, answer.json()), (200, json!("Admin user")), "{app}");
    }
    assert_eq!(vendor.get("/_config/licenses/_verify").unwrap().json()["error"]["message"], "App not given");
    for (app, status) in [("EMS", 200), ("CBM", 401), ("LM", 200)] {
        let answer = admin.get(&format!("/_config/licenses/_verify?app={app}")).unwrap();
        assert_eq!(answer.status, status, "{app}");
        assert_ne!(answer.json(), json!("Admin user"), "{app}");
    }
    let told = vendor.get("/_config/licenses/_notification").unwrap();
    assert_eq!(told.json(), json!({"error": {"status": 403, "message": "Admin user"}}));
    let place = format!("/_config/licenses/_notification?site_id={}", line.site);
    assert_eq!(vendor.get(&place).unwrap().json()["notification"], json!([]));
}
