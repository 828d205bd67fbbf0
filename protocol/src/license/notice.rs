//! Who is told that a licence has expired or is about to: the rules of `_notification`, and its texts to the letter.
//!
//! The document shows texts and shapes only. Decided here, for agent and hub alike:
//! - About to expire: Active, with an end that is not over and at most the given days away.
//! - Expired: the licence of its app that ended last, by status or by time. It is mentioned until its app has an Active
//!   one that is not about to expire; the document shows both side by side for EMS.
//! - Inactive, Deactivated and Invalid licences are never mentioned, nor those without an end.
//! - `LM`, like no app at all, stands for all apps.
//! - Expired ones come first, each kind in the order of apps. Dates are UTC days, in the form of `Mar 09 2025`.
//! - Without parameters only what is about to expire is told, once for each app and plant, as that is all the document
//!   has a text for; nothing is `""`, one is a text, more are a list. With parameters it is always a list.

use super::{LICENSE_MANAGEMENT, License, Status};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// How long before its end a licence is about to expire, days, unless a setting says otherwise.
pub const AHEAD_DAYS: u16 = 30;

/// A licence that somebody should renew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// For which app.
    pub app: String,
    /// When it ended, or will.
    pub at: UnixMillis,
    /// Whether it has ended.
    pub expired: bool,
}

/// What there is to tell about one site's licences, those of `app` only if one is given.
pub fn notices(licenses: &[License], app: Option<&str>, now: UnixMillis, ahead_days: u16) -> Vec<Notice> {
    let horizon = now.after(Duration::from_secs(86_400) * u32::from(ahead_days));
    let app = app.filter(|app| *app != LICENSE_MANAGEMENT);
    let (mut expired, mut ending, mut lasting) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for license in licenses.iter().filter(|license| app.is_none_or(|app| license.app == app)) {
        let end = license.expires_at;
        let over = license.status == Status::Expired || end.is_some_and(|end| end <= now);
        match (license.status, end) {
            (Status::Active | Status::Expired, Some(end)) if over => {
                let last = expired.entry(license.app.as_str()).or_insert(end);
                *last = end.max(*last);
            }
            (Status::Active, Some(end)) if end <= horizon => {
                ending.insert(license.app.as_str(), end);
            }
            (Status::Active, _) => lasting.push(license.app.as_str()),
            _ => {}
        }
    }
    expired.retain(|app, _| !lasting.contains(app));
    let notice = |expired| move |(app, at): (&str, UnixMillis)| Notice { app: app.to_owned(), at, expired };
    expired.into_iter().map(notice(true)).chain(ending.into_iter().map(notice(false))).collect()
}

impl Notice {
    /// The text where parameters were given.
    pub fn dated(&self) -> String {
        let what = if self.expired { "has expired" } else { "is about to expire" };
        let on = self.at.calendar().map_or_else(|| self.at.to_string(), |day| day.format("%b %d %Y").to_string());
        format!("The {} license {what} on {on}. Please contact your Administrator to renew your license.", self.app)
    }

    /// The text where no parameters were given; `None` for what has expired.
    pub fn of_plant(&self, plant: &str) -> Option<String> {
        (!self.expired).then(|| format!("The {} license for {plant} plant is about to expire", self.app))
    }
}

/// `notification` where no parameters were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Brief {
    /// The one text, or nothing: `""`.
    One(String),
    /// All of them.
    Many(Vec<String>),
}

impl Brief {
    /// The shape that fits the number of texts; the same text is told once.
    pub fn of(texts: impl IntoIterator<Item = String>) -> Self {
        let mut told: Vec<String> = Vec::new();
        for text in texts {
            if !told.contains(&text) {
                told.push(text);
            }
        }
        match told.len() {
            0 | 1 => Self::One(told.pop().unwrap_or_default()),
            _ => Self::Many(told),
        }
    }
}

/// What was asked for, and is said again.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Asked {
    /// Of which site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_id: Option<String>,
    /// Of which plant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plant_id: Option<String>,
    /// Of which app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

