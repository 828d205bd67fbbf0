//! The audit log, from the command line and over HTTPS.

use crate::auth::{call, log_in, text};
use crate::command::Commands;
use crate::support::TestHub;
use serde_json::{Value, json};

#[tokio::test]
async fn who_did_what_from_where_is_listed_exported_and_verified() {
    let hub = TestHub::start().await;
    let commands = Commands::of(&hub);
    commands.json("customer add Acme").await;
    let (_, tokens) = log_in(&hub, "admin", "a long password").await;
    let admin = text(&tokens["access_token"]);
    let key = json!({ "purpose": "api", "role": "admin", "name": "sync" });
    let (_, made) = call(&hub, "POST", "/api/v1/admin/api-keys", admin, key).await;
    let edit = json!({ "name": "Acme Water" });
    assert_eq!(call(&hub, "PATCH", "/api/v1/admin/customers/1", text(&made["key"]), edit).await.0, 200);

    let (_, list) = call(&hub, "GET", "/api/v1/admin/audit?subject=customer%201", admin, json!({})).await;
    let rows = list["items"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{list}");
    assert_eq!(
        (&rows[0]["action"], &rows[0]["actor"], &rows[0]["by"]),
        (&json!("customer.edit"), &json!("api_key"), &json!("api key 1 (sync)"))
    );
    assert_eq!((&rows[0]["before"]["name"], &rows[0]["after"]["name"]), (&json!("Acme"), &json!("Acme Water")));
    assert_eq!(rows[0]["address"], json!("127.0.0.1"));
    assert_eq!((&rows[1]["actor"], &rows[1]["address"]), (&json!("local"), &Value::Null));

    let all = commands.json("audit list --limit 1000").await;
    let export = hub.client().get(hub.url("/api/v1/admin/audit/export")).bearer_auth(admin).send().await.unwrap();
    assert_eq!(export.headers()["content-type"], "application/jsonl");
    let lines: Vec<Value> =
        export.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut newest_first = lines.clone();
    newest_first.reverse();
    assert_eq!(json!(newest_first), all);
    let check = commands.json("audit verify").await;
    assert_eq!((&check["rows"], &check["broken"]), (&json!(lines.len()), &Value::Null));
    assert_eq!(check["head"], all[0]["hash"]);
    for (asked, status) in
        [("actor=nobody", 400), ("from=yesterday", 400), ("colour=red", 400), ("by=admin&limit=1", 200)]
    {
        let (answered, body) = call(&hub, "GET", &format!("/api/v1/admin/audit?{asked}"), admin, json!({})).await;
        assert_eq!(answered, status, "{asked}: {body}");
    }
}
