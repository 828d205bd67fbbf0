use super::*;

fn load(toml: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(crate::folder::CONFIGURATION), toml).unwrap();
    Config::load(folder.path(), Flags::default())
        .map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "D"))
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = load("").unwrap();
    assert_eq!(config.https.to_string(), "127.0.0.1:8443");
    assert_eq!(config.sync.to_string(), "0.0.0.0:4433");
    assert_eq!((config.http, config.changeable), (None, Changeable::default()));
    assert_eq!(config.limits.idle, Duration::from_secs(30));
}

#[test]
fn an_unknown_key_is_one_line_with_the_file_the_key_and_what_is_allowed() {
    let error = load("frish_days = 3").unwrap_err();
    assert!(error.starts_with("D/hub.toml: unknown key frish_days; allowed are https, http, "), "{error}");
    let error = load("[sync]\nport = 3").unwrap_err();
    assert!(error.starts_with("D/hub.toml: unknown key sync.port; allowed are address, "), "{error}");
}

#[test]
fn a_bad_value_is_one_line_with_the_file_the_key_and_what_is_allowed() {
    for (toml, expected) in [
        ("fresh_days = \"x\"", "D/hub.toml: fresh_days must be a whole number from 1 to 3650"),
        ("override_days = 366", "D/hub.toml: override_days must be a whole number from 0 to 365"),
        ("fresh_days = 0", "D/hub.toml: fresh_days must be a whole number from 1 to 3650"),
        ("fresh_days = 70000", "D/hub.toml: fresh_days must be a whole number from 1 to 3650"),
        ("https = \"here\"", "D/hub.toml: https must be an address and port, such as 127.0.0.1:8443"),
        ("log = \"xml\"", "D/hub.toml: log must be \"auto\", \"text\" or \"json\""),
        ("hostnames = [3]", "D/hub.toml: hostnames must be a list of"),
        ("invite_address = \"hub\"", "D/hub.toml: invite_address must be the hub as agents see it"),
        ("sync = 3", "D/hub.toml: sync must be a table of settings"),
        ("[sync]\nidle_seconds = 1", "D/hub.toml: sync.idle_seconds must be a whole number from 5 to 300"),
        (
            "[sync]\nkeep_alive_seconds = 15",
            "D/hub.toml: sync.keep_alive_seconds must be a whole number from 1 to less",
        ),
        ("[sync]\nmax_connections = 0", "D/hub.toml: sync.max_connections must be"),
        ("https = ", "D/hub.toml: "),
    ] {
        let error = load(toml).unwrap_err();
        assert!(error.starts_with(expected) && error.lines().count() == 1, "{toml}: {error}");
    }
}

#[test]
fn each_setting_is_listed_with_its_value_and_where_that_is_from() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "notice_days = 45\n[webhooks]\nallowed_networks = [\"10.0.0.0/8\"]";
    std::fs::write(folder.path().join(crate::folder::CONFIGURATION), toml).unwrap();
    let config = Config::load(folder.path(), Flags { https: "127.0.0.1:2".parse().ok(), ..Flags::default() }).unwrap();
    let listed = |key: &str| config.listed.iter().find(|setting| setting.key == key).unwrap();
    for (key, value, source) in [
        ("notice_days", serde_json::json!(45), Source::File),
        ("webhooks.allowed_networks", serde_json::json!(["10.0.0.0/8"]), Source::File),
        ("https", serde_json::json!("127.0.0.1:2"), Source::Flag),
        ("api.public_per_minute", serde_json::json!(100), Source::Default),
        ("http", serde_json::Value::Null, Source::Default),
    ] {
        assert_eq!((&listed(key).value, listed(key).source), (&value, source), "{key}");
    }
    let changeable: Vec<_> = config.listed.iter().filter_map(|setting| setting.changeable).collect();
    assert!(changeable.len() == Key::ALL.len() && Key::ALL.iter().all(|key| changeable.contains(key)));
    let written = serde_json::to_value(Written::default()).unwrap();
    let keys = written.as_object().unwrap().iter().flat_map(|(key, value)| match value.as_object() {
        Some(table) => table.keys().map(|inner| format!("{key}.{inner}")).collect(),
        None => vec![key.clone()],
    });
    let missing: Vec<_> = keys.filter(|key| !config.listed.iter().any(|setting| setting.key == key)).collect();
    assert!(missing.is_empty(), "not listed, and not told what they can be: {missing:?}");
}

#[test]
fn plain_http_beyond_this_machine_must_be_forced() {
    let error = load("http = \"0.0.0.0:80\"").unwrap_err();
    assert!(error.starts_with("D/hub.toml: http must be a loopback address"), "{error}");
    assert!(load("http = \"0.0.0.0:80\"\nhttp_anywhere = true").is_ok());
    let flags = Flags { http: "0.0.0.0:80".parse().ok(), ..Flags::default() };
    let folder = tempfile::tempdir().unwrap();
    let error = Config::load(folder.path(), flags).unwrap_err().to_string();
    assert!(error.starts_with("command line: http must be"), "{error}");
}

#[test]
fn development_is_of_the_command_line_and_of_loopback_addresses_alone() {
    let folder = tempfile::tempdir().unwrap();
    let with = |toml: &str, flags: Flags| {
        std::fs::write(folder.path().join(crate::folder::CONFIGURATION), toml).unwrap();
        Config::load(folder.path(), Flags { dev: true, ..flags }).map_err(|error| error.to_string())
    };
    let config = with("", Flags::default()).unwrap();
    let addresses = [Some(config.https), config.http, Some(config.sync)].map(|address| address.unwrap().to_string());
    assert_eq!(addresses, ["127.0.0.1:8443", "127.0.0.1:8080", "127.0.0.1:4433"]);
    let open = "0.0.0.0:1".parse().ok();
    for (toml, flags, name) in [
        ("https = \"0.0.0.0:1\"", Flags::default(), "https"),
        ("http = \"0.0.0.0:1\"\nhttp_anywhere = true", Flags::default(), "http"),
        ("sync.address = \"0.0.0.0:1\"", Flags::default(), "sync"),
        ("", Flags { https: open, ..Flags::default() }, "https"),
        ("", Flags { sync: open, ..Flags::default() }, "sync"),
    ] {
        let error = with(toml, flags).unwrap_err();
        let expected = format!("command line: --dev serves on loopback addresses only, and {name} is 0.0.0.0:1; give ");
        assert!(error.starts_with(&expected) && error.lines().count() == 1, "{error}");
    }
    assert!(!load("").unwrap().dev && load("dev = true").unwrap_err().contains("unknown key dev"));
}

#[test]
fn a_flag_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(crate::folder::CONFIGURATION), "https = \"127.0.0.1:1\"").unwrap();
    let flags = Flags { https: "127.0.0.1:2".parse().ok(), ..Flags::default() };
    assert_eq!(Config::load(folder.path(), flags).unwrap().https.port(), 2);
}
