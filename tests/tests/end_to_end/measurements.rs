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

pub(crate) const PATH: &str = "/api/v1/send-telemetry-data";
/// Readings of each way in and encoding.
const READINGS: usize = 20_000;
/// Callers of each way and encoding.
const CALLERS: usize = 16;

/// A line whose hub serves plain HTTP too, where that is, and an API key that both ends know.
pub(crate) fn measuring() -> (Line, SocketAddr, String) {
    let mut line = Line::new(1).unwrap();
    line.hub.stop().unwrap();
    let settings = line.hub.folder().join("hub.toml");
    let written = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("http = \"127.0.0.1:0\"\n{written}")).unwrap();
    line.hub.start().unwrap();
    let http = fs::read_to_string(line.hub.folder().join("run/http.addr")).unwrap().trim().parse().unwrap();
    let made = line.hub.command(&["apikey", "add", "--customer", "1", "--name", "programs"]).unwrap().json().unwrap();
    let key = made["key"].as_str().unwrap().to_owned();
    known_to_the_agent(&line, &key);
    (line, http, key)
}

fn known_to_the_agent(line: &Line, key: &str) {
    let mut client = line.agent.client().unwrap();
    until(Duration::from_secs(60), "the agent to hear of the key", || {
        let probe = json!({ "api_key": key }).to_string();
        Ok((client.post(PATH, probe.as_bytes())?.status == 200).then_some(()))
    })
    .unwrap();
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

/// How a reading is written down.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Json,
    Form,
    Multipart,
}

const ENCODINGS: [Encoding; 3] = [Encoding::Json, Encoding::Form, Encoding::Multipart];
const BOUNDARY: &str = "a-boundary-of-this-test";

#[test]
fn a_series_of_thousands_is_at_the_hub_point_by_point_in_each_encoding_on_either_way() {
    let (line, hub, _) = measuring();
    // Two days of a temperature, every nine seconds or so: quarters of degrees, so that sums are exact in whatever order.
    let readings: Vec<(f64, f64)> = (0..READINGS)
        .map(|number| {
            let turn = number as f64 / READINGS as f64 * 2.0 * std::f64::consts::TAU;
            let moment = 1_769_846_400_000.0 + number as f64 * 8_640.0 + (number % 7) as f64;
            (moment, (turn.sin() * 400.0 + (number % 13) as f64).round() / 4.0)
        })
        .collect();
    let ways = [("agent", line.agent.http().unwrap()), ("straight", hub)];
    thread::scope(|scope| {
        for encoding in ENCODINGS {
            // A key has a rate of its own.
            let words = ["apikey", "add", "--customer", "1", "--name", "series"];
            let key = line.hub.command(&words).unwrap().json().unwrap()["key"].as_str().unwrap().to_owned();
            known_to_the_agent(&line, &key);
            for (way, address) in ways {
                let (key, readings) = (key.clone(), &readings);
                scope.spawn(move || send(address, &key, encoding, &format!("{way} {encoding:?}"), readings));
            }
        }
    });
    line.drained().unwrap();
    let mut admin = Client::new(hub).basic("admin", ADMIN_PASSWORD);
    let mut sent = readings.clone();
    sent.sort_by(|one, other| one.partial_cmp(other).unwrap());
    for (way, _) in ways {
        for encoding in ENCODINGS {
            has_arrived(&mut admin, &format!("{way}%20{encoding:?}"), &sent);
        }
    }
}

/// Each point as it was sent, and count, sum, minimum and maximum of the series by whatever span.
fn has_arrived(admin: &mut Client, group: &str, sent: &[(f64, f64)]) {
    let number = |value: &Value| value.as_f64().unwrap();
    let rows = pages(admin, &format!("group={group}"));
    assert!(rows.iter().all(|row| row["body"]["data_type"] == "numeric-xy-axis"), "{group}");
    let mut arrived: Vec<_> = rows.iter().map(|row| (number(&row["value"]["x"]), number(&row["value"]["y"]))).collect();
    arrived.sort_by(|one, other| one.partial_cmp(other).unwrap());
    assert!(arrived == sent, "{group}: {} of {} arrived", arrived.len(), sent.len());
    for granularity in ["hour", "day", "week", "month"] {
        let path = format!("/api/v1/telemetry/series?group={group}&granularity={granularity}");
        let series = admin.get(&path).unwrap().json();
        let points = series["points"].as_array().unwrap();
        let numbers = |name: &str| points.iter().map(|point| number(&point[name])).collect::<Vec<_>>();
        let ys = || sent.iter().map(|(_, y)| *y);
        assert_eq!(numbers("count").iter().sum::<f64>(), READINGS as f64, "{series}");
        assert_eq!(numbers("sum").iter().sum::<f64>(), ys().sum::<f64>(), "{series}");
        assert_eq!(numbers("min").into_iter().fold(f64::MAX, f64::min), ys().fold(f64::MAX, f64::min), "{series}");
        assert_eq!(numbers("max").into_iter().fold(f64::MIN, f64::max), ys().fold(f64::MIN, f64::max), "{series}");
    }
}

/// Sends all readings from several callers; each has to be answered with 830.
fn send(address: SocketAddr, key: &str, encoding: Encoding, group: &str, readings: &[(f64, f64)]) {
    thread::scope(|scope| {
        for share in readings.chunks(READINGS.div_ceil(CALLERS)) {
            scope.spawn(move || {
                let mut client = Client::new(address);
                for (x, y) in share {
                    let (kind, body) = encoding.write(&[
                        ("api_key", key),
                        ("data_type", "numeric-xy-axis"),
                        ("numeric_data_x", &x.to_string()),
                        ("numeric_data_y", &y.to_string()),
                        ("product_id", "EMS"),
                        ("user_identifier", "u"),
                        ("license_key", "k"),
                        ("activation_identifier", "a"),
                        ("product_version", "1.0.1"),
                        ("data_group", group),
                    ]);
                    let answer = loop {
                        let answer = client.send("POST", PATH, Some((&kind, body.as_bytes()))).unwrap();
                        // Over its rate a key has to come again later.
                        if answer.status != 429 {
                            break answer;
                        }
                    };
                    assert_eq!(answer.json()["response"]["code"], 830, "{encoding:?}: {}", answer.text());
                }
            });
        }
    });
}

impl Encoding {
    /// Content type and body.
    fn write(self, fields: &[(&str, &str)]) -> (String, String) {
        match self {
            Self::Json => {
                let number = |name: &str| name.starts_with("numeric_data");
                let value = |(name, text): &(&str, &str)| {
                    let value = if number(name) { json!(text.parse::<f64>().unwrap()) } else { json!(text) };
                    ((*name).to_owned(), value)
                };
                let object: serde_json::Map<_, _> = fields.iter().map(value).collect();
                ("application/json".into(), json!(object).to_string())
            }
            Self::Form => {
                let pair = |(name, text): &(&str, &str)| format!("{name}={}", text.replace(' ', "+"));
                let pairs: Vec<_> = fields.iter().map(pair).collect();
                ("application/x-www-form-urlencoded".into(), pairs.join("&"))
            }
            Self::Multipart => {
                let part = |(name, text): &(&str, &str)| {
                    format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
                };
                let parts: String = fields.iter().map(part).collect();
                (format!("multipart/form-data; boundary={BOUNDARY}"), format!("{parts}--{BOUNDARY}--\r\n"))
            }
        }
    }
}

pub(crate) fn pages(admin: &mut Client, filter: &str) -> Vec<Value> {
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
