//! Webhooks, and what is sent to them. A secret is shown when it is made, and never again.

use super::{
    AdminState, Caller, Needs, Routes,
    edition::Tagged,
    error::Error,
    extract::{Body, CREATED, Id, Parameters},
    page::{Limit, Page},
    time,
};
use crate::store::{
    Delivery, DeliveryId, DeliveryStatus, Health, NewWebhook, SiteAddress, Webhook, WebhookEdit, WebhookEvent,
};
use crate::webhooks::WebhookUrl;
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::SiteId;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest that a secret counts beside its successor, hours: a year.
const MAX_OVERLAP: u32 = 366 * 24;

/// Adds these routes to a table. An address may hold what proves its caller, so it is not for everybody who may look.
pub(super) fn routes(table: Routes<AdminState>) -> Routes<AdminState> {
    let (see, change) = (Needs::OPERATE, Needs::ADMINISTER);
    table
        .get("/webhooks", see, list)
        .post("/webhooks", change, add)
        .get("/webhooks/{id}", see, show)
        .patch("/webhooks/{id}", change, edit)
        .delete("/webhooks/{id}", change, remove)
        .post("/webhooks/{id}/rotate", change, rotate)
        .post("/webhooks/{id}/test", change, test)
        .get("/webhooks/{id}/deliveries", see, deliveries)
        .get("/webhook-deliveries/{id}", see, show_delivery)
        .post("/webhook-deliveries/{id}/resend", change, resend)
        .put("/sites/{id}/webhook", Needs::WHOLE_HUB, set_address)
        .delete("/sites/{id}/webhook", Needs::WHOLE_HUB, remove_address)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    url: String,
    customer: Option<i64>,
    #[serde(default)]
    description: String,
    /// All, if not given.
    events: Option<Vec<WebhookEvent>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    url: Option<String>,
    description: Option<String>,
    events: Option<Vec<WebhookEvent>>,
    enabled: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Hours that the old secret still counts.
    overlap: u32,
}

/// Nothing is said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    customer: Option<i64>,
    after: Option<i64>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryQuery {
    status: Option<String>,
    /// The last one of the page before: they come newest first.
    after: Option<String>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Address {
    url: String,
    secret: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct View {
    id: i64,
    /// Whose agent it calls; null for another system.
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    /// Null hears of every customer.
    customer: Option<i64>,
    url: String,
    description: String,
    events: Vec<WebhookEvent>,
    enabled: bool,
    health: Health,
    waiting: u64,
    dropped: u64,
    failing_since: Option<String>,
    last_success: Option<String>,
    last_failure: Option<String>,
    last_error: Option<String>,
    /// Until when the secret before counts too.
    previous_secret_until: Option<String>,
    /// Grows with every edit; not with what is sent.
    revision: i64,
    created_at: String,
}

/// A webhook with a new secret, this once. Does not print.
#[derive(Serialize, JsonSchema)]
pub(super) struct Made {
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(flatten)]
    view: View,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct DeliveryView {
    #[schemars(with = "String")]
    id: DeliveryId,
    webhook: i64,
    event: String,
    status: DeliveryStatus,
    attempts: u32,
    next_attempt: Option<String>,
    last_attempt: Option<String>,
    last_status: Option<u16>,
    last_error: Option<String>,
    created_at: String,
    finished_at: Option<String>,
    /// What is sent; null for a site's agent, which is told how things stand when it is called.
    body: Option<String>,
}

async fn add(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Tagged<Made>), Error> {
    let New { url, customer, description, events } = new;
    let events = events.unwrap_or_else(|| WebhookEvent::ALL.to_vec());
    let new = NewWebhook { url: parsed(&url)?, customer, description, events };
    let made = state.store.add_webhook(&caller.act(), caller.scope(), new).await?;
    Ok((CREATED, Made::tagged(Some(made.secret), made.webhook)))
}

async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let webhooks = state.store.list_webhooks(caller.scope(), query.customer, query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(webhooks, query.limit, |webhook| webhook.id.to_string(), View::from)))
}

async fn show(caller: Caller, State(state): State<AdminState>, Id(id): Id<i64>) -> Result<Tagged<View>, Error> {
    Ok(View::tagged(state.store.show_webhook(caller.scope(), id).await?))
}

async fn edit(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
    Body(edit): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    let Edit { url, description, events, enabled } = edit;
    let edit = WebhookEdit { url: url.as_deref().map(parsed).transpose()?, description, events, enabled };
    Ok(View::tagged(state.store.edit_webhook(&caller.act(), caller.scope(), id, edit).await?))
}