impl Asked {
    /// Parameters that are there and empty are as good as not there.
    #[must_use]
    pub fn without_blanks(self) -> Self {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Self { site_id: given(self.site_id), plant_id: given(self.plant_id), app: given(self.app) }
    }

    /// Whether no parameter was given.
    pub const fn is_nothing(&self) -> bool {
        self.site_id.is_none() && self.plant_id.is_none() && self.app.is_none()
    }
}

/// The whole answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// What there is to tell.
    pub notification: Brief,
    /// What was asked for.
    #[serde(flatten)]
    pub asked: Asked,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().into()
    }

    fn license(app: &str, status: Status, end: Option<&str>) -> License {
        License { expires_at: end.map(at), ..super::super::testing::license(1, app, status) }
    }

    fn told(licenses: &[License], app: Option<&str>, now: &str) -> Vec<String> {
        notices(licenses, app, at(now), AHEAD_DAYS).iter().map(Notice::dated).collect()
    }

    /// The document's own three answers.
    #[test]
    fn the_documented_lists_come_out_to_the_letter() {
        let licenses = [
            license("EMS", Status::Active, Some("2025-03-19T09:00:00Z")),
            license("EMS", Status::Expired, Some("2025-02-21T09:00:00Z")),
            license("EMS", Status::Expired, Some("2024-02-21T09:00:00Z")),
            license("CBM", Status::Active, Some("2025-02-21T09:00:00Z")),
        ];
        let expired = |app| {
            format!(
                "The {app} license has expired on Feb 21 2025. Please contact your Administrator to renew your license."
            )
        };
        let ending = "The EMS license is about to expire on Mar 19 2025. \
                      Please contact your Administrator to renew your license.";
        let now = "2025-03-01T00:00:00Z";
        let all = [expired("CBM"), expired("EMS"), ending.to_owned()];
        assert_eq!(told(&licenses, Some("LM"), now), all);
        assert_eq!(told(&licenses, None, now), all);
        assert_eq!(told(&licenses, Some("EMS"), now), all[1..]);
        assert_eq!(told(&licenses, Some("CBM"), now), all[..1]);
        assert_eq!(told(&[], Some("LM"), now), [""; 0]);
    }

    #[test]
    fn thirty_days_before_the_end_it_begins() {
        let licenses = [license("EMS", Status::Active, Some("2025-03-31T00:00:00Z"))];
        let told = |now: &str| notices(&licenses, None, at(now), 30).iter().map(|one| one.expired).collect::<Vec<_>>();
        assert_eq!(told("2025-02-28T23:59:59Z"), [true; 0]);
        assert_eq!(told("2025-03-01T00:00:00Z"), [false]);
        assert_eq!(told("2025-03-30T23:59:59Z"), [false]);
        assert_eq!(told("2025-03-31T00:00:00Z"), [true]);
    }

    #[test]
    fn what_was_renewed_withdrawn_or_never_activated_is_not_mentioned() {
        let past = Some("2024-01-01T00:00:00Z");
        let now = "2025-03-01T00:00:00Z";
        for status in [Status::Inactive, Status::Deactivated, Status::Invalid] {
            assert_eq!(told(&[license("EMS", status, past)], None, now), [""; 0], "{status:?}");
        }
        let renewed = [license("EMS", Status::Expired, past), license("EMS", Status::Active, None)];
        assert_eq!(told(&renewed, None, now), [""; 0]);
        assert_eq!(told(&renewed[..1], None, now).len(), 1);
    }

    #[test]
    fn without_parameters_the_shape_depends_on_the_number() {
        let text = |app: &str, expired| Notice { app: app.into(), at: UnixMillis(0), expired }.of_plant("PlantTest");
        let (cbm, ems) = (text("CBM", false).unwrap(), text("EMS", false).unwrap());
        assert_eq!(ems, "The EMS license for PlantTest plant is about to expire");
        assert_eq!(text("EMS", true), None);
        assert_eq!(Brief::of([]), Brief::One(String::new()));
        assert_eq!(Brief::of([ems.clone(), ems.clone()]), Brief::One(ems.clone()));
        assert_eq!(Brief::of([cbm.clone(), ems.clone()]), Brief::Many(vec![cbm, ems]));
    }
}
