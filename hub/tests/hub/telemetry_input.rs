//! What may be wrong in a question about telemetry, and beyond: each gets its answer, none of them a 500.

use crate::plant_world::World;
use serde_json::json;

#[tokio::test]
async fn a_question_that_cannot_be_is_refused_by_the_name_of_what_is_wrong_with_it() {
    let world = World::new().await;
    let long = format!("records?from={}", "9".repeat(5_000));
    for (path, field) in [
        // Dates: no such day, no such year, no zone, no date, numbers, emptiness.
        ("records?from=2026-13-45T00:00:00Z", "from"),
        ("records?from=2025-02-29T00:00:00Z", "from"),
        ("records?from=999999-01-01T00:00:00Z", "from"),
        ("records?from=2026-01-01T00:00:00", "from"),
        ("records?to=2026-01-01", "to"),
        ("records?to=1769846400000", "to"),
        ("records?to=", "to"),
        ("records?to=2026-01-01T25:61:61Z", "to"),
        ("series?group=g&from=NaN", "from"),
        ("series?group=g&to=%F0%9F%98%80", "to"),
        (long.as_str(), "from"),
        // Numbers: none, endless, below nothing, past the end of numbers.
        ("records?limit=NaN", "query"),
        ("records?limit=-1", "query"),
        ("records?limit=1e3", "query"),
        ("records?limit=99999999999999999999999999", "query"),
        ("records?customer=1.5", "query"),
        ("records?customer=9223372036854775808", "query"),
        ("records?kind=70000", "kind"),
        ("records?kind=-1", "kind"),
        ("records?flagged=perhaps", "query"),
        // Names, and what is none.
        ("records?site=00000000-0000-0000-0000-00000000000", "query"),
        ("records?plant=%00", "query"),
        ("series?group=g&group=h", "query"),
        ("series?group=g&granularity=", "query"),
        ("series?group=g&granularity=DAY", "query"),
        // Cursors that this hub never gave out.
        ("records?cursor=m.1", "cursor"),
        ("records?cursor=r.1.2.3", "cursor"),
        ("records?cursor=m.99999999999999999999.1", "cursor"),
        ("records?cursor=%F0%9F%98%80", "cursor"),
        ("export?format=CSV", "format"),
        ("export?format=csv&cursor=m.1.1", "cursor"),
    ] {
        let (status, answer) = world.get(&format!("/api/v1/telemetry/{path}")).await;
        assert_eq!((status, &answer["error"]["details"]["field"]), (400, &json!(field)), "{path}: {answer}");
        assert!(answer["error"]["message"].is_string() && answer["error"]["code"] == "INVALID", "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_question_about_what_is_not_there_has_an_empty_answer() {
    let world = World::new().await;
    for path in [
        "records?from=9999-12-31T23:59:59Z",
        "records?to=0001-01-01T00:00:00Z",
        "records?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "records?customer=-1",
        "records?customer=9223372036854775807",
        "records?site=00000000-0000-0000-0000-000000000000",
        "records?kind=65535",
        "records?group=%F0%9F%98%80%00%27%3B--",
        "records?app=%22%25_",
        "records?cursor=m.-9223372036854775808.-9223372036854775808",
        "records?cursor=r.9223372036854775807.9223372036854775807.9223372036854775807.9223372036854775807",
    ] {
        let (status, answer) = world.get(&format!("/api/v1/telemetry/{path}")).await;
        assert_eq!((status, &answer), (200, &json!({ "items": [], "next": null })), "{path}");
    }
    for group in ["", "%F0%9F%98%80", "%00", "%FF%FE", &"x".repeat(2_000)] {
        let (status, answer) = world.get(&format!("/api/v1/telemetry/series?group={group}")).await;
        assert_eq!((status, &answer["points"]), (200, &json!([])), "{group}");
    }
}
