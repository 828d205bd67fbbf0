//! A plant that never had a line, told from its enrolment to its end: everything goes in files, both ways.

use crate::plant::Plant;
use serde_json::{Value, json};
use sitewarden_tests::harness::{PASSWORD, USER};

fn license<'a>(status: &'a Value, app: &str) -> &'a Value {
    let licenses = status["licenses"].as_array().unwrap();
    licenses.iter().find(|license| license["app"] == app).unwrap()
}

#[test]
fn a_site_lives_without_any_line() {
    // Enrolment by two files.
    let mut plant = Plant::enrolled(3);
    assert!(!plant.agent.folder().join("identity/token").exists(), "the token outlived the enrolment");
    plant.agent.start().unwrap();
    let status = plant.agent.status().unwrap();
    assert_eq!(status["sync"]["carrier"], "none", "{status}");
    plant.agent.add_user(USER, "app", PASSWORD).unwrap();
    // The vendor knows that nothing ever comes but files: what was sold may be relied on for as long as it lasts.
    plant.hub.command(&["site", "edit", &plant.site, "--air-gap", "true"]).unwrap();
    plant.told("air-gap");
    let until = plant.agent.status().unwrap()["fresh_until"].as_str().unwrap().to_owned();
    let now = plant.agent.status().unwrap()["clock"]["license_time"].as_str().unwrap().to_owned();
    let year = |text: &str| text[..4].parse::<u32>().unwrap();
    assert_eq!(year(&until), year(&now) + 1, "a year's licence, not yet begun: {until}");
    // The licence is activated and used on site.
    plant.agent.command(&["activate", &plant.key]).unwrap();
    for monitor in ["pump-1", "pump-2", "pump-3"] {
        plant.agent.command(&["monitors", "add", monitor, "--app", "EMS"]).unwrap();
    }
    let over = plant.agent.try_command(&["monitors", "add", "pump-4", "--app", "EMS"]).unwrap();
    assert_eq!(over.code, Some(1), "{over:?}");
    plant.report(0..25);
    // There and back.
    let imported = plant.carry("first");
    assert!(imported[0]["confirmed"].as_u64().unwrap() >= 25, "{imported:?}");
    assert_eq!(plant.agent.backlog().unwrap(), 0);
    assert_eq!(plant.ids_at_hub(), (0..25).map(|id| id.to_string()).collect::<Vec<_>>());
    let monitors = plant.hub.command(&["monitor", "list", "--site", &plant.site]).unwrap().list().unwrap();
    assert_eq!(monitors.len(), 3, "{monitors:?}");
    let licenses = plant.hub.command(&["license", "list"]).unwrap().list().unwrap();
    assert!(licenses.iter().any(|license| license["name"] == "L1" && license["status"] == "Active"), "{licenses:?}");
    assert!(plant.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap().is_empty());

    // Renewed: the vendor sends it unasked.
    let before = license(&plant.agent.status().unwrap(), "EMS")["expires_at"].clone();
    plant.hub.command(&["license", "edit", &plant.license, "--validity", "2y"]).unwrap();
    let told = plant.told("renewed");
    assert_eq!(told[0]["snapshot_taken"], true, "{told:?}");
    let after = license(&plant.agent.status().unwrap(), "EMS")["expires_at"].clone();
    assert!(after.as_str().unwrap() > before.as_str().unwrap(), "{before} → {after}");

    // The hub comes to sign with another key, and to another authority: the site follows, and its certificate with it.
    let certificate = || std::fs::read(plant.agent.folder().join("identity/certificate.der")).unwrap();
    let old = certificate();
    plant.hub.command(&["keys", "rotate", "--signing"]).unwrap();
    plant.hub.command(&["keys", "rotate", "--authority"]).unwrap();
    let told = plant.told("keys-of-the-hub");
    assert_eq!(told[0]["snapshot_taken"], true, "{told:?}");
    plant.carry("certificate");
    assert_ne!(certificate(), old, "the certificate was not renewed");

    // An override in an emergency is known at the vendor's with the next file.
    plant.agent.command(&["override", "--days", "2", "--reason", "the vendor cannot be reached"]).unwrap();
    plant.carry("override");
    let flags = plant.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap();
    assert!(flags.iter().any(|flag| flag["kind"] == "override"), "{flags:?}");

    // A licence is withdrawn, and another one, which the site had never heard of, is activated with its key alone.
    plant.hub.command(&["license", "revoke", &plant.license]).unwrap();
    let words = ["license", "issue", "--site", &plant.site, "--app", "CBM", "--quota", "5", "--validity", "30d"];
    let second = plant.hub.command(&[&words[..], &["--name", "L2"]].concat()).unwrap().json().unwrap();
    let key = second["key"].as_str().unwrap().to_owned();
    let told = plant.carry_with("keys", &["--activate", &key]);
    assert!(told[0]["notes"].to_string().contains("is activated"), "{told:?}");
    let status = plant.agent.status().unwrap();
    assert_eq!(license(&status, "CBM")["status"], "Active", "{status}");
    assert_ne!(license(&status, "EMS")["status"], "Active", "{status}");
    let verify = "/_config/licenses/_verify?app=EMS";
    assert_eq!(plant.agent.client().unwrap().basic(USER, PASSWORD).get(verify).unwrap().status, 401);

    // Both have it on record.
    let bundles = plant.hub.command(&["bundle", "list"]).unwrap().list().unwrap();
    assert!(bundles.len() >= 7, "{bundles:?}");
    // The agent's end.
    plant.hub.command(&["agent", "revoke", &plant.agent_id]).unwrap();
    plant.report(25..30);
    let told = plant.carry("after-revocation");
    assert!(told[0]["notes"].to_string().contains("revoked"), "{told:?}");
    assert!(plant.agent.backlog().unwrap() >= 5, "nothing is taken from a revoked agent, and nothing is lost on site");
}

