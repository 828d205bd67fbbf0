//! Licences that belong to a customer and no site, and the counts of all licences.

use crate::store::{
    Error, Holder, LicenseEdit, LicenseSelector, NewLicense, Scope,
    testing::{Fixture, NOW, act},
};
use sitewarden_protocol::{
    license::{ActivationError, Status},
    time::UnixMillis,
};

impl Fixture {
    fn for_customer(&self, name: &str) -> NewLicense {
        NewLicense { holder: Holder::Customer(1), ..self.license(name) }
    }
}

#[tokio::test]
async fn a_license_of_a_customer_has_a_short_key_and_is_in_no_snapshot() {
    let fixture = Fixture::new().await;
    let issued = fixture.store.issue_license(&act(), fixture.for_customer("L1")).await.unwrap();
    assert_eq!(issued.key.split('-').map(str::len).collect::<Vec<_>>(), [4; 4]);
    assert_eq!((issued.license.site, issued.license.customer), (None, 1));
    let snapshot = fixture.store.snapshot_of(fixture.site).await.unwrap();
    assert_eq!((snapshot.revision, snapshot.licenses.len()), (1, 0));
    // Nothing tells two of them apart by their names.
    fixture.store.issue_license(&act(), fixture.for_customer("L1")).await.unwrap();
    let nobody = NewLicense { holder: Holder::Customer(9), ..fixture.license("L1") };
    let refused = fixture.store.issue_license(&act(), nobody).await;
    assert!(matches!(refused, Err(Error::NotFound { what: "customer" })), "{refused:?}");
}

#[tokio::test]
async fn several_of_one_app_are_in_force_at_once_and_each_ends_by_itself() {
    let fixture = Fixture::new().await;
    for name in ["L1", "L2"] {
        let key = fixture.store.issue_license(&act(), fixture.for_customer(name)).await.unwrap().key;
        let activated = fixture.store.activate_license(&act(), Scope::default(), &key, false).await.unwrap().unwrap();
        assert_eq!(activated.status, Status::Active);
        let again = fixture.store.activate_license(&act(), Scope::default(), &key, false).await.unwrap();
        assert_eq!(again, Err(ActivationError::Spent));
    }
    let end = UnixMillis(NOW.0 + 366 * 86_400_000);
    let later = crate::store::Act { at: end, ..act() };
    let renamed = LicenseEdit { name: Some("L3".into()), ..LicenseEdit::default() };
    let edited = fixture.store.edit_license(&later, LicenseSelector::Number(1), renamed).await.unwrap().unwrap();
    assert_eq!((edited.status, edited.name.as_str()), (Status::Expired, "L3"));
    assert_eq!(fixture.store.show_license(LicenseSelector::Number(2)).await.unwrap().status, Status::Active);
    assert_eq!(fixture.store.expire_licenses(end).await.unwrap(), 1);
}

#[tokio::test]
async fn whoever_is_limited_to_a_site_sees_none_of_them() {
    let fixture = Fixture::new().await;
    let issued = fixture.store.issue_license(&act(), fixture.for_customer("L1")).await.unwrap();
    let here = Scope { site: Some(fixture.site), customer: None };
    assert!(!here.covers(&issued.license));
    assert!(Scope { customer: Some(1), site: None }.covers(&issued.license));
    let hidden = fixture.store.activate_license(&act(), here, &issued.key, false).await.unwrap();
    assert_eq!(hidden, Err(ActivationError::Unknown));
    let shown = fixture.store.seen_license(Scope::default(), issued.license.uuid).await;
    assert!(matches!(shown, Err(Error::NotFound { .. })), "the plant licence API knows no licence without a site");
    assert!(fixture.store.in_force(Scope::default(), None, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn before_its_first_activation_one_may_be_given_to_a_site() {
    let fixture = Fixture::new().await;
    let issued = fixture.store.issue_license(&act(), fixture.for_customer("L1")).await.unwrap();
    let here = LicenseEdit { site: Some(fixture.site), ..LicenseEdit::default() };
    let which = LicenseSelector::Number(issued.license.id);
    let moved = fixture.store.edit_license(&act(), which, here).await.unwrap().unwrap();
    assert_eq!(moved.site, Some(fixture.site));
    let snapshot = fixture.store.snapshot_of(fixture.site).await.unwrap();
    assert!(snapshot.licenses[0].key.matches(fixture.site, &issued.key));
}

#[tokio::test]
async fn thresholds_are_sorted_and_bounded() {
    let fixture = Fixture::new().await;
    let new = NewLicense { thresholds: vec![100, 80, 80], ..fixture.license("L1") };
    assert_eq!(fixture.store.issue_license(&act(), new).await.unwrap().license.thresholds, [80, 100]);
    for wrong in [vec![0], vec![1_001], (1..=11).collect()] {
        let edit = LicenseEdit { thresholds: Some(wrong), ..LicenseEdit::default() };
        let refused = fixture.store.edit_license(&act(), LicenseSelector::Number(1), edit).await;
        assert!(matches!(refused, Err(Error::Invalid { what: "thresholds", .. })), "{refused:?}");
    }
    let none = LicenseEdit { thresholds: Some(vec![]), ..LicenseEdit::default() };
    let edited = fixture.store.edit_license(&act(), LicenseSelector::Number(1), none).await.unwrap().unwrap();
    assert_eq!((edited.thresholds.as_slice(), edited.revision), (&[] as &[u16], 2));
}

#[tokio::test]
async fn the_tallies_say_what_counting_says() {
    let fixture = Fixture::new().await;
    for name in ["L1", "L2", "L3"] {
        fixture.store.issue_license(&act(), fixture.license(name)).await.unwrap();
        fixture.store.issue_license(&act(), fixture.for_customer(name)).await.unwrap();
    }
    let revoke = LicenseEdit { status: Some(Status::Invalid), ..LicenseEdit::default() };
    for number in [1, 2] {
        fixture.store.edit_license(&act(), LicenseSelector::Number(number), revoke.clone()).await.unwrap().unwrap();
    }
    let given = LicenseEdit { site: Some(fixture.site), name: Some("L4".into()), ..LicenseEdit::default() };
    fixture.store.edit_license(&act(), LicenseSelector::Number(4), given).await.unwrap().unwrap();
    let wrong = "WITH counted AS (
            SELECT 'all' AS scope, status, count(*) AS licenses FROM licenses GROUP BY status
            UNION ALL SELECT 'customer ' || customer, status, count(*) FROM licenses GROUP BY customer, status
            UNION ALL SELECT 'site ' || hex(site), status, count(*) FROM licenses WHERE site IS NOT NULL GROUP BY site, status)
        SELECT count(*) FROM counted FULL JOIN (SELECT * FROM license_tallies WHERE licenses > 0) AS kept
            ON kept.scope = counted.scope AND kept.status = counted.status
            WHERE kept.licenses IS NOT counted.licenses";
    assert_eq!(fixture.number(wrong).await, 0);
    assert_eq!(fixture.number("SELECT sum(licenses) FROM license_tallies WHERE scope LIKE 'site %'").await, 4);
}
