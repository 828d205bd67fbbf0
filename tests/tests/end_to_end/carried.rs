//! What goes in files besides records: an administrator's word, certificates, and what the site's own history says of it; and
//! files that reach the hub over its HTTPS API.

use crate::plant::Plant;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sitewarden_tests::harness::{Hub, PASSWORD, USER, run, until};
use std::fs;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

fn copy(from: &str, to: &str) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").args(["-a", from, to]).status().unwrap().success());
}

fn flags(plant: &Plant) -> Vec<Value> {
    plant.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap()
}

#[test]
fn an_administrators_word_on_a_fork_is_carried_to_a_site_without_a_line_and_nothing_is_lost() {
    let mut plant = Plant::started(3);
    plant.agent.command(&["activate", &plant.key]).unwrap();
    plant.report(0..5);
    plant.carry("first");
    plant.agent.stop().unwrap();
    let (folder, backup) = (plant.agent.folder().display().to_string(), plant.file("backup"));
    copy(&folder, &backup);
    plant.agent.start().unwrap();
    plant.report(5..10);
    plant.carry("second");
    // The machine is put back, and goes on in its own way.
    plant.agent.stop().unwrap();
    copy(&backup, &folder);
    plant.agent.start().unwrap();
    plant.report(10..20);
    let told = plant.carry("of the fork");
    assert!(told[0]["notes"].to_string().contains("different history"), "{told:?}");
    assert!(flags(&plant).iter().any(|flag| flag["kind"] == "fork"), "{:?}", flags(&plant));
    plant.hub.command(&["agent", "clear", &plant.agent_id, "--note", "the VM was restored from a backup"]).unwrap();
    // The word goes on the next stick; the agent starts itself anew for it, and serves all the while.
    plant.told("the word");
    let epoch = || plant.agent.status().ok().map(|status| status["journal"]["epoch"].clone());
    until(LIMIT, "the fresh epoch", || Ok(epoch().filter(|epoch| *epoch == 2))).unwrap();
    let verify = "/_config/licenses/_verify?app=EMS";
    assert_eq!(plant.agent.client().unwrap().basic(USER, PASSWORD).get(verify).unwrap().status, 200);
    // An old word, carried once more, is nothing new.
    plant.agent.command(&["bundle", "import", &plant.file("the word")]).unwrap();
    plant.report(20..25);
    let told = plant.carry("after");
    assert!(!told[0]["notes"].to_string().contains("different history"), "{told:?}");
    assert_eq!(plant.agent.backlog().unwrap(), 0);
    assert_eq!(plant.ids_at_hub(), (0..25).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!(plant.agent.status().unwrap()["journal"]["epoch"], 2);
    assert!(flags(&plant).iter().all(|flag| flag["kind"] != "fork" && flag["kind"] != "rollback"));
}

#[test]
fn a_certificate_asked_for_in_a_file_is_taken_after_any_number_of_starts_and_files() {
    let mut plant = Plant::started(3);
    let certificate = |plant: &Plant| fs::read(plant.agent.folder().join("identity/certificate.der")).unwrap();
    let first = certificate(&plant);
    plant.hub.command(&["keys", "rotate", "--authority"]).unwrap();
    plant.told("authorities");
    let (request, answer) = (plant.file("request 1"), plant.file("answer 1"));
    plant.agent.command(&["bundle", "export", &request]).unwrap();
    // Another file is on its way, and the machine was started again, before the answer to the first one comes.
    plant.agent.command(&["bundle", "export", &plant.file("request 2")]).unwrap();
    plant.agent.kill();
    plant.agent.start().unwrap();
    plant.agent.command(&["bundle", "export", &plant.file("request 3")]).unwrap();
    plant.hub.command(&["bundle", "import", &request, "--reply", &answer]).unwrap();
    plant.agent.command(&["bundle", "import", &answer]).unwrap();
    let second = certificate(&plant);
    assert_ne!(second, first, "the answer was not taken");
    // What answers the same question again, or an older one, takes nothing back.
    let late = plant.file("answer 2");
    plant.hub.command(&["bundle", "import", &plant.file("request 2"), "--reply", &late]).unwrap();
    plant.agent.command(&["bundle", "import", &late]).unwrap();
    plant.agent.command(&["bundle", "import", &answer]).unwrap();
    assert_eq!(certificate(&plant), second);
    plant.agent.stop().unwrap();
    plant.agent.start().unwrap();
    // Nothing more is asked.
    let inspected = plant.file("inspected");
    plant.agent.command(&["bundle", "export", &inspected]).unwrap();
    let found = plant.hub.command(&["bundle", "inspect", &inspected]).unwrap().list().unwrap();
    assert!(found[0]["messages"]["renew"].is_null(), "{found:?}");
}

/// The rows of transmissions, the newest first: how each stands, and its records.
fn history(plant: &Plant) -> Vec<(String, u64)> {
    let body = json!({"username": "boss", "password": PASSWORD}).to_string();
    let answer = plant.agent.client().unwrap().post("/api/v1/auth/login", body.as_bytes()).unwrap().json();
    let mut client = plant.agent.client().unwrap().bearer(answer["access_token"].as_str().unwrap());
    let rows = client.get("/api/v1/telemetry/history?limit=100").unwrap().json();
    let row = |row: &Value| (row["status"].as_str().unwrap().to_owned(), row["records_sent"].as_u64().unwrap());
    rows.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn a_bundle_is_a_transmission_that_ends_with_the_hubs_receipt() {
    let mut plant = Plant::started(3);
    plant.agent.add_user("boss", "admin", PASSWORD).unwrap();
    plant.report(0..20);
    assert_eq!(history(&plant), []);
    let (file, reply) = (plant.file("report"), plant.file("reply"));
    let exported = plant.agent.command(&["bundle", "export", &file, "--json"]).unwrap().json().unwrap();
    let records = exported["records"].as_u64().unwrap();
    let waits = ("in_progress".to_owned(), 0);
    assert_eq!(history(&plant), std::slice::from_ref(&waits));
    // It waits for as long as people carry it, over any start, and is not tried again by itself.
    plant.agent.kill();
    plant.agent.start().unwrap();
    assert_eq!(history(&plant), std::slice::from_ref(&waits));
    // A file that confirms nothing changes nothing.
    plant.told("nothing");
    assert_eq!(history(&plant), [waits]);
    plant.hub.command(&["bundle", "import", &file, "--reply", &reply]).unwrap();
    plant.agent.command(&["bundle", "import", &reply]).unwrap();
    let sent = ("success".to_owned(), records);
    assert_eq!(history(&plant), std::slice::from_ref(&sent));
    plant.agent.command(&["bundle", "import", &reply]).unwrap();
    assert_eq!(history(&plant), [sent]);
}

/// A caller of the hub's API over HTTPS, as a program at the vendor's would be.
struct Api {
    base: String,
    authority: String,
    key: String,
}

impl Api {
    fn of(plant: &Plant) -> Self {
        let root = plant.hub.command(&["root"]).unwrap().json().unwrap();
        let authority = plant.file("authority");
        fs::write(&authority, root["certificate"].as_str().unwrap()).unwrap();
        let made =
            plant.hub.command(&["apikey", "add", "--purpose", "api", "--role", "admin"]).unwrap().json().unwrap();
        let port = plant.hub.https().unwrap().port();
        let key = made["key"].as_str().unwrap().to_owned();
        Self { base: format!("https://localhost:{port}/api/v1/admin/bundles"), authority, key }
    }

    /// The status, and each line of the answer.
    fn call(&self, words: &[&str], path: &str) -> (u16, Vec<Value>) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "50", "--cacert", &self.authority]);
        command.args(["--header", &format!("X-API-Key: {}", self.key), "--write-out", "\n%{http_code}"]);
        command.args(words).arg(format!("{}{path}", self.base));
        let said = run(command).unwrap().succeeded().unwrap().output;
        let (body, status) = said.rsplit_once('\n').unwrap();
        let lines = body.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap());
        (status.parse().unwrap(), lines.collect())
    }

    fn import(&self, file: &str) -> (u16, Vec<Value>) {
        let data = format!("@{file}");
        self.call(&["--header", "Content-Type: application/octet-stream", "--data-binary", &data], "/import?reply=true")
    }
}

