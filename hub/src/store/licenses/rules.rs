//! What an edit makes of a licence. Pure: the licence, the edit, the time.
//!
//! - Invalid is final. Nothing goes back to Inactive: the site may have acted on its own activation already.
//! - The term counts from the activation. An Expired licence whose new end is ahead is Active again (a renewal); an
//!   Active one whose new end has passed is Expired.
//! - The status that it has already, when it comes with other changes, says nothing: clients send back all they got.
//! - A licence that was ever activated stays with its site and app.
//! - A quota below what runs is taken: it stops nothing that runs and blocks what is new.

use super::{edit::LicenseEdit, row::LicenseRow};
use crate::store::error::Error;
use sitewarden_protocol::{
    license::{Status, Term},
    time::UnixMillis,
};

/// What the rules forbid. The texts are those of the plant licence API, where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Invalid is final.
    #[error("Cannot change status from 'Invalid' to any other value")]
    InvalidIsFinal,
    /// There is no such way.
    #[error("Cannot change status from '{}' to '{}'", .from.name(), .to.name())]
    Status {
        /// What it is.
        from: Status,
        /// What was asked for.
        to: Status,
    },
    /// The site has another licence of this name.
    #[error("License name {0} already exists")]
    NameTaken(String),
    /// Another licence is Active for the same site and app.
    #[error("License {0} is active for the same application")]
    AnotherActive(String),
    /// More monitors run than it permits.
    #[error(
        "Unable to activate the license as the current monitor count ({in_use}) exceeds the permitted count ({permitted})"
    )]
    QuotaTooSmall {
        /// How many run.
        in_use: u32,
        /// How many it permits.
        permitted: u32,
    },
    /// There is no such site in such a plant.
    #[error("Plant id or Site id not found")]
    Place,
    /// It was activated, and belongs to its site and app since.
    #[error("Cannot change the application or site of a license that was activated")]
    Bound,
}

/// Why an edit came to nothing.
pub(super) enum Stop {
    Refused(Refusal),
    Failed(Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The licence as it is to be. `before` is not Active past its end.
pub(super) fn settle(before: &LicenseRow, edit: &LicenseEdit, now: UnixMillis) -> Result<LicenseRow, Stop> {
    let asked = edit.status.filter(|status| *status != before.status);
    if let Some(to) = asked {
        check_way(before.status, to)?;
    }
    let mut after = with_values(before, edit);
    after.term = match edit.term {
        Some(term) => term,
        None => redated(before, edit)?,
    };
    if (after.site, &after.app) != (before.site, &before.app) && before.activated_at.is_some() {
        return Err(Refusal::Bound.into());
    }
    // Also one that was given up before it was ever activated.
    if before.activated_at.is_none() && asked == Some(Status::Active) {
        after.activated_at = Some(now);
    }
    if let Some(at) = after.activated_at.filter(|_| after.term != before.term || before.activated_at.is_none()) {
        after.expires_at = end_of(after.term, at)?;
    }
    if asked == Some(Status::Expired) {
        after.expires_at = Some(after.expires_at.map_or(now, |end| end.min(now)));
    }
    let over = after.expires_at.is_some_and(|end| end <= now);
    after.status = match asked.unwrap_or(before.status) {
        Status::Active if over && asked.is_some() => {
            return Err(Refusal::Status { from: before.status, to: Status::Active }.into());
        }
        Status::Active if over => Status::Expired,
        Status::Expired if !over && asked.is_none() => Status::Active,
        status => status,
    };
    Ok(after)
}

fn with_values(before: &LicenseRow, edit: &LicenseEdit) -> LicenseRow {
    let mut after = before.clone();
    let set = |field: &mut String, value: &Option<String>| {
        if let Some(value) = value {
            field.clone_from(value);
        }
    };
    set(&mut after.name, &edit.name);
    set(&mut after.description, &edit.description);
    set(&mut after.app, &edit.app);
    after.site = edit.site.or(before.site);
    after.kind = edit.kind.unwrap_or(before.kind);
    after.limits.monitors = edit.monitors.unwrap_or(before.limits.monitors);
    after.limits.users = edit.users.unwrap_or(before.limits.users);
    after.limits.activations = edit.activations.unwrap_or(before.limits.activations);
    after.policy = edit.policy.of(before.policy);
    if let Some(features) = &edit.features {
        after.features.clone_from(features);
    }
    if let Some(thresholds) = &edit.thresholds {
        after.thresholds.clone_from(thresholds);
    }
    after
}

/// The term with other dates; one that had none begins with the licence's activation, or its issue.
fn redated(before: &LicenseRow, edit: &LicenseEdit) -> Result<Term, Error> {
    let (from, until) = match before.term {
        Term::Dates { from, until } => (Some(from), Some(until)),
        Term::Validity(_) | Term::Endless => (None, before.expires_at),
    };
    match (edit.from, edit.until) {
        (None, None) => Ok(before.term),
        (_, Some(None)) => Ok(Term::Endless),
        (first, last) => {
            let from = first.or(from).or(before.activated_at).unwrap_or(before.created_at);
            let missing = Error::Invalid { what: "valid_until", allowed: "given where the license has no end yet" };
            Ok(Term::Dates { from, until: last.flatten().or(until).ok_or(missing)? })
        }
    }
}

fn check_way(from: Status, to: Status) -> Result<(), Refusal> {
    use Status::{Active, Deactivated, Expired, Inactive, Invalid};
    match (from, to) {
        (Invalid, _) => Err(Refusal::InvalidIsFinal),
        (_, Invalid)
        | (Inactive | Expired | Deactivated, Active)
        | (Active, Expired)
        | (Inactive | Active | Expired, Deactivated) => Ok(()),
        _ => Err(Refusal::Status { from, to }),
    }
}

/// When a licence activated at `at` ends; `None` is "never", which only a term without end is.
pub(in crate::store) fn end_of(term: Term, at: UnixMillis) -> Result<Option<UnixMillis>, Error> {
    let end = term.expiry(at);
    if end.is_none() && term != Term::Endless {
        return Err(Error::Invalid { what: "term", allowed: "one whose end can be calculated" });
    }
    Ok(end)
}
