//! Measurements from programs to the hub, straight and through an agent: by another language's client, and a series of
//! thousands of readings of which every one has to be there.

use serde_json::{Value, json};
use sitewarden_tests::harness::{ADMIN_PASSWORD, Client, Line, python, until, workspace};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

const PATH: &str = "/api/v1/send-telemetry-data";
/// Readings of each way in.
const READINGS: usize = 20_000;
const CALLERS: usize = 32;

/// A line whose hub serves plain HTTP too, where that is, and an API key that both ends know.
fn measuring() -> (Line, SocketAddr, String) {
    let mut line = Line::new(1).unwrap();
    line.hub.stop().unwrap();
    let settings = line.hub.folder().join("hub.toml");
    let written = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("http = \"127.0.0.1:0\"\n{written}")).unwrap();
    line.hub.start().unwrap();
    let http = fs::read_to_string(line.hub.folder().join("run/http.addr")).unwrap().trim().parse().unwrap();
    let made = line.hub.command(&["apikey", "add", "--customer", "1", "--name", "programs"]).unwrap().json().unwrap();
    let key = made["key"].as_str().unwrap().to_owned();
    let mut client = line.agent.client().unwrap();
    until(Duration::from_secs(30), "the agent to hear of the key", || {
        let probe = json!({ "api_key": key }).to_string();
        Ok((client.post(PATH, probe.as_bytes())?.status == 200).then_some(()))
    })
    .unwrap();
    (line, http, key)
}

#[test]
fn another_languages_client_is_answered_and_verifies_the_answers() {
    let (line, hub, key) = measuring();
    for address in [line.agent.http().unwrap(), hub] {
        let mut client = python("requests, cryptography").unwrap();
        client.arg(workspace().join("tests/tests/end_to_end/telemetry_client.py")).arg(format!("http://{address}"));
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{key}").unwrap();
        let answer = child.wait_with_output().unwrap();
        let told: Value = serde_json::from_slice(&answer.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&answer.stderr)));
        let expected = json!({
            "json": [200, 830], "form": [200, 830], "multipart": [200, 830], "incorrect": [200, 831],
            "unauthorised": [401, 401],
        });
        assert_eq!(told, expected, "{address}");
    }
    line.drained().unwrap();
    let mut admin = Client::new(hub).basic("admin", ADMIN_PASSWORD);
    let rows = pages(&mut admin, "group=python_group");
    assert_eq!(rows.len(), 6, "three encodings on each of two ways");
    assert_eq!(rows.iter().filter(|row| row["agent"].is_null()).count(), 3);
    assert!(rows.iter().all(|row| row["value"] == 50.0 && row["app"] == "CBM"), "{rows:?}");
    let flags = line.hub.command(&["flag", "list", "--open"]).unwrap().output;
    assert!(flags.contains("unknown_key") && flags.contains("unknown_activation"), "{flags}");
}

#[test]
fn a_series_of_thousands_is_at_the_hub_point_by_point_on_either_way() {
    let (line, hub, key) = measuring();
    // A temperature over a day: quarters of degrees, so that sums are exact in whatever order.
    let readings: Vec<f64> = (0..READINGS)
        .map(|number| ((number as f64 / READINGS as f64 * std::f64::consts::TAU).sin() * 400.0).round() / 4.0)
        .collect();
    for (group, address) in [("through the agent", line.agent.http().unwrap()), ("straight", hub)] {
        send(address, &key, group, &readings);
    }
    line.drained().unwrap();
    let mut admin = Client::new(hub).basic("admin", ADMIN_PASSWORD);
    let mut sent = readings.clone();
    sent.sort_by(f64::total_cmp);
    for group in ["through%20the%20agent", "straight"] {
        let mut arrived: Vec<f64> =
            pages(&mut admin, &format!("group={group}")).iter().map(|row| row["value"].as_f64().unwrap()).collect();
        arrived.sort_by(f64::total_cmp);
        assert!(arrived == sent, "{group}: {} of {} arrived", arrived.len(), sent.len());
        for granularity in ["hour", "day", "week", "month"] {
            let path = format!("/api/v1/telemetry/series?group={group}&granularity={granularity}");
            let series = admin.get(&path).unwrap().json();
            let points = series["points"].as_array().unwrap();
            let numbers = |name: &str| points.iter().map(|point| point[name].as_f64().unwrap()).collect::<Vec<_>>();
            assert_eq!(numbers("count").iter().sum::<f64>(), READINGS as f64, "{series}");
            assert_eq!(numbers("sum").iter().sum::<f64>(), sent.iter().sum::<f64>(), "{series}");
            assert_eq!(numbers("min").into_iter().fold(f64::MAX, f64::min), sent[0], "{series}");
            assert_eq!(numbers("max").into_iter().fold(f64::MIN, f64::max), sent[READINGS - 1], "{series}");
        }
    }
}

/// Sends all readings from several callers; each has to be answered with 830.
fn send(address: SocketAddr, key: &str, group: &str, readings: &[f64]) {
    thread::scope(|scope| {
        for share in readings.chunks(READINGS.div_ceil(CALLERS)) {
            scope.spawn(move || {
                let mut client = Client::new(address);
                for reading in share {
                    let body = json!({
                        "api_key": key, "data_type": "numeric-single-value", "numeric_data_single_value": reading,
                        "product_id": "EMS", "user_identifier": "u", "license_key": "k", "activation_identifier": "a",
                        "product_version": "1.0.1", "data_group": group,
                    });
                    let answer = loop {
                        let answer = client.post(PATH, body.to_string().as_bytes()).unwrap();
                        // Over its rate a key has to come again later.
                        if answer.status != 429 {
                            break answer;
                        }
                    };
                    assert_eq!(answer.json()["response"]["code"], 830, "{}", answer.text());
                }
            });
        }
    });
}

fn pages(admin: &mut Client, filter: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = admin.get(&format!("/api/v1/telemetry/records?limit=1000&{filter}{cursor}")).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.json();
        rows.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}