#[test]
fn an_enrolment_by_files_is_good_for_its_machine_its_hub_and_once() {
    let plant = Plant::invited(3);
    let (request, reply) = (plant.file("request"), plant.file("answer"));
    plant.request(&request);
    // Nothing of the token's secret is in the file.
    let inspected = plant.agent.command(&["bundle", "inspect", &request, "--json"]).unwrap().json().unwrap();
    assert_eq!(inspected[0]["manifest"]["content"], "enrolment request", "{inspected}");
    // Another hub has nothing to do with it.
    let other = plant.other_hub();
    let refused = other.try_command(&["bundle", "import", &request]).unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error.contains("another hub"), "{refused:?}");
    plant.hub.command(&["bundle", "import", &request, "--reply", &reply]).unwrap();
    // The answer was lost: the same request gets the same agent.
    let again = plant.file("again");
    plant.hub.command(&["bundle", "import", &request, "--reply", &again]).unwrap();
    assert_eq!(plant.hub.command(&["agent", "list"]).unwrap().list().unwrap().len(), 1);
    // Another machine cannot use the answer, nor the token.
    let thief = plant.other_machine();
    let stolen = plant.file("stolen");
    let token = plant.token.clone();
    thief.command(&["enroll", "--token", &token, "--offline-request", &stolen]).unwrap();
    let wrong = thief.try_command(&["bundle", "import", &again]).unwrap();
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.error.contains("another machine"), "{wrong:?}");
    let refusal = plant.file("refusal");
    plant.hub.command(&["bundle", "import", &stolen, "--reply", &refusal]).unwrap();
    let refused = thief.try_command(&["bundle", "import", &refusal]).unwrap();
    assert!(refused.error.contains("used already"), "{refused:?}");
    // And the right one can.
    let enrolled = plant.agent.command(&["bundle", "import", &again, "--json"]).unwrap().json().unwrap();
    assert_eq!(enrolled["site_id"], json!(plant.site));
    let twice = plant.agent.try_command(&["bundle", "import", &again]).unwrap();
    assert_eq!(twice.code, Some(1), "{twice:?}");
}
