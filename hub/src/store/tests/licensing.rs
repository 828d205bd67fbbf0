use crate::store::{
    Error, LicenseSelector,
    testing::{Fixture, act},
};
use sitewarden_protocol::license::Status;

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn a_license_is_issued_shown_and_part_of_the_snapshot() {
    let fixture = Fixture::new().await;
    let mut changes = fixture.store.changes();
    let issued = fixture.store.issue_license(&act(), fixture.license("L1")).await.unwrap();
    assert_eq!(issued.key.len(), 32);
    assert_eq!(changes.try_recv(), Ok(fixture.site));
    let by_uuid = LicenseSelector::Uuid(issued.license.uuid);
    assert_eq!(fixture.store.reveal_license(by_uuid).await.unwrap().key, issued.key);
    assert_eq!(fixture.store.license_by_key(&format!(" {} ", issued.key)).await.unwrap(), issued.license);
    let parts = fixture.store.snapshot_of(fixture.site).await.unwrap();
    assert_eq!((parts.revision, parts.licenses.len()), (2, 1));
    assert_eq!((parts.plant_name.as_str(), parts.customer_name.as_str()), ("North", "Acme"));
    assert!(parts.licenses[0].key.matches(fixture.site, &issued.key));
    assert_eq!(parts.licenses[0].status, Status::Inactive);
    assert!(!format!("{issued:?}").contains(&issued.key));
}

#[tokio::test]
async fn two_licenses_of_one_name_clash_and_nothing_is_left_of_the_second() {
    let fixture = Fixture::new().await;
    fixture.store.issue_license(&act(), fixture.license("L1")).await.unwrap();
    let second = fixture.store.issue_license(&act(), fixture.license("L1")).await;
    assert!(matches!(second, Err(Error::Conflict { .. })), "{second:?}");
    assert_eq!(fixture.number("SELECT count(*) FROM license_revisions").await, 1);
    assert_eq!(fixture.number("SELECT count(*) FROM audit_log WHERE action = 'license.issue'").await, 1);
    assert_eq!(fixture.store.snapshot_of(fixture.site).await.unwrap().revision, 2);
}

#[tokio::test]
async fn a_key_is_not_readable_in_the_files() {
    let fixture = Fixture::new().await;
    let key = fixture.store.issue_license(&act(), fixture.license("a name to find")).await.unwrap().key;
    let read_all = |folder: &std::path::Path| -> Vec<u8> {
        let files = std::fs::read_dir(folder).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    };
    let folder = fixture.path().parent().unwrap().to_owned();
    let open = read_all(&folder);
    fixture.store.close().await;
    let closed = read_all(&folder);
    for bytes in [open, closed] {
        assert!(holds(&bytes, b"a name to find"));
        assert!(!holds(&bytes, key.as_bytes()));
        assert!(!holds(&bytes, &key.as_bytes()[..12]));
    }
}

#[tokio::test]
async fn names_are_unique_within_their_parent() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let conflict = store.add_customer(&act(), " Acme ", None).await;
    assert!(matches!(conflict, Err(Error::Conflict { .. })), "{conflict:?}");
    let other = store.add_customer(&act(), "Other", None).await.unwrap();
    let plant = store.add_plant(&act(), "North", other.id).await.unwrap();
    store.add_site(&act(), "Line 1", plant.id).await.unwrap();
    let conflict = store.add_site(&act(), "Line 1", plant.id).await;
    assert!(matches!(conflict, Err(Error::Conflict { .. })), "{conflict:?}");
    assert!(matches!(store.add_plant(&act(), "South", 99).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.add_customer(&act(), "\n", None).await, Err(Error::Invalid { .. })));
    assert_eq!(store.broken_audit_row().await.unwrap(), None);
}

#[tokio::test]
async fn there_is_one_first_administrator() {
    let fixture = Fixture::new().await;
    fixture.store.add_first_administrator(&act(), "admin", "$argon2id$…").await.unwrap();
    let second = fixture.store.add_first_administrator(&act(), "eve", "$argon2id$…").await;
    assert!(matches!(second, Err(Error::Conflict { .. })), "{second:?}");
}

#[tokio::test]
async fn a_changed_audit_row_is_found() {
    let fixture = Fixture::new().await;
    fixture.store.add_customer(&act(), "Second", None).await.unwrap();
    assert_eq!(fixture.store.broken_audit_row().await.unwrap(), None);
    let forge = |tx: &crate::store::writer::Tx<'_>| {
        Ok(tx.execute("UPDATE audit_log SET by = 'somebody else' WHERE id = 2", [])?)
    };
    fixture.store.write(forge).await.unwrap();
    assert_eq!(fixture.store.broken_audit_row().await.unwrap(), Some(2));
}
