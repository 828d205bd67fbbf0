//! The HTTP face beside enrolment.

use crate::support::TestHub;
use serde_json::Value;

async fn code(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert!(body["error"]["message"].is_string(), "{body}");
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_is_not_there_or_not_taken_is_told_in_json() {
    let hub = TestHub::start().await;
    assert_eq!(code(hub.get("/nothing/here").await).await, (404, "NOT_FOUND".to_owned()));
    assert_eq!(code(hub.get("/api/v1/enroll").await).await, (405, "METHOD_NOT_ALLOWED".to_owned()));
    assert_eq!(code(hub.post("/api/v1/enroll", vec![0; 1 << 20]).await).await, (413, "TOO_LARGE".to_owned()));
    assert_eq!(code(hub.post("/api/v1/enroll", vec![0; 100]).await).await, (400, "BAD_BODY".to_owned()));
    let json = hub.client().post(hub.url("/api/v1/enroll")).header("content-type", "application/json").body("{}");
    assert_eq!(code(json.send().await.unwrap()).await, (415, "MEDIA_TYPE".to_owned()));
}

#[tokio::test]
async fn health_and_metrics_are_shown() {
    let hub = TestHub::start().await;
    assert_eq!(hub.get("/healthz").await.status(), 200);
    assert_eq!(hub.get("/readyz").await.status(), 200);
    let response = hub.get("/metrics").await;
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = response.text().await.unwrap();
    for name in ["sessions", "records_total", "batches_total", "refused_total", "ingest_seconds_bucket"] {
        assert!(text.contains(&format!("sitewarden_hub_{name}")), "{name} in {text}");
    }
}

#[tokio::test]
async fn plain_http_is_served_where_it_is_asked_for() {
    let hub = TestHub::start_with(|config| config.http = "127.0.0.1:0".parse().ok()).await;
    let url = format!("http://{}/healthz", hub.hub.http_addr().unwrap());
    assert_eq!(hub.client().get(url).send().await.unwrap().status(), 200);
    let written = std::fs::read_to_string(hub.data_dir.join("run/http.addr")).unwrap();
    assert_eq!(written, hub.hub.http_addr().unwrap().to_string());
}
