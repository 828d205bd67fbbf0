//! How much one may ask of the API.

use crate::auth::{call, log_in, text};
use crate::support::TestHub;
use reqwest::header::HeaderMap;
use serde_json::json;

fn number(headers: &HeaderMap, name: &str) -> u64 {
    headers[name].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_address_may_ask_so_often_and_is_told_how_it_stands() {
    let hub = TestHub::start_with(|config| config.changeable.limits.public = 3).await;
    let refresh = async || {
        let request = hub.client().post(hub.url("/api/v1/auth/refresh")).json(&json!({ "refresh_token": "x" }));
        request.send().await.unwrap()
    };
    for remaining in [2, 1, 0] {
        let answer = refresh().await;
        assert_eq!(answer.status(), 401);
        let (limit, left) =
            (number(answer.headers(), "ratelimit-limit"), number(answer.headers(), "ratelimit-remaining"));
        // A slow machine has one more again.
        assert!(limit == 3 && (remaining..=2).contains(&left), "{limit} {left}");
    }
    let mut refused = refresh().await;
    while refused.status() == 401 {
        refused = refresh().await;
    }
    assert_eq!(refused.status(), 429);
    let headers = refused.headers().clone();
    assert!((1..=20).contains(&number(&headers, "retry-after")) && number(&headers, "ratelimit-reset") <= 60);
    let body: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], json!("RATE_LIMITED"));
    assert_eq!(hub.get("/healthz").await.status(), 200, "what is not of the API is not counted");
}

#[tokio::test]
async fn a_token_may_ask_so_often_and_no_other_is_held_up_by_it() {
    let hub = TestHub::start_with(|config| config.changeable.limits.admin = 2).await;
    let (_, tokens) = log_in(&hub, "admin", "a long password").await;
    let (_, others) = log_in(&hub, "admin", "a long password").await;
    let me = async |token| call(&hub, "GET", "/api/v1/auth/me", text(token), json!({})).await;
    let mut asked = 0;
    while me(&tokens["access_token"]).await.0 == 200 {
        asked += 1;
        assert!(asked < 100);
    }
    assert!(asked >= 2);
    assert_eq!(me(&others["access_token"]).await.0, 200);
}

#[tokio::test]
async fn a_client_behind_a_proxy_is_counted_by_itself_only_if_a_setting_says_so() {
    for (header, told) in [("x-forwarded-for", true), ("", false)] {
        let hub = TestHub::start_with(|config| {
            config.changeable.limits.public = 1;
            config.api.client_address_header =
                Some(header).filter(|name| !name.is_empty()).map(|name| name.parse().unwrap());
        })
        .await;
        let mut statuses = Vec::new();
        for client in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
            let request = hub.client().post(hub.url("/api/v1/auth/refresh")).json(&json!({ "refresh_token": "x" }));
            let answer = request.header("x-forwarded-for", format!("198.51.100.1, {client}")).send().await.unwrap();
            statuses.push(answer.status().as_u16());
        }
        assert_eq!(statuses, if told { [401; 3] } else { [401, 429, 429] }, "{header}");
    }
}
