//! What happens to files on their way: repeated, reordered, cut, altered, carried to another hub.

use crate::plant::Plant;
use serde_json::Value;
use std::fs;

/// Two parts and more: what has no pattern does not become smaller.
fn backlog(plant: &Plant) -> Vec<String> {
    plant.fill(1_800);
    let base = plant.file("parts");
    let exported =
        plant.agent.command(&["bundle", "export", &base, "--split", "2M", "--json"]).unwrap().json().unwrap();
    let files: Vec<String> =
        exported["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned()).collect();
    assert!(files.len() >= 2 && files[0].ends_with(".001") && files[1].ends_with(".002"), "{exported}");
    for file in &files {
        assert!(fs::metadata(file).unwrap().len() <= 2 << 20, "{file} is larger than was asked for");
    }
    files
}

fn import(plant: &Plant, files: &[&str]) -> Vec<Value> {
    plant.hub.command(&[&["bundle", "import"], files].concat()).unwrap().list().unwrap()
}

fn new_records(results: &[Value]) -> u64 {
    results.iter().map(|result| result["new_records"].as_u64().unwrap()).sum()
}

#[test]
fn a_bundle_that_is_repeated_reordered_or_cut_is_harmless_and_goes_on_later() {
    let plant = Plant::started(3);
    let files = backlog(&plant);
    let all = plant.agent.backlog().unwrap();
    // The second part first: nothing joins on, and it says so.
    let early = import(&plant, &[&files[1]]);
    assert_eq!(new_records(&early), 0, "{early:?}");
    assert!(early[0]["refused"].to_string().contains("have not arrived"), "{early:?}");
    // The first is cut in the middle, as by a stick that was pulled out.
    let (cut, whole) = (plant.file("cut"), fs::read(&files[0]).unwrap());
    fs::write(&cut, &whole[..whole.len() * 2 / 3]).unwrap();
    let partly = import(&plant, &[&cut]);
    let taken = new_records(&partly);
    assert!(taken > 0 && partly[0]["whole"] == false, "{partly:?}");
    assert!(partly[0]["notes"].to_string().contains("cut"), "{partly:?}");
    // Now all of it, in the wrong order on the command line.
    let mut reversed: Vec<&str> = files.iter().map(String::as_str).collect();
    reversed.reverse();
    let rest = import(&plant, &reversed);
    assert!(rest.iter().all(|result| result["refused"].as_object().unwrap().is_empty()), "{rest:?}");
    assert_eq!(taken + new_records(&rest), all);
    // And once more, with the reply that the site needs.
    let reply = plant.file("reply");
    let again = import(&plant, &[&files[0], &files[1], "--reply", &reply]);
    assert_eq!(new_records(&again), 0);
    assert!(again.iter().all(|result| result["again"] == true), "{again:?}");
    assert_eq!(plant.ids_at_hub().len(), 1_800, "an event is missing, or there twice");
    assert!(plant.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap().is_empty());
    // The reply may be cut and repeated too.
    let (cut_reply, whole) = (plant.file("cut-reply"), fs::read(&reply).unwrap());
    fs::write(&cut_reply, &whole[..whole.len() - 10]).unwrap();
    let told = plant.agent.command(&["bundle", "import", &cut_reply, "--json"]).unwrap().list().unwrap();
    assert_eq!(told[0]["whole"], false, "{told:?}");
    plant.agent.command(&["bundle", "import", &reply]).unwrap();
    assert!(plant.agent.backlog().unwrap() < all);
    let told = plant.agent.command(&["bundle", "import", &reply, "--json"]).unwrap().list().unwrap();
    assert_eq!(told[0]["confirmed"], 0, "{told:?}");
}

#[test]
fn a_bundle_that_was_altered_or_is_for_another_hub_is_not_believed_and_says_what_happened() {
    let plant = Plant::started(3);
    plant.report(0..20);
    let file = plant.file("report");
    plant.agent.command(&["bundle", "export", &file]).unwrap();
    // Altered, with a checksum that is right again: only the signature tells.
    let (altered, bytes) = (plant.file("altered"), fs::read(&file).unwrap());
    fs::write(&altered, resealed(&bytes)).unwrap();
    let taken = import(&plant, &[&altered]);
    assert_eq!(new_records(&taken), 0, "{taken:?}");
    assert!(taken[0]["notes"].to_string().contains("altered"), "{taken:?}");
    // Damaged on the way: the checksum tells.
    let (damaged, mut flipped) = (plant.file("damaged"), bytes.clone());
    let middle = flipped.len() - 200;
    flipped[middle] ^= 1;
    fs::write(&damaged, flipped).unwrap();
    let taken = import(&plant, &[&damaged]);
    assert!(taken[0]["notes"].to_string().contains("damaged"), "{taken:?}");
    // At another hub.
    let other = plant.other_hub();
    let refused = other.try_command(&["bundle", "import", &file]).unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error.contains("another hub"), "{refused:?}");
    // What is no bundle at all, beside one that is: the one is taken, the other told.
    let nonsense = plant.file("nonsense");
    fs::write(&nonsense, b"%PDF-1.7").unwrap();
    let mixed = plant.hub.try_command(&["bundle", "import", &nonsense, &file]).unwrap();
    assert_eq!(mixed.code, Some(1), "{mixed:?}");
    assert!(mixed.error.contains("nonsense") && mixed.error.contains("no Sitewarden bundle"), "{mixed:?}");
    assert_eq!(plant.ids_at_hub().len(), 20);
    // The agent takes nothing from a hub that is not its own, nor what it has made itself.
    let own = plant.agent.try_command(&["bundle", "import", &file]).unwrap();
    assert!(own.error.contains("at the hub"), "{own:?}");
    // Nobody but the receiver sees what is in it, and the receiver does.
    let stranger = other.command(&["bundle", "inspect", &file]).unwrap().list().unwrap();
    assert_eq!(
        (&stranger[0]["messages"], &stranger[0]["whole"]),
        (&serde_json::json!({}), &Value::Bool(true)),
        "{stranger:?}"
    );
    let hub = plant.hub.command(&["bundle", "inspect", &file]).unwrap().list().unwrap();
    assert_eq!(hub[0]["messages"]["hello"], 1, "{hub:?}");
    // What is no bundle, or not whole, is shown as far as it goes, and the exit code says so.
    for (file, told) in [(&nonsense, "no Sitewarden bundle"), (&damaged, "damaged")] {
        let words = ["bundle", "inspect", file, "--json"];
        for answer in [plant.hub.try_command(&words[..3]).unwrap(), plant.agent.try_command(&words).unwrap()] {
            assert_eq!(answer.code, Some(1), "{answer:?}");
            assert!(answer.error.contains(file) && answer.error.contains(told), "{answer:?}");
            assert_eq!(answer.list().unwrap()[0]["manifest"].is_null(), file == &nonsense, "{answer:?}");
        }
    }
}

