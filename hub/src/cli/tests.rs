use super::{agents::Span, arguments::Cli, output};
use clap::{CommandFactory, Parser};

#[test]
fn the_arguments_contradict_nothing() {
    Cli::command().debug_assert();
}

#[test]
fn the_data_folder_is_taken_before_and_after_the_command() {
    for line in
        ["sitewarden-hub --data-dir /d --json customer list", "sitewarden-hub customer list --json --data-dir /d"]
    {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(cli.data_dir(), std::path::Path::new("/d"), "{line}");
        assert!(cli.json);
    }
}

#[test]
fn the_documented_commands_are_taken() {
    let id = "0190c8a0-0000-7000-8000-000000000000";
    for line in [
        "init --data-dir /d --admin-password-file /f --hostname a --hostname b",
        "serve --data-dir /d --https 127.0.0.1:0 --http 127.0.0.1:0 --sync 127.0.0.1:0",
        "serve --dev",
        "customer add NAME",
        "customer show 1",
        "customer edit 1 --name NAME --email a@b",
        "customer edit 1 --no-email",
        "apikey add --customer 1 --name NAME",
        "apikey add --purpose api --role operator --site ID --expires 2999-01-01T00:00:00Z",
        "apikey list --customer 1 --purpose api",
        "apikey show 1",
        "plant add NAME --customer 1",
        "site add NAME --plant ID",
        "site list --plant ID",
        "license issue --site ID --app EMS --quota 100 --validity 1y --name L1",
        "license list --site ID",
        "license edit 1 --validity 2y --quota unlimited --status Active",
        "license revoke ID",
        "license history ID",
        "agent invite --site ID --valid-for 7d --hub hub.example.com:8443",
        "agent invite --agent ID",
        "agent list",
        "agent show ID",
        "agent revoke ID",
        "agent edit ID --name NAME",
        "backup FILE",
        "restore FILE --data-dir /d",
        "doctor --json",
        "record list --site ID --kind event --limit 5",
        "record list --agent ID --all",
        "user add NAME --role admin --password-file /f --on-site",
        "user add NAME --role operator --password-file /f --customer 1",
        "user add NAME --role viewer --password-file /f --site ID",
        "user list",
        "user edit NAME --role viewer --password-file /f --disable --on-site false",
        "user edit NAME --enable",
        "user remove NAME",
        "settings list",
        "settings show notice_days",
        "settings edit api.public_per_minute 50",
        "settings reset notice_days",
        "flag list --open --site ID",
        "monitor list --site ID --app EMS",
        "flag show 1",
        "keys list",
        "keys rotate --sealing",
        "flag resolve 1 --note TEXT",
        "institution add NAME --type university --address HERE --tag a --tag b --metadata {}",
        "institution list --search WORD --tag a --tag b",
        "institution show 1",
        "institution edit 1 --name NAME --tag a",
        "institution convert 1 --name NAME --email a@b",
        "institution remove 1",
        "contact add --institution 1 NAME --email a@b --phone 1 --position X --primary",
        "contact list --institution 1",
        "contact show --institution 1 2",
        "contact edit --institution 1 2 --primary false",
        "contact remove --institution 1 2",
        "note add --institution 1 TEXT --type meeting --tag sales",
        "note list --institution 1",
        "note show --institution 1 2",
        "note edit --institution 1 2 --content TEXT",
        "note remove --institution 1 2",
    ] {
        let line = format!("sitewarden-hub {}", line.replace("ID", id));
        let parsed = Cli::try_parse_from(line.split(' '));
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn what_is_misused_is_refused() {
    for line in [
        "",
        "record list",
        "license issue --app EMS",
        "agent invite --site x",
        "agent invite",
        "agent invite --site 0190c8a0-0000-7000-8000-000000000000 --agent 0190c8a0-0000-7000-8000-000000000000",
        "serve --https nowhere",
        "user add NAME --role admin",
        "user add NAME --role king --password-file /f",
        "user add NAME --role viewer --password-file /f --customer 1 --site 0190c8a0-0000-7000-8000-000000000000",
        "user edit NAME",
        "flag resolve 1",
        "institution edit 1",
        "institution add NAME --metadata 5",
        "contact edit --institution 1 2",
        "note edit --institution 1 2",
        "user edit NAME --enable --disable",
        "customer edit 1",
        "customer edit 1 --email a@b --no-email",
        "apikey add --purpose something",
        "apikey add --purpose api --role king",
        "settings edit notice_days",
        "settings edit notice_days many",
    ] {
        let words = std::iter::once("sitewarden-hub").chain(line.split(' ').filter(|word| !word.is_empty()));
        assert!(Cli::try_parse_from(words).is_err(), "{line}");
    }
}

#[test]
fn a_span_is_read() {
    assert_eq!("7d".parse(), Ok(Span(604_800)));
    assert_eq!("90m".parse(), Ok(Span(5_400)));
    for wrong in ["", "d", "0d", "7", "7w", "-1d", "99999999999999999d"] {
        assert!(wrong.parse::<Span>().is_err(), "{wrong}");
    }
}

#[test]
fn tables_are_aligned_and_the_terminal_is_spared() {
    let rows = [vec!["1".to_owned(), "long name".to_owned()], vec!["22".to_owned(), "x".to_owned()]];
    assert_eq!(output::table(&["ID", "NAME"], &rows), "ID  NAME\n1   long name\n22  x");
    assert_eq!(output::table(&["ID"], &[]), "none");
    assert_eq!(output::shown(&serde_json::json!("a\u{1b}[31m")), "a\u{fffd}[31m");
    assert_eq!(output::bytes(&serde_json::json!(1_572_864)), "1.5 MiB");
}
