//! The plant licence API on the agent: a key typed at the plant, and what is told about it, as documented.

use sitewarden_tests::harness::{Client, Line, Response};

const ACTIVATE: &str = "/_config/licenses/_activate";
const OPERATOR: (&str, &str) = ("operator", "an operator of the tests");

fn technician(line: &Line) -> Client {
    line.agent.add_user(OPERATOR.0, "operator", OPERATOR.1).unwrap();
    line.agent.client().unwrap().basic(OPERATOR.0, OPERATOR.1)
}

fn message(answer: &Response) -> String {
    answer.json()["error"]["message"].as_str().map(str::to_owned).unwrap_or_else(|| panic!("{}", answer.text()))
}

#[test]
fn a_key_is_activated_once_and_every_refusal_has_its_documented_words() {
    let line = Line::new(3).unwrap();
    let mut technician = technician(&line);
    for (body, status, words) in [
        ("", 400, "Insufficient inputs"),
        ("{}", 400, "Insufficient inputs"),
        (r#"{"license_key": 5}"#, 400, "Invalid input data type"),
        ("not json", 400, "Invalid input data type"),
        (r#"{"license_key": " "}"#, 400, "Invalid license data:Required fields cannot be empty"),
        (r#"{"license_key": "nothing"}"#, 400, "License does not exist"),
    ] {
        let answer = technician.post(ACTIVATE, body.as_bytes()).unwrap();
        assert_eq!((answer.status, message(&answer).as_str()), (status, words), "{body}");
    }
    let body = serde_json::json!({"license_key": line.key}).to_string();
    let app = line.app().unwrap().post(ACTIVATE, body.as_bytes()).unwrap();
    assert_eq!((app.status, message(&app).as_str()), (401, "Unauthorised"));
    let activated = technician.post(ACTIVATE, body.as_bytes()).unwrap();
    assert_eq!((activated.status, activated.json()), (200, "License activated successfully".into()));
    let again = technician.post(ACTIVATE, body.as_bytes()).unwrap();
    assert_eq!((again.status, message(&again).as_str()), (400, "License either in-use/expired/revoked"));
}

#[test]
fn a_second_licence_asks_first_and_then_takes_the_place_of_the_first() {
    let line = Line::new(3).unwrap();
    let mut technician = technician(&line);
    let issue =
        ["license", "issue", "--site", &line.site, "--app", "EMS", "--quota", "1", "--validity", "2y", "--name", "L2"];
    let second = line.hub.command(&issue).unwrap().json().unwrap()["key"].as_str().unwrap().to_owned();
    let body = |key: &str, deactivate: Option<&str>| {
        serde_json::json!({"license_key": key, "deactivate": deactivate}).to_string().into_bytes()
    };
    assert_eq!(technician.post(ACTIVATE, &body(&line.key, None)).unwrap().status, 200);
    sitewarden_tests::harness::until(std::time::Duration::from_secs(20), "the second licence", || {
        let answer = technician.post(ACTIVATE, &body(&second, None))?;
        Ok((answer.status == 202).then_some(()))
    })
    .unwrap();
    let asked = technician.post(ACTIVATE, &body(&second, None)).unwrap().json();
    let question = &asked["error"]["message"];
    assert_eq!((&question["app_name"], &question["current_license"]["name"]), (&"EMS".into(), &"L1".into()), "{asked}");
    assert_eq!((&question["new_license"]["name"], &question["new_license"]["quota"]), (&"L2".into(), &1.into()));
    assert_eq!(question["new_license"]["expiry_date"].as_str().map(str::len), Some("18/03/2026".len()));
    for monitor in ["a", "b"] {
        assert_eq!(line.app().unwrap().put(&format!("/_config/monitors/{monitor}?app=EMS")).unwrap().status, 200);
    }
    let small = technician.post(ACTIVATE, &body(&second, Some("yes"))).unwrap();
    let words = "Unable to activate the license as the current monitor count (2) exceeds the permitted count (1)";
    assert_eq!((small.status, message(&small).as_str()), (409, words));
    line.agent.command(&["monitors", "remove", "b", "--app", "EMS"]).unwrap();
    assert_eq!(technician.post(ACTIVATE, &body(&second, Some("yes"))).unwrap().status, 200);
    assert_eq!(line.app().unwrap().put("/_config/monitors/c?app=EMS").unwrap().status, 409);
}

#[test]
fn what_ends_soon_is_told_also_without_a_hub() {
    let mut line = Line::new(3).unwrap();
    let issue =
        ["license", "issue", "--site", &line.site, "--app", "CBM", "--quota", "1", "--validity", "5d", "--name", "L2"];
    let key = line.hub.command(&issue).unwrap().json().unwrap()["key"].as_str().unwrap().to_owned();
    let mut technician = technician(&line);
    assert_eq!(technician.get("/_config/_notification/").unwrap().json(), serde_json::json!({"notification": ""}));
    sitewarden_tests::harness::until(std::time::Duration::from_secs(20), "the licence", || {
        let body = serde_json::json!({"license_key": key}).to_string();
        Ok((technician.post(ACTIVATE, body.as_bytes())?.status == 200).then_some(()))
    })
    .unwrap();
    line.hub.stop().unwrap();
    let brief = technician.get("/_config/licenses/_notification").unwrap().json();
    assert_eq!(brief["notification"], "The CBM license for North plant is about to expire");
    let told = technician.get("/_config/licenses/_notification?app=LM").unwrap().json();
    let text = told["notification"][0].as_str().unwrap();
    assert!(text.starts_with("The CBM license is about to expire on "), "{told}");
    assert_eq!((&told["app"], told["notification"].as_array().map(Vec::len)), (&"LM".into(), Some(1)));
    let other = technician.get("/_config/licenses/_notification?app=EMS").unwrap().json();
    assert_eq!(other["notification"], serde_json::json!([]));
}