/// Changes the last byte of the second piece's body, and makes its checksum right again.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 10;
    for piece in 0..3 {
        let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        let body = at + 20..at + 20 + length;
        if piece == 2 {
            bytes[body.end - 1] ^= 1;
            let frame = sitewarden_protocol::frame::encode(&bytes[body.clone()]);
            bytes[at..body.end].copy_from_slice(&frame);
        }
        at = body.end;
    }
    bytes
}

#[test]
fn through_a_diode_records_count_as_delivered_when_they_are_exported_and_a_gap_is_told() {
    let mut plant = Plant::enrolled(3);
    plant.agent.set("SITEWARDEN_AGENT_BUNDLE__ONE_WAY", "true");
    plant.agent.start().unwrap();
    plant.login();
    plant.report(0..10);
    let first = plant.file("first");
    plant.agent.command(&["bundle", "export", &first]).unwrap();
    assert_eq!(plant.agent.backlog().unwrap(), 0, "what was exported counts as delivered");
    plant.report(10..20);
    let second = plant.file("second");
    let exported = plant.agent.command(&["bundle", "export", &second, "--json"]).unwrap().json().unwrap();
    assert_eq!(exported["one_way"], true);
    // The first was lost on the way: the hub says so, and nothing is guessed.
    let taken = import(&plant, &[&second]);
    assert_eq!(new_records(&taken), 0, "{taken:?}");
    let flags = plant.hub.command(&["flag", "list", "--open"]).unwrap().list().unwrap();
    let gap = flags.iter().find(|flag| flag["kind"] == "missing").unwrap_or_else(|| panic!("{flags:?}"));
    let after = gap["details"]["export_after"].as_str().unwrap().to_owned();
    // The site exports again from there, which it can for as long as it keeps what was sent.
    let again = plant.file("again");
    plant.agent.command(&["bundle", "export", &again, "--after", &after]).unwrap();
    import(&plant, &[&again]);
    import(&plant, &[&second]);
    assert_eq!(plant.ids_at_hub().len(), 20);
}
