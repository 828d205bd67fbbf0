//! A licence as the plant licence API shows it, field by field as documented; agent and hub alike.
//!
//! Decided where the document is silent: what does not apply is `null` (the moments of a licence that was not activated,
//! the quota of one without limit, the validity of one sold with dates); names of places are in every answer.

use super::{License, Status, Term, Validity};
use crate::id::{LicenseId, PlantId, SiteId};
use crate::time::UnixMillis;
use serde::Serialize;

/// Where a licence is at home.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its site.
    pub site: SiteId,
    /// Its site's name.
    pub site_name: &'a str,
    /// Its plant.
    pub plant: PlantId,
    /// Its plant's name.
    pub plant_name: &'a str,
}

/// What is shown of a licence. Moments are Unix seconds.
#[derive(Debug, Serialize)]
pub struct Shown {
    license_id: LicenseId,
    license_key: String,
    license_name: String,
    plant_id: PlantId,
    site_id: SiteId,
    created_at: i64,
    activated_at: Option<i64>,
    license_validity: Option<Validity>,
    expiry_date: Option<i64>,
    app: String,
    license_quota: Option<u32>,
    status: &'static str,
    license_description: String,
    latest: bool,
    site_name: String,
    plant_name: String,
    license_used: u32,
}

impl Shown {
    /// A licence of a site at `now`. `key` is what this caller may see of its key. `used` are the monitors of its app in
    /// use if it is the newest activated one of its app there, `None` if it is not.
    pub fn of(license: License, place: &Place<'_>, key: String, used: Option<u32>, now: UnixMillis) -> Self {
        Self {
            license_id: license.id,
            license_key: key,
            plant_id: place.plant,
            site_id: place.site,
            created_at: license.created_at.seconds(),
            activated_at: license.activated_at.map(UnixMillis::seconds),
            license_validity: match license.term {
                Term::Validity(validity) => Some(validity),
                Term::Dates { .. } | Term::Endless => None,
            },
            expiry_date: license.expires_at.map(UnixMillis::seconds),
            license_quota: license.limits.monitors,
            status: status_at(&license, now).name(),
            latest: used.is_some(),
            site_name: place.site_name.to_owned(),
            plant_name: place.plant_name.to_owned(),
            license_used: used.unwrap_or_default(),
            license_name: license.name,
            app: license.app,
            license_description: license.description,
        }
    }
}

/// The newest activated licence of an app, of one site's licences in the order of their issue.
pub fn newest<'a>(licenses: &'a [License], app: &str) -> Option<&'a License> {
    let activated = licenses.iter().filter(|license| license.app == app && license.activated_at.is_some());
    activated.max_by_key(|license| license.activated_at)
}

/// Nothing may have come by yet to call a licence expired whose time is over.
fn status_at(license: &License, now: UnixMillis) -> Status {
    let over = license.status == Status::Active && license.expires_at.is_some_and(|end| end <= now);
    if over { Status::Expired } else { license.status }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, SITE, license};
    use super::*;

    const PLACE: Place<'_> =
        Place { site: SITE, site_name: "TestSite", plant: PlantId::from_bytes([2; 16]), plant_name: "PlantTest" };

    /// The document's own sample, in its own order.
    #[test]
    fn every_documented_field_is_there_in_the_documented_order() {
        let sold = License {
            activated_at: Some(UnixMillis(1_742_316_312_000)),
            expires_at: Some(UnixMillis(1_742_402_712_000)),
            created_at: UnixMillis(1_742_299_610_000),
            term: Term::Validity("1d".parse().unwrap()),
            ..license(1, "EMS", Status::Active)
        };
        let now = UnixMillis(1_742_402_711_999);
        let shown = serde_json::to_string(&Shown::of(sold.clone(), &PLACE, "KEY".into(), Some(2), now)).unwrap();
        let expected = r#"{"license_id":"01010101-0101-0101-0101-010101010101","license_key":"KEY","license_name":"L1","plant_id":"02020202-0202-0202-0202-020202020202","site_id":"01010101-0101-0101-0101-010101010101","created_at":1742299610,"activated_at":1742316312,"license_validity":"1d","expiry_date":1742402712,"app":"EMS","license_quota":2,"status":"Active","license_description":"","latest":true,"site_name":"TestSite","plant_name":"PlantTest","license_used":2}"#;
        assert_eq!(shown, expected);
        let over = serde_json::to_value(Shown::of(sold, &PLACE, String::new(), None, UnixMillis(1_742_402_712_000)));
        let over = over.unwrap();
        assert_eq!(
            (&over["status"], &over["latest"], &over["license_used"]),
            (&"Expired".into(), &false.into(), &0.into())
        );
    }

    #[test]
    fn what_does_not_apply_is_null() {
        let mut sold = license(1, "EMS", Status::Inactive);
        (sold.term, sold.limits.monitors) = (Term::Endless, None);
        let shown = serde_json::to_value(Shown::of(sold, &PLACE, String::new(), None, NOW)).unwrap();
        for field in ["activated_at", "expiry_date", "license_validity", "license_quota"] {
            assert!(shown[field].is_null(), "{field}: {shown}");
        }
    }

    #[test]
    fn the_newest_is_the_one_activated_last_and_of_two_at_once_the_one_issued_last() {
        let at = |number, app, at: Option<i64>| License {
            activated_at: at.map(UnixMillis),
            ..license(number, app, Status::Active)
        };
        let all = [
            at(1, "EMS", Some(5)),
            at(2, "EMS", Some(9)),
            at(3, "EMS", Some(9)),
            at(4, "EMS", None),
            at(5, "CBM", Some(99)),
        ];
        assert_eq!(newest(&all, "EMS").map(|one| one.id), Some(all[2].id));
        assert_eq!(newest(&all[3..4], "EMS"), None);
    }
}
