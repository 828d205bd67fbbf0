//! Why an app may or may not be used, now or then. The words and dates come from `protocol::license::explain`; here
//! they get the form in which the local API and the operator's socket tell them.

use super::Api;
use super::error::Plant;
use super::licenses::AppName;
use super::who::Technician;
use crate::clock::Moment;
use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::license::{Change, Explanation, LICENSE_MANAGEMENT, Reason, Verdict};
use std::collections::BTreeSet;

/// What is told; moments in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// The app.
    pub app: String,
    /// The moment that this is about.
    pub at: String,
    /// `allowed`, `warned`, `no_new` or `denied`.
    pub verdict: String,
    /// Whether it may be used.
    pub allowed: bool,
    /// Whether one more monitor may be reserved.
    pub new_monitors: bool,
    /// The licence that counts.
    pub license: Option<String>,
    /// Monitors in use.
    pub in_use: u32,
    /// Monitors permitted; none for without limit, or without a licence.
    pub permitted: Option<u32>,
    /// Why.
    pub reasons: Vec<ToldReason>,
    /// What will change if nobody does anything, soonest first.
    pub changes: Vec<ToldChange>,
    /// The end of the emergency override that is in force then.
    pub override_until: Option<String>,
    /// The apps that this site has licences of, in any state.
    pub apps: Vec<String>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToldReason {
    /// Since when.
    pub since: Option<String>,
    /// In words.
    pub text: String,
}

/// One change to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToldChange {
    /// When.
    pub at: String,
    /// What the app may do from then on, as in [`Told`].
    pub verdict: String,
    /// In words.
    pub text: String,
}

impl Told {
    /// Whether the app is one that this site has never had a licence of.
    pub fn is_unknown(&self) -> bool {
        self.app != LICENSE_MANAGEMENT && !self.apps.contains(&self.app)
    }

    fn new(explanation: Explanation, override_until: Option<String>, apps: Vec<String>) -> Self {
        let reason = |Reason { since, text }| ToldReason { since: since.map(|since| since.to_string()), text };
        let change = |Change { at, verdict, text }| ToldChange { at: at.to_string(), verdict: name(verdict), text };
        Self {
            app: explanation.app,
            at: explanation.at.to_string(),
            verdict: name(explanation.verdict),
            allowed: explanation.allowed,
            new_monitors: explanation.new_monitors,
            license: explanation.license,
            in_use: explanation.in_use,
            permitted: explanation.permitted,
            reasons: explanation.reasons.into_iter().map(reason).collect(),
            changes: explanation.changes.into_iter().map(change).collect(),
            override_until,
            apps,
        }
    }
}

pub(super) fn name(verdict: Verdict) -> String {
    let name = match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Warned => "warned",
        Verdict::NoNew => "no_new",
        Verdict::Denied => "denied",
    };
    name.to_owned()
}

/// The moment that `?at=` names, if it does.
pub(super) struct At(Option<Moment>);

#[derive(Deserialize)]
struct AtText {
    at: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for At {
    type Rejection = Plant;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Plant> {
        let query = Query::<AtText>::try_from_uri(&parts.uri);
        let Query(AtText { at }) = query.map_err(|_| Plant::bad_request("at: one date can be given, as ?at=DATE"))?;
        let moment = at.map(|text| text.parse()).transpose();
        moment.map(Self).map_err(|error| Plant::bad_request(format!("at: {error}")))
    }
}

/// For technicians: an app may verify and reserve, and is told no more than yes or no.
pub(super) async fn for_technicians(
    _technician: Technician,
    State(api): State<Api>,
    app: AppName,
    at: At,
) -> Result<Json<Told>, Plant> {
    for_operator(State(api), app, at).await
}

/// For the operator at the machine.
pub(super) async fn for_operator(
    State(api): State<Api>,
    AppName(app): AppName,
    At(at): At,
) -> Result<Json<Told>, Plant> {
    let now = api.clock.now();
    let at = at.map_or(Ok(now), |at| at.seen_from(now));
    let at = at.map_err(|error| Plant::bad_request(format!("at: {error}")))?;
    let state = api.enforcement.state();
    let apps: BTreeSet<_> = state.licenses.iter().map(|license| license.app.clone()).collect();
    let relieved = state.reliefs.until(at, state.snapshot.override_days).map(|until| until.to_string());
    Ok(Json(Told::new(state.explain(&app, at), relieved, apps.into_iter().collect())))
}
