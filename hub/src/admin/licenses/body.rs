//! What a licence is to be: the same fields for a new one and for a change.

use crate::admin::{error::Error, extract::given, time};
use crate::store::{Holder, LicenseEdit, NewLicense, PolicyEdit};
use schemars::JsonSchema;
use serde::Deserialize;
use sitewarden_protocol::{
    id::SiteId,
    license::{Kind, Limits, Policy, Status, Term, Validity},
    time::UnixMillis,
};

/// The app of a licence for which none is named.
const ANY_APP: &str = "GENERAL";

/// What is given; what is not stays as it is, or is as it is for a new one. Other names are those of the command line.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::admin) struct Given {
    /// Whose: a customer's, or ours, a site's.
    customer_id: Option<i64>,
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    /// Ours: GENERAL if not given.
    app: Option<String>,
    /// Ours: made up if not given.
    name: Option<String>,
    description: Option<String>,
    /// If not given: perpetual without an end, else subscription.
    #[serde(rename = "type", alias = "kind")]
    #[schemars(with = "Option<String>")]
    kind: Option<Kind>,
    /// Ours: how long from the activation on; in place of the next two.
    #[schemars(with = "Option<String>")]
    validity: Option<Validity>,
    /// A date, or a time with its zone. If not given: now.
    #[serde(alias = "from")]
    valid_from: Option<String>,
    /// Null is without end.
    #[serde(default, alias = "until", deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    valid_until: Option<Option<String>>,
    /// Ours. Null is without limit. So too the next two.
    #[serde(default, alias = "quota", deserialize_with = "given")]
    #[schemars(with = "Option<u32>")]
    max_monitors: Option<Option<u32>>,
    #[serde(default, alias = "users", deserialize_with = "given")]
    #[schemars(with = "Option<u32>")]
    max_users: Option<Option<u32>>,
    #[serde(default, alias = "activations", deserialize_with = "given")]
    #[schemars(with = "Option<u32>")]
    max_activations: Option<Option<u32>>,
    features: Option<Vec<String>>,
    /// Ours.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    policy: PolicyEdit,
    /// Ours: per cent.
    thresholds: Option<Vec<u16>>,
    /// Ours: Inactive, Active, Expired, Deactivated or Invalid.
    #[serde(alias = "state")]
    status: Option<String>,
}

impl Given {
    pub(super) fn new_license(self, now: UnixMillis) -> Result<NewLicense, Error> {
        let holder = match (self.customer_id, self.site) {
            (Some(id), None) => Holder::Customer(id),
            (None, Some(site)) => Holder::Site(site),
            _ => return Err(Error::invalid("customer_id", "give either customer_id, or site")),
        };
        if self.status.is_some() {
            return Err(Error::invalid("status", "a new license is inactive; it is activated with its key"));
        }
        let term = self.term(now)?.unwrap_or(Term::Endless);
        let kind = self.kind.unwrap_or(if term == Term::Endless { Kind::Perpetual } else { Kind::Subscription });
        Ok(NewLicense {
            holder,
            app: self.app.unwrap_or_else(|| ANY_APP.to_owned()),
            name: self.name.unwrap_or_else(|| made_up(now)),
            kind,
            term,
            limits: Limits {
                monitors: self.max_monitors.flatten(),
                users: self.max_users.flatten(),
                activations: self.max_activations.flatten(),
            },
            features: self.features.unwrap_or_default(),
            policy: self.policy.of(Policy::default()),
            thresholds: self.thresholds.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
        })
    }

    /// The term of a new licence, if one is given.
    fn term(&self, now: UnixMillis) -> Result<Option<Term>, Error> {
        let (from, until) = self.dates()?;
        match (self.validity, from, until.flatten()) {
            (Some(validity), None, None) => Ok(Some(Term::Validity(validity))),
            (Some(_), ..) => Err(Error::invalid("validity", "give either validity, or valid_from and valid_until")),
            (None, Some(_), None) => Err(Error::invalid("valid_until", "valid_until is needed with valid_from")),
            (None, from, Some(until)) => Ok(Some(Term::Dates { from: from.unwrap_or(now), until })),
            (None, None, None) => Ok(None),
        }
    }

    pub(super) fn edit(self) -> Result<LicenseEdit, Error> {
        if self.customer_id.is_some() {
            return Err(Error::invalid("customer_id", "whose a license is does not change"));
        }
        let (from, until) = self.dates()?;
        if self.validity.is_some() && (from.is_some() || until.is_some()) {
            return Err(Error::invalid("validity", "give either validity, or valid_from and valid_until"));
        }
        let status = |name: &String| {
            let allowed = "status must be Inactive, Active, Expired, Deactivated or Invalid";
            Status::by_name(name).ok_or_else(|| Error::invalid("status", allowed))
        };
        Ok(LicenseEdit {
            name: self.name,
            description: self.description,
            app: self.app,
            site: self.site,
            kind: self.kind,
            term: self.validity.map(Term::Validity),
            from,
            until,
            monitors: self.max_monitors,
            users: self.max_users,
            activations: self.max_activations,
            features: self.features,
            policy: self.policy,
            thresholds: self.thresholds,
            status: self.status.as_ref().map(status).transpose()?,
            ..LicenseEdit::default()
        })
    }

    fn dates(&self) -> Result<(Option<UnixMillis>, Option<Option<UnixMillis>>), Error> {
        let from = self.valid_from.as_deref().map(|text| time::date("valid_from", text)).transpose()?;
        let until = match &self.valid_until {
            None => None,
            Some(None) => Some(None),
            Some(Some(text)) => Some(Some(time::date("valid_until", text)?)),
        };
        Ok((from, until))
    }
}

/// A name that says when it was made.
fn made_up(now: UnixMillis) -> String {
    format!("License of {now}")
}
