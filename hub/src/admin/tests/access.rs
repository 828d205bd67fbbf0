//! Every route of the API × every role × no credential × a credential that is limited to a customer.

use super::Api;
use crate::admin::routes;
use crate::http::api::Needs;
use crate::store::{Act, NewApiKey, Purpose, Role};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use tower::ServiceExt;

/// A path with something in place of its parameters: what exists and what does not is not the question here.
fn filled(path: &str) -> String {
    path.replace("{id}", "999").replace("{code}", "EMS").replace("{name}", "admin").replace("{key}", "notice_days")
}

async fn status(api: &Api, method: &Method, path: &str, key: Option<&str>) -> StatusCode {
    let mut request = Request::builder().method(method).uri(filled(path)).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = request.body(Body::from("{}")).unwrap();
    api.https.clone().oneshot(request).await.unwrap().status()
}

async fn key(api: &Api, role: Role, customer: Option<i64>) -> String {
    let new = NewApiKey { name: "k".into(), purpose: Purpose::Api, role, customer, site: None, expires_at: None };
    let act = Act::local(crate::wall_clock());
    api.access.store().add_api_key(&act, new).await.unwrap().0.to_string()
}

#[tokio::test]
async fn nobody_gets_past_what_a_route_needs() {
    let api = Api::new().await;
    api.made("customers", serde_json::json!({ "name": "Acme" })).await;
    let mut callers = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        for customer in [None, Some(1)] {
            callers.push((role, customer, key(&api, role, customer).await));
        }
    }
    let (_, listed) = routes(&api.access).into_parts();
    assert!(listed.len() > 40, "{}", listed.len());
    for route in &listed {
        let path = &route.path;
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        let stranger = status(&api, &route.method, path, None).await;
        let Some(needs) = route.needs else {
            assert!(!refused.contains(&stranger), "{} {path}: {stranger}", route.method);
            continue;
        };
        assert_eq!(stranger, StatusCode::UNAUTHORIZED, "{} {path} without a credential", route.method);
        let wrong = status(&api, &route.method, path, Some("swa_AAAA")).await;
        assert_eq!(wrong, StatusCode::UNAUTHORIZED, "{} {path} with a wrong key", route.method);
        for (role, customer, key) in &callers {
            let answer = status(&api, &route.method, path, Some(key)).await;
            let told = format!("{} {path} as {role:?} of {customer:?}: {answer}", route.method);
            if needs.met_by(*role, customer.is_none()) {
                assert!(!refused.contains(&answer), "{told}");
                assert!(!answer.is_server_error(), "{told}");
            } else {
                assert_eq!(answer, StatusCode::FORBIDDEN, "{told}");
            }
        }
    }
}

#[tokio::test]
async fn what_changes_the_hub_is_for_its_administrators() {
    let api = Api::new().await;
    let (_, listed) = routes(&api.access).into_parts();
    for route in listed.iter().filter(|route| route.method != Method::GET && route.path.contains("/admin/")) {
        let needs = route.needs.unwrap();
        assert!(!needs.met_by(Role::Viewer, true), "{} {} is open to those who look", route.method, route.path);
    }
    assert!(Needs::LOOK.met_by(Role::Viewer, false) && !Needs::SURVEY.met_by(Role::Viewer, false));
    assert!(Needs::OPERATE.met_by(Role::Operator, false) && !Needs::ADMINISTER.met_by(Role::Operator, true));
}

#[tokio::test]
async fn every_route_is_described_and_every_description_has_a_route() {
    let api = Api::new().await;
    let (_, listed) = routes(&api.access).into_parts();
    let mut served: Vec<_> = listed.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let mut described: Vec<_> =
        super::super::described::entries().map(|(method, path)| format!("{method} {path}")).collect();
    served.sort();
    described.sort();
    assert_eq!(described, served, "see CONTRIBUTING.md, \"To add an endpoint\"");
}