async fn remove(caller: Caller, State(state): State<AdminState>, Id(id): Id<i64>) -> Result<Json<View>, Error> {
    Ok(Json(state.store.remove_webhook(&caller.act(), caller.scope(), id).await?.into()))
}

async fn rotate(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
    Body(Rotation { overlap }): Body<Rotation>,
) -> Result<Tagged<Made>, Error> {
    if overlap > MAX_OVERLAP {
        return Err(Error::invalid("overlap", format!("overlap must be 0 to {MAX_OVERLAP} hours")));
    }
    let overlap = Duration::from_secs(u64::from(overlap) * 3_600);
    let made = state.store.rotate_webhook(&caller.act(), caller.scope(), id, overlap).await?;
    Ok(Made::tagged(Some(made.secret), made.webhook))
}

async fn test(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<(StatusCode, Json<DeliveryView>), Error> {
    Ok((CREATED, Json(state.store.test_webhook(&caller.act(), caller.scope(), id).await?.into())))
}

async fn deliveries(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<i64>,
    Parameters(query): Parameters<DeliveryQuery>,
) -> Result<Json<Page<DeliveryView>>, Error> {
    let wrong = || Error::invalid("status", "status must be waiting, delivered or failed");
    let status = query.status.map(|name| DeliveryStatus::by_name(&name).ok_or_else(wrong)).transpose()?;
    let after = query.after.map(|id| id.parse()).transpose();
    let after = after.map_err(|error: crate::store::NotADelivery| Error::invalid("after", error.to_string()))?;
    let deliveries = state.store.list_deliveries(caller.scope(), id, status, after, query.limit.rows()).await?;
    Ok(Json(Page::of(deliveries, query.limit, |delivery| delivery.id.to_string(), DeliveryView::from)))
}

async fn show_delivery(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<DeliveryId>,
) -> Result<Json<DeliveryView>, Error> {
    Ok(Json(state.store.show_delivery(caller.scope(), id).await?.into()))
}

async fn resend(
    caller: Caller,
    State(state): State<AdminState>,
    Id(id): Id<DeliveryId>,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<DeliveryView>, Error> {
    Ok(Json(state.store.resend_delivery(&caller.act(), caller.scope(), id).await?.into()))
}

/// Sets where a site's agent is called.
async fn set_address(
    caller: Caller,
    State(state): State<AdminState>,
    Id(site): Id<SiteId>,
    Body(Address { url, secret }): Body<Address>,
) -> Result<Tagged<Made>, Error> {
    let address = SiteAddress { url: parsed(&url)?, secret: secret.map(Zeroizing::new) };
    let (webhook, made) = state.store.set_site_address(&caller.act(), site, address).await?;
    Ok(Made::tagged(made, webhook))
}

async fn remove_address(
    caller: Caller,
    State(state): State<AdminState>,
    Id(site): Id<SiteId>,
) -> Result<Json<View>, Error> {
    Ok(Json(state.store.remove_site_address(&caller.act(), site).await?.into()))
}

fn parsed(url: &str) -> Result<WebhookUrl, Error> {
    url.parse().map_err(|error: crate::webhooks::NotAWebhookUrl| Error::invalid("url", error.to_string()))
}

impl Made {
    fn tagged(secret: Option<Zeroizing<String>>, webhook: Webhook) -> Tagged<Self> {
        Tagged(webhook.revision, Self { secret: secret.map(|secret| secret.to_string()), view: webhook.into() })
    }
}

impl View {
    fn tagged(webhook: Webhook) -> Tagged<Self> {
        Tagged(webhook.revision, webhook.into())
    }
}

impl From<Webhook> for View {
    fn from(webhook: Webhook) -> Self {
        let health = webhook.standing.health(crate::wall_clock());
        let standing = webhook.standing;
        Self {
            id: webhook.id,
            site: webhook.site,
            customer: webhook.customer,
            url: webhook.url,
            description: webhook.description,
            events: webhook.events,
            enabled: webhook.enabled,
            health,
            waiting: standing.waiting,
            dropped: standing.dropped,
            failing_since: standing.failing_since.map(time::text),
            last_success: standing.last_success.map(time::text),
            last_failure: standing.last_failure.map(time::text),
            last_error: standing.last_error,
            previous_secret_until: webhook.previous_until.map(time::text),
            revision: webhook.revision,
            created_at: time::text(webhook.created_at),
        }
    }
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook: delivery.webhook,
            event: delivery.event,
            status: delivery.status,
            attempts: delivery.attempts,
            next_attempt: delivery.next_attempt.map(time::text),
            last_attempt: delivery.last_attempt.map(time::text),
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            created_at: time::text(delivery.created_at),
            finished_at: delivery.finished_at.map(time::text),
            body: Some(delivery.body).filter(|body| !body.is_empty()),
        }
    }
}
