//! The hub's OpenAPI document and its page.

use crate::support::TestHub;
use serde_json::Value;

#[tokio::test]
async fn the_document_has_no_fault_and_every_documented_endpoint() {
    let hub = TestHub::start().await;
    let response = hub.get("/api/openapi.json").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let document: Value = response.json().await.unwrap();
    assert_eq!(sitewarden_openapi::faults(&document), [""; 0]);
    for (path, methods) in [
        ("/_config/licenses", "post"),
        ("/_config/licenses/{id}", "get put"),
        ("/_config/licenses/_list", "get post"),
        ("/_config/licenses/_activate", "post"),
        ("/_config/licenses/_notification", "get"),
        ("/_config/_notification/", "get"),
        ("/_config/licenses/_verify", "get"),
        ("/_config/licenses/_explain", "get"),
        ("/_config/monitors/_list", "get"),
        ("/api/v1/send-telemetry-data", "post"),
        ("/api/v1/telemetry/records", "get"),
        ("/api/v1/telemetry/export", "get"),
        ("/api/v1/enroll", "post"),
        ("/.well-known/sitewarden", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
        ("/api/openapi.json", "get"),
        ("/api/docs", "get"),
        ("/api/docs/{file}", "get"),
    ] {
        for method in methods.split(' ') {
            assert!(!document["paths"][path][method].is_null(), "{method} {path} is not in the document");
        }
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let hub = TestHub::start().await;
    let page = hub.get("/api/docs").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for rule in ["default-src 'none'", "script-src 'self'", "connect-src 'self'"] {
        assert!(policy.split("; ").any(|one| one == rule), "{policy}");
    }
    let page = page.text().await.unwrap();
    let parts: Vec<_> = page.split('"').filter(|part| part.starts_with("docs/")).collect();
    assert_eq!(parts.len(), 3, "{page}");
    for part in parts {
        let response = hub.get(&format!("/api/{part}")).await;
        assert_eq!(response.status(), 200, "{part}");
        assert!(response.bytes().await.unwrap().len() > 50, "{part}");
    }
    assert!(!page.contains("://"), "{page}");
}
