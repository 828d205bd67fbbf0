use crate::enforcement::tests::seats::{Hand, start_by};
use crate::enforcement::tests::{plain, prepare_with, sign};
use crate::http::app_routes;
use crate::http::testing::api;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use sitewarden_protocol::license::Limits;
use tower::ServiceExt;

async fn get(routes: &Router, path: &str) -> (u16, String, Vec<u8>) {
    let answer = routes.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let policy = answer.headers().get("content-security-policy");
    let policy = policy.map(|policy| policy.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status().as_u16(), policy, to_bytes(answer.into_body(), 8 << 20).await.unwrap().to_vec())
}

fn routes() -> (tempfile::TempDir, crate::enforcement::tests::Running, Router) {
    let snapshot = plain(1, Limits { monitors: None, users: None, activations: None });
    let (temporary, folder) = prepare_with(&sign(&snapshot));
    let running = start_by(&folder, &Hand::new());
    let api = api(&folder, &running);
    (temporary, running, app_routes(api))
}

#[tokio::test]
async fn the_document_has_no_fault_and_every_documented_endpoint() {
    let (_folder, _running, routes) = routes();
    let (status, _, body) = get(&routes, "/api/openapi.json").await;
    assert_eq!(status, 200);
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(sitewarden_openapi::faults(&document), [""; 0]);
    let operations = document["paths"].as_object().unwrap().iter();
    let operations: Vec<_> = operations
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    for expected in [
        "get /_config/licenses/_verify",
        "post /_config/licenses/_activate",
        "get /_config/licenses/_notification",
        "get /_config/_notification/",
        "put /_config/monitors/{monitor}",
        "delete /_config/monitors/{monitor}",
        "post /api/v1/activate",
        "post /api/v1/validate",
        "post /api/v1/heartbeat",
        "post /api/v1/deactivate",
        "get /api/v1/telemetry/config",
        "put /api/v1/telemetry/config",
        "post /api/v1/telemetry/history/{log_id}/retry",
        "post /api/v1/telemetry/webhook/license-update",
        "post /api/v1/send-telemetry-data",
        "post /api/v1/auth/login",
        "get /.well-known/sitewarden",
        "get /metrics",
        "get /api/openapi.json",
        "get /api/docs",
    ] {
        assert!(operations.iter().any(|operation| operation == expected), "{expected}: {operations:#?}");
    }
}

#[tokio::test]
async fn the_page_consists_of_what_the_agent_has() {
    let (_folder, _running, routes) = routes();
    let (status, policy, page) = get(&routes, "/api/docs").await;
    assert_eq!(status, 200);
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = String::from_utf8(page).unwrap();
    assert!(!page.contains("//"), "nothing is loaded from elsewhere: {page}");
    for part in page.split(['"']).filter_map(|part| part.strip_prefix("docs/")) {
        let (status, _, body) = get(&routes, &format!("/api/docs/{part}")).await;
        assert!(status == 200 && !body.is_empty(), "{part}");
    }
    assert_eq!(get(&routes, "/api/docs/other.js").await.0, 404);
}