fn failed(lines: &[Value]) -> String {
    let failed = lines.iter().find(|line| !line["failed"].is_null()).unwrap_or_else(|| panic!("{lines:?}"));
    failed["failed"]["message"].as_str().unwrap().to_owned()
}

fn file_of(lines: &[Value]) -> &Value {
    lines.iter().map(|line| &line["file"]).find(|file| !file.is_null()).unwrap_or_else(|| panic!("{lines:?}"))
}

/// What comes back for the site.
fn kept(plant: &Plant, base64: &Value, name: &str) -> String {
    let file = plant.file(name);
    fs::write(&file, STANDARD.decode(base64.as_str().unwrap()).unwrap()).unwrap();
    file
}

#[test]
fn files_go_to_the_hub_and_come_back_over_its_https_api() {
    let plant = Plant::started(3);
    let api = Api::of(&plant);
    plant.report(0..20);
    let report = plant.file("report");
    plant.agent.command(&["bundle", "export", &report]).unwrap();
    // Who shows no key gets nothing, and is not let to send first.
    let stranger = Api { key: "swa_nobody".to_owned(), base: api.base.clone(), authority: api.authority.clone() };
    assert_eq!(stranger.import(&report).0, 401);
    let (status, lines) = api.import(&report);
    assert_eq!(status, 200, "{lines:?}");
    let new = file_of(&lines)["new_records"].as_u64().unwrap();
    assert!(new >= 20 && file_of(&lines)["again"] == false, "{lines:?}");
    // Again: nothing is stored twice, and the reply is as good.
    let (_, lines) = api.import(&report);
    assert_eq!((&file_of(&lines)["new_records"], &file_of(&lines)["again"]), (&json!(0), &json!(true)));
    let reply = kept(&plant, &lines.last().unwrap()["done"]["reply"], "reply");
    plant.agent.command(&["bundle", "import", &reply]).unwrap();
    assert_eq!(plant.agent.backlog().unwrap(), 0);
    // What is none: a document, one of another hub's, and one whose piece is said to be larger than any may be.
    let nonsense = plant.file("nonsense");
    fs::write(&nonsense, b"%PDF-1.7 and so on, for longer than a head").unwrap();
    let (status, lines) = api.import(&nonsense);
    assert_eq!(status, 200, "{lines:?}");
    assert!(!failed(&lines).is_empty());
    let other: Hub = plant.other_hub();
    assert!(other.try_command(&["bundle", "import", &report]).unwrap().error.contains("another hub"));
    let (large, mut bytes) = (plant.file("large"), fs::read(&report).unwrap());
    let length = 10 + 8; // Behind the bundle's own bytes and the first frame's mark.
    bytes[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    bytes.resize(bytes.len() + (24 << 20), 7);
    fs::write(&large, &bytes).unwrap();
    let (_, lines) = api.import(&large);
    assert!(!failed(&lines).is_empty(), "{lines:?}");
    assert_eq!(plant.ids_at_hub().len(), 20);
    // And what the hub has to say is fetched the same way; what is not asked for rightly is refused.
    plant.hub.command(&["license", "edit", &plant.license, "--validity", "2y"]).unwrap();
    let (status, lines) = api.call(&[], &format!("/export?site={}", plant.site));
    assert_eq!(status, 200, "{lines:?}");
    let word = kept(&plant, &lines[0]["file"], "word");
    let told = plant.agent.command(&["bundle", "import", &word, "--json"]).unwrap().list().unwrap();
    assert_eq!(told[0]["snapshot_taken"], true, "{told:?}");
    for (path, status) in [("/export", 400), ("/export?site=x", 400), ("/import?colour=red", 405), ("/nothing", 404)] {
        assert_eq!(api.call(&[], path).0, status, "{path}");
    }
    let listed = api.call(&[], &format!("?agent={}", plant.agent_id));
    assert_eq!(listed.0, 200);
    assert!(listed.1[0]["items"].as_array().unwrap().iter().any(|row| row["times"] == 2), "{listed:?}");
}
