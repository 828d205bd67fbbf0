//! Licences as the agent shows them: the documented fields and words, its own site only, and never a key.

use serde_json::{Value, json};
use sitewarden_tests::harness::{Client, Line, until};
use std::time::Duration;

const LICENSES: &str = "/_config/licenses";
const OPERATOR: (&str, &str) = ("operator", "an operator of the tests");

fn technician(line: &Line) -> Client {
    line.agent.add_user(OPERATOR.0, "operator", OPERATOR.1).unwrap();
    line.agent.client().unwrap().basic(OPERATOR.0, OPERATOR.1)
}

fn plant(line: &Line) -> String {
    let sites = line.hub.command(&["site", "list"]).unwrap().list().unwrap();
    sites[0]["plant"].as_str().unwrap_or_else(|| panic!("{sites:?}")).to_owned()
}

fn ask(client: &mut Client, method: &str, path: &str) -> (u16, Value) {
    let answer = client.request(method, path, None).unwrap();
    (answer.status, answer.json())
}

fn error(status: u16, message: &str) -> (u16, Value) {
    (status, json!({"error": {"status": status, "message": message}}))
}

#[test]
fn a_licence_is_shown_with_every_documented_field_and_a_hint_of_its_key() {
    let line = Line::new(3).unwrap();
    let mut technician = technician(&line);
    let list = format!("{LICENSES}/_list?site_id={}&plant_id={}", line.site, plant(&line));
    let (status, listed) = ask(&mut technician, "GET", &list);
    assert_eq!((status, listed.as_array().map(Vec::len)), (200, Some(1)), "{listed}");
    let path = format!("{LICENSES}/{}", listed[0]["license_id"].as_str().unwrap());
    let (status, fresh) = ask(&mut technician, "GET", &path);
    assert_eq!((status, &fresh), (200, &listed[0]));
    let hint = fresh["license_key"].as_str().unwrap();
    assert!(hint.chars().count() <= 5 && !hint.contains(&line.key), "{hint} is more than a hint");
    let expected = json!({
        "license_id": fresh["license_id"], "license_key": hint, "license_name": "L1", "plant_id": plant(&line),
        "site_id": line.site, "created_at": fresh["created_at"], "activated_at": null, "license_validity": "1y",
        "expiry_date": null, "app": "EMS", "license_quota": 3, "status": "Inactive", "license_description": "",
        "latest": false, "site_name": "Line 1", "plant_name": "North", "license_used": 0,
    });
    assert_eq!(fresh, expected);
    assert!((1_700_000_000..20_000_000_000).contains(&fresh["created_at"].as_i64().unwrap()), "{fresh}");

    line.agent.command(&["activate", &line.key]).unwrap();
    assert_eq!(line.app().unwrap().put("/_config/monitors/m1?app=EMS").unwrap().status, 200);
    let (_, active) = ask(&mut technician, "GET", &path);
    assert_eq!(
        (&active["status"], &active["latest"], &active["license_used"]),
        (&json!("Active"), &json!(true), &json!(1))
    );
    assert!(active["expiry_date"].as_i64().unwrap() - active["activated_at"].as_i64().unwrap() >= 365 * 86_400);
    assert_eq!(ask(&mut technician, "POST", &list).1[0], active, "curl sends a POST with the document's own line");
}

#[test]
fn the_newest_activated_licence_of_an_app_is_the_latest_and_only_it_counts_what_runs() {
    let line = Line::new(3).unwrap();
    let mut technician = technician(&line);
    line.agent.command(&["activate", &line.key]).unwrap();
    assert_eq!(line.app().unwrap().put("/_config/monitors/m1?app=EMS").unwrap().status, 200);
    let issue =
        ["license", "issue", "--site", &line.site, "--app", "EMS", "--quota", "5", "--validity", "2y", "--name", "L2"];
    let second = line.hub.command(&issue).unwrap().json().unwrap()["key"].as_str().unwrap().to_owned();
    until(Duration::from_secs(20), "the second licence", || {
        Ok((line.agent.try_command(&["activate", &second, "--replace"])?.code == Some(0)).then_some(()))
    })
    .unwrap();
    let list = format!("{LICENSES}/_list?site_id={}&plant_id={}", line.site, plant(&line));
    let (_, listed) = ask(&mut technician, "GET", &list);
    let told: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["license_name"], one["status"], one["latest"], one["license_used"]]))
        .collect();
    assert_eq!(told, [json!(["L1", "Deactivated", false, 0]), json!(["L2", "Active", true, 1])]);
}

#[test]
fn every_fault_has_its_documented_words_and_401_comes_first() {
    let line = Line::new(3).unwrap();
    let mut technician = technician(&line);
    let plant = plant(&line);
    let no_place = error(400, "Plant id or Site id not found");
    let insufficient = error(400, "Insufficient inputs");
    let (no_data, method) = (error(400, "Data not found"), error(405, "Method not allowed"));
    let elsewhere = "01010101-0101-0101-0101-010101010101";
    let list = format!("{LICENSES}/_list");
    let id = format!("{LICENSES}/{elsewhere}");
    let table = [
        ("GET", id.clone(), no_data.clone()),
        ("GET", format!("{LICENSES}/no-id"), no_data.clone()),
        ("GET", format!("{LICENSES}/%ff"), no_data),
        ("PUT", id.clone(), method.clone()),
        ("POST", id.clone(), method.clone()),
        ("DELETE", id, method.clone()),
        ("PUT", list.clone(), method.clone()),
        ("POST", format!("{LICENSES}/_notification"), method),
        // Licences are made and changed at the hub only.
        ("POST", LICENSES.to_owned(), error(404, "Not found")),
        ("GET", LICENSES.to_owned(), error(404, "Not found")),
        ("GET", list.clone(), insufficient.clone()),
        ("GET", format!("{list}?site_id={}", line.site), insufficient.clone()),
        ("GET", format!("{list}?site_id=&plant_id={plant}"), insufficient.clone()),
        ("GET", format!("{list}?site_id=1&site_id=2&plant_id=3"), insufficient),
        ("GET", format!("{list}?site_id=x&plant_id=y"), no_place.clone()),
        ("GET", format!("{list}?site_id={plant}&plant_id={}", line.site), no_place.clone()),
        ("GET", format!("{list}?site_id={elsewhere}&plant_id={plant}"), no_place.clone()),
        ("GET", format!("{list}?site_id={}&plant_id={elsewhere}", line.site), no_place),
    ];
    let mut stranger = line.agent.client().unwrap();
    for (verb, path, expected) in table {
        assert_eq!(ask(&mut technician, verb, &path), expected, "{verb} {path}");
        assert_eq!(ask(&mut stranger, verb, &path), error(401, "Unauthorised"), "{verb} {path}");
    }
}
