//! What the operator is told about an app: now, and on a day to come.

use super::support::{DAY, NOW, Site, license, snapshot};
use sitewarden_protocol::license::{Rule, Rung, Status};
use sitewarden_protocol::record::Body;

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_a_licence_is_told_in_words_with_its_dates() {
    let mut expired = license("OLD", 3);
    (expired.status, expired.expires_at) = (Status::Expired, Some(NOW));
    let mut ending = license("END", 3);
    (ending.expires_at, ending.policy.expiry) = (Some(NOW), Rule { grace_days: 14, then: Rung::Block });
    let mut waiting = license("NEW", 3);
    (waiting.status, waiting.activated_at, waiting.expires_at) = (Status::Inactive, None, None);
    let mut site = Site::new(&snapshot(vec![license("EMS", 2), expired, ending, waiting]));
    site.start().await;
    for (app, first, why) in [
        ("EMS", "EMS may be used.", "the license EMS 2027 is active, until 2028-01-15T08:00:00Z (since 2027-01-15"),
        ("OLD", "OLD may not be used.", "expired on 2027-01-15T08:00:00Z; renew it with your vendor\n"),
        ("END", "END may be used, with a warning.", "Next:      2027-01-29T08:00:00Z: END may not be used"),
        ("NEW", "NEW may not be used.", "is not activated; activate it with its key"),
        ("XYZ", "XYZ may not be used.", "This site has licenses for: EMS, END, NEW, OLD."),
        ("LM", "LM may be used.", "license management needs no license"),
    ] {
        let said = site.say(&["explain", app]).await;
        assert_eq!(said.code, Some(0), "{}", said.error);
        assert!(said.text.starts_with(first) && said.text.contains(why), "{}", said.text);
    }
    let told = site.json(&["explain", "EMS"]).await;
    assert_eq!((&told["verdict"], &told["at"]), (&"allowed".into(), &"2027-01-15T08:00:00Z".into()), "{told}");
    assert_eq!(told["changes"][0]["at"], "2028-01-15T08:00:00Z");
    let status = site.say(&["status"]).await.text;
    assert!(status.contains("OLD (OLD 2027): the license OLD 2027 for OLD expired on 2027-01-15"), "{status}");
    assert!(!status.contains("EMS (EMS 2027):"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_on_a_day_to_come_is_told_and_bad_dates_are_refused() {
    let mut stale = snapshot(vec![license("EMS", 2)]);
    stale.fresh_until = NOW.after(DAY * 10);
    let mut site = Site::new(&stale);
    site.start().await;
    for (at, verdict) in
        [("2027-01-20", "allowed"), ("2027-01-26", "warned"), ("2027-03-01", "no_new"), ("2028-02-01", "denied")]
    {
        assert_eq!(site.json(&["explain", "EMS", "--at", at]).await["verdict"], verdict, "{at}");
    }
    let said = site.say(&["explain", "EMS", "--at", "2027-03-01T00:00:00Z"]).await;
    assert!(said.text.starts_with("At 2027-03-01T00:00:00Z, if nothing else happens until then: EMS may"));
    for (at, words) in [("tomorrow", "tomorrow is no date"), ("2027-01-14", "is over")] {
        let said = site.say(&["explain", "EMS", "--at", at]).await;
        assert_eq!(said.code, Some(2), "{at}: {}", said.error);
        assert!(said.error.contains(words), "{}", said.error);
    }
    site.clocks.pass(DAY * 41);
    let said = site.say(&["explain", "EMS"]).await.text;
    assert!(said.starts_with("EMS may be used, but nothing new may start."), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_below_what_runs_stops_nothing_and_is_told() {
    let mut site = Site::new(&snapshot(vec![license("EMS", 2)]));
    site.start().await;
    for monitor in ["a", "b"] {
        site.json(&["monitors", "add", monitor, "--app", "EMS"]).await;
    }
    let full = site.say(&["explain", "EMS"]).await.text;
    assert!(full.contains("2 of 2 in use; no new ones may be reserved"), "{full}");
    site.stop().await;
    site.replace(&snapshot(vec![license("EMS", 1)]));
    site.start().await;
    let over = site.say(&["explain", "EMS"]).await.text;
    assert!(over.starts_with("EMS may be used, but nothing new may start."), "{over}");
    assert!(over.contains("2 monitors run under the license EMS 2027, whose quota is 1"), "{over}");
    let status = site.say(&["status"]).await.text;
    assert!(status.contains("EMS (EMS 2027): 2 monitors run"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn technicians_are_told_over_http_and_apps_are_not() {
    let mut site = Site::new(&snapshot(vec![license("EMS", 2)]));
    site.start().await;
    for (name, role) in [("tess", "operator"), ("ems", "app")] {
        site.add_user(name, role).await;
    }
    let told = site.get("tess", "/_config/licenses/_explain?app=EMS&at=2028-02-01").await;
    assert_eq!((told.0, &told.1["verdict"], &told.1["at"]), (200, &"denied".into(), &"2028-02-01T00:00:00Z".into()));
    assert_eq!(told.1["reasons"][0]["since"], "2028-01-15T08:00:00Z");
    for (user, query, status, words) in [
        ("ems", "?app=EMS", 401, "Unauthorised"),
        ("tess", "?app=", 400, "App not given"),
        ("tess", "?app=EMS&at=soon", 400, "at: soon is no date; write a day such as 2027-03-01"),
        ("tess", "?app=EMS&at=2020-01-01", 400, "at: 2020-01-01T00:00:00Z is over"),
    ] {
        let (code, answer) = site.get(user, &format!("/_config/licenses/_explain{query}")).await;
        assert_eq!(code, status, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().starts_with(words), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_verify_is_counted_by_app_and_recorded_before_a_clean_stop() {
    let mut site = Site::new(&snapshot(vec![]));
    site.start().await;
    site.add_user("ems", "app").await;
    for _ in 0..5 {
        assert_eq!(site.get("ems", "/_config/licenses/_verify?app=EMS").await.0, 401);
    }
    let metrics = site.metrics().await;
    assert!(metrics.contains("sitewarden_agent_denials_total{app=\"EMS\"} 5"), "{metrics}");
    assert!(metrics.contains("sitewarden_agent_override_active 0"), "{metrics}");
    assert!(metrics.contains("sitewarden_agent_clock_offset_seconds 0"), "{metrics}");
    site.stop().await;
    let denied = |body| match body {
        Body::Denials(denials) => Some((denials.app, denials.user, denials.action, denials.count)),
        _ => None,
    };
    let denials: Vec<_> = site.records().into_iter().filter_map(denied).collect();
    let of = |count| ("EMS".to_owned(), "ems".to_owned(), "verify".to_owned(), count);
    assert_eq!(denials, [of(1), of(4)]);
}
