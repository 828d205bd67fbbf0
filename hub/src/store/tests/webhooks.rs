//! The outbox: what is written with what happens, to whom, and what becomes of it.

use crate::store::{
    Act, Attempt, DeliveryStatus, Error, Health, LicenseEdit, LicenseRow, LicenseSelector, Message, NewLicense,
    NewWebhook, Room, Scope, SiteAddress, Store, Webhook, WebhookEdit, WebhookEvent,
    flags::{self, KeyFlag, NewFlag},
    licenses, sites,
    testing::{Fixture, NOW, act},
    webhooks::{agent_seen, take_for_offline, tell_of_expiring},
    writer::Tx,
};
use serde_json::{Value, json};
use sitewarden_protocol::{
    id::AgentId,
    license::Status,
    message::{LiveStatus, Quota},
    snapshot::Version,
    time::UnixMillis,
};
use std::{collections::HashMap, time::Duration};
use zeroize::Zeroizing;

const ALL: Scope = Scope { customer: None, site: None };
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn all() -> Room {
    Room { total: 100, each: 100, ..Room::default() }
}

fn new(customer: Option<i64>, events: &[WebhookEvent]) -> NewWebhook {
    let url = "https://example.com/hook".parse().unwrap();
    NewWebhook { url, customer, description: String::new(), events: events.to_vec() }
}

fn failed(again: Option<UnixMillis>) -> Attempt {
    Attempt::Failed { status: Some(500), error: "answered 500".into(), again }
}

impl Fixture {
    pub(super) async fn webhook(&self, customer: Option<i64>, events: &[WebhookEvent]) -> Webhook {
        self.store.add_webhook(&act(), ALL, new(customer, events)).await.unwrap().webhook
    }

    /// The events and data that wait for a webhook, oldest first.
    pub(super) async fn heard(&self, webhook: i64) -> Vec<Value> {
        let mut deliveries = self.store.list_deliveries(ALL, webhook, None, None, 1_000).await.unwrap();
        deliveries.sort_by_key(|delivery| delivery.id);
        deliveries.iter().map(|delivery| serde_json::from_str(&delivery.body).unwrap()).collect()
    }

    async fn events(&self, webhook: i64) -> Vec<String> {
        self.heard(webhook).await.iter().map(|told| told["event"].as_str().unwrap().to_owned()).collect()
    }

    async fn says_something(&self, agent: AgentId, at: UnixMillis) {
        self.says(agent, at, vec![]).await;
    }

    async fn says(&self, agent: AgentId, at: UnixMillis, quotas: Vec<Quota>) {
        let live = LiveStatus {
            at,
            backlog: 0,
            oldest_unacknowledged: None,
            journal_bytes: 0,
            quotas,
            snapshot: Version::default(),
        };
        self.store.report_status(agent, at, [1; 16], live).await.unwrap();
    }
}

/// The only licence.
fn one(tx: &Tx<'_>) -> LicenseRow {
    licenses::find(tx, LicenseSelector::Number(1)).unwrap()
}

fn becomes(tx: &Tx<'_>, status: Status) -> Result<(), Error> {
    let before = one(tx);
    let end = UnixMillis(NOW.0 + 1_000);
    let after = LicenseRow { status, activated_at: Some(NOW), expires_at: Some(end), ..before.clone() };
    licenses::save(tx, &act(), &before, after, None).map(drop)
}

/// Runs a cause in a transaction that is given up, then in one that stays.
async fn twice(fixture: &Fixture, what: &str, cause: fn(&Tx<'_>) -> Result<(), Error>) {
    let count = "SELECT (SELECT count(*) FROM webhook_deliveries) + (SELECT sum(changed) FROM webhooks)";
    let before = fixture.number(count).await;
    let given_up: Result<(), Error> = fixture
        .store
        .write(move |tx| {
            cause(tx)?;
            Err(Error::Unavailable)
        })
        .await;
    assert!(matches!(given_up, Err(Error::Unavailable)), "{what}: {given_up:?}");
    assert_eq!(fixture.number(count).await, before, "{what} was given up, and somebody is told");
    fixture.store.write(cause).await.unwrap();
    assert!(fixture.number(count).await > before, "{what} happened, and nobody is told");
}

#[tokio::test]
async fn whatever_is_rolled_back_leaves_no_delivery_and_what_stays_leaves_one() {
    let fixture = Fixture::new().await;
    fixture.webhook(None, &WebhookEvent::ALL).await;
    let address = SiteAddress { url: "https://example.com/".parse().unwrap(), secret: None };
    fixture.store.set_site_address(&act(), fixture.site, address).await.unwrap();
    fixture.store.issue_license(&act(), fixture.license("L1")).await.unwrap();
    fixture.agent(1).await;
    fixture.store.write_site_news(NOW, vec![]).await.unwrap();
    twice(&fixture, "an activation", |tx| becomes(tx, Status::Active)).await;
    twice(&fixture, "an end that comes", |tx| tell_of_expiring(tx, NOW, NOW.after(DAY)).map(drop)).await;
    twice(&fixture, "an end", |tx| becomes(tx, Status::Expired)).await;
    twice(&fixture, "a withdrawal", |tx| becomes(tx, Status::Invalid)).await;
    twice(&fixture, "an agent's flag", |tx| {
        let site = one(tx).site.unwrap();
        let flag = NewFlag { kind: "fork", site, agent: 1, license: None, details: &json!({}), observation: None };
        flags::raise(tx, NOW, &flag).map(drop)
    })
    .await;
    twice(&fixture, "a key's flag", |tx| {
        let details = json!({});
        let flag = KeyFlag {
            kind: "unknown_key",
            site: None,
            agent: None,
            api_key: None,
            license: None,
            details: &details,
            observation: "x",
        };
        flags::raise_for_key(tx, NOW, &flag).map(drop)
    })
    .await;
    let agent = AgentId::from_bytes([1; 16]);
    assert_eq!(fixture.store.list_agents(Scope::default(), None, None, 1).await.unwrap()[0].id, agent);
    twice(&fixture, "an agent that comes", |tx| agent_seen(tx, NOW, AgentId::from_bytes([1; 16]))).await;
    fixture.says_something(agent, NOW).await;
    twice(&fixture, "an agent that goes", |tx| take_for_offline(tx, NOW.after(HOUR), NOW.after(DAY)).map(drop)).await;
    fixture.store.write_site_news(NOW, vec![]).await.unwrap();
    twice(&fixture, "a site's news", |tx| sites::bump(tx, one(tx).site.unwrap())).await;
    fixture.store.write_site_news(NOW, vec![]).await.unwrap();
    twice(&fixture, "all sites' news", |tx| sites::bump_all(tx, Scope::default())).await;
}

#[tokio::test]
async fn a_customers_webhook_hears_of_that_customer_only() {
    let fixture = Fixture::new().await;
    let other = fixture.store.add_customer(&act(), "Other", None).await.unwrap().id;
    let everybody = fixture.webhook(None, &[WebhookEvent::LicenseActivated]).await.id;
    let ours = fixture.webhook(Some(1), &[WebhookEvent::LicenseActivated]).await.id;
    let theirs = fixture.webhook(Some(other), &WebhookEvent::ALL).await.id;
    let deaf = fixture.webhook(Some(1), &[WebhookEvent::AgentOffline]).await.id;
    let off = fixture.webhook(Some(1), &WebhookEvent::ALL).await.id;
    fixture
        .store
        .edit_webhook(&act(), ALL, off, WebhookEdit { enabled: Some(false), ..WebhookEdit::default() })
        .await
        .unwrap();
    let issued = fixture.store.issue_license(&act(), fixture.license("L1")).await.unwrap();
    let activated = fixture.store.activate_license(&act(), Scope::default(), &issued.key, false).await.unwrap();
    assert_eq!(activated.unwrap().status, Status::Active);
    for (webhook, times) in [(everybody, 1), (ours, 1), (theirs, 0), (deaf, 0), (off, 0)] {
        assert_eq!(fixture.heard(webhook).await.len(), times, "{webhook}");
    }
    let told = fixture.heard(ours).await.remove(0);
    let data = json!({ "license_id": 1, "activation_id": "act_1", "customer_id": 1 });
    assert_eq!(told, json!({ "event": "license.activated", "timestamp": "2026-01-31T08:00:00Z", "data": data }));
    let listed = fixture.store.list_webhooks(ALL, Some(1), None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|webhook| webhook.id).collect::<Vec<_>>(), [ours, deaf, off]);
}

#[tokio::test]
async fn the_end_of_a_licence_is_told_before_once_for_each_end_and_when_it_is_there() {
    let fixture = Fixture::new().await;
    let webhook = fixture.webhook(None, &WebhookEvent::ALL).await.id;
    let issued = fixture.store.issue_license(&act(), fixture.license("L1")).await.unwrap();
    fixture.store.activate_license(&act(), Scope::default(), &issued.key, false).await.unwrap().unwrap();
    let end = fixture.store.show_license(LicenseSelector::Number(1)).await.unwrap().expires_at.unwrap();
    let ahead = DAY * 30;
    let told = |at: UnixMillis| fixture.store.tell_of_expiring_licenses(at, ahead);
    assert_eq!(told(end.before(ahead + HOUR)).await.unwrap(), 0);
    assert_eq!(told(end.before(ahead)).await.unwrap(), 1);
    assert_eq!(told(end.before(HOUR)).await.unwrap(), 0, "each end is told once");
    let term = Some(sitewarden_protocol::license::Term::Validity("2y".parse().unwrap()));
    let renewed = LicenseEdit { term, ..LicenseEdit::default() };
    let one = LicenseSelector::Number(1);
    let end = fixture.store.edit_license(&act(), one, renewed).await.unwrap().unwrap().expires_at.unwrap();
    assert_eq!(told(end.before(HOUR)).await.unwrap(), 1, "this is another end");
    assert_eq!(fixture.store.expire_licenses(end).await.unwrap(), 1);
    let revoke = LicenseEdit { status: Some(Status::Invalid), ..LicenseEdit::default() };
    fixture.store.edit_license(&act(), one, revoke).await.unwrap().unwrap();
    let events = ["license.activated", "license.expiring", "license.expiring", "license.expired", "license.revoked"];
    let mut heard = fixture.events(webhook).await;
    heard.sort();
    let mut expected = events.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn an_agent_that_goes_and_comes_is_told_of_once_each() {
    let fixture = Fixture::new().await;
    let webhook = fixture.webhook(None, &[WebhookEvent::AgentOnline, WebhookEvent::AgentOffline]).await.id;
    let agent = fixture.agent(1).await.id;
    let silence = Duration::from_secs(120);
    let look = |at: UnixMillis| fixture.store.find_silent_agents(at, silence);
    assert_eq!(look(NOW.after(DAY)).await.unwrap(), 0, "it was never there");
    fixture.says_something(agent, NOW).await;
    fixture.says_something(agent, NOW.after(Duration::from_secs(10))).await;
    assert_eq!(look(NOW.after(silence)).await.unwrap(), 0);
    assert_eq!(look(NOW.after(HOUR)).await.unwrap(), 1);
    assert_eq!(look(NOW.after(HOUR * 2)).await.unwrap(), 0);
    fixture.says_something(agent, NOW.after(HOUR * 3)).await;
    fixture.store.revoke_agent(&act(), agent, Default::default()).await.unwrap();
    assert_eq!(look(NOW.after(DAY)).await.unwrap(), 0, "nobody waits for one that was revoked");
    let told = fixture.heard(webhook).await;
    let events: Vec<&str> = told.iter().map(|told| told["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["agent.online", "agent.offline", "agent.online"]);
    let data = json!({
        "agent_id": agent, "site_id": fixture.site, "customer_id": 1, "last_seen": "2026-01-31T08:00:10Z",
    });
    assert_eq!(told[1]["data"], data);
}

/// Writes so many tests for a webhook.
async fn tests(store: &Store, webhook: i64, count: usize) {
    for _ in 0..count {
        store.test_webhook(&act(), ALL, webhook).await.unwrap();
    }
}

#[tokio::test]
async fn endpoints_take_turns_and_none_gets_more_than_its_share() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (one, two) =
        (fixture.webhook(None, &WebhookEvent::ALL).await.id, fixture.webhook(None, &WebhookEvent::ALL).await.id);
    tests(store, one, 9).await;
    tests(store, two, 3).await;
    let due = |room| async move { store.outbox(NOW, room).await.unwrap() };
    let of = |outbox: &crate::store::Outbox| outbox.due.iter().map(|due| due.webhook).collect::<Vec<_>>();
    let each = Room { total: 4, each: 2, ..Room::default() };
    assert_eq!(of(&due(each.clone()).await), [one, one, two, two]);
    let full = due(Room { total: 3, ..each.clone() }).await;
    assert_eq!((of(&full), full.last), (vec![one, one, two], two));
    assert_eq!(of(&due(Room { total: 1, after: one, ..each.clone() }).await), [two], "whose turn it is");
    let resting = Room { of: HashMap::from([(one, 0)]), ..each.clone() };
    assert_eq!(of(&due(resting).await), [two, two]);
    let first = due(each.clone()).await;
    let on_their_way = first.due.iter().map(|due| due.id).collect();
    let more = due(Room { on_their_way, ..each }).await;
    assert_eq!(of(&more), [one, one, two], "what is on its way is not sent twice");
    assert!(more.due.iter().all(|due| first.due.iter().all(|before| before.id != due.id)));
}

#[tokio::test]
async fn a_delivery_is_tried_until_it_is_answered_or_given_up_and_can_be_sent_again() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let webhook = fixture.webhook(None, &WebhookEvent::ALL).await.id;
    let health = |at: UnixMillis| async move { store.show_webhook(ALL, webhook).await.unwrap().standing.health(at) };
    assert_eq!(health(NOW).await, Health::New);
    let id = store.test_webhook(&act(), ALL, webhook).await.unwrap().id;
    store.settle_delivery(NOW, id, failed(Some(NOW.after(HOUR)))).await.unwrap();
    assert_eq!((health(NOW).await, health(NOW.after(DAY)).await), (Health::Failing, Health::Broken));
    let outbox = store.outbox(NOW, all()).await.unwrap();
    assert_eq!((outbox.due.len(), outbox.next), (0, Some(NOW.after(HOUR))));
    assert_eq!(store.outbox(NOW.after(HOUR), all()).await.unwrap().due[0].attempts, 1);
    store.settle_delivery(NOW.after(HOUR), id, failed(None)).await.unwrap();
    let shown = store.show_delivery(ALL, id).await.unwrap();
    assert_eq!((shown.status, shown.attempts, shown.last_status), (DeliveryStatus::Failed, 2, Some(500)));
    assert_eq!(store.outbox_standing().await.unwrap().waiting, 0);
    // Too late, and changes nothing.
    store.settle_delivery(NOW.after(HOUR), id, Attempt::Delivered { status: 204 }).await.unwrap();
    assert_eq!(store.show_delivery(ALL, id).await.unwrap().status, DeliveryStatus::Failed);
    let again = store.resend_delivery(&Act { at: NOW.after(DAY), ..act() }, ALL, id).await.unwrap();
    assert_eq!((again.id, again.status, again.attempts), (id, DeliveryStatus::Waiting, 0));
    let due = store.outbox(NOW.after(DAY), all()).await.unwrap().due;
    assert_eq!((due.len(), due[0].id, &due[0].message), (1, id, &Message::Event(again.body)));
    store.settle_delivery(NOW.after(DAY), id, Attempt::Delivered { status: 204 }).await.unwrap();
    let standing = store.show_webhook(ALL, webhook).await.unwrap().standing;
    assert_eq!(
        (standing.health(NOW.after(DAY * 9)), standing.waiting, standing.last_error),
        (Health::Working, 0, None)
    );
    assert_eq!(store.remove_old_deliveries(NOW.after(DAY)).await.unwrap(), 0);
    assert_eq!(store.remove_old_deliveries(NOW.after(DAY * 2)).await.unwrap(), 1);
}

#[tokio::test]
async fn what_waited_too_long_is_given_up_but_not_untried() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let webhook = fixture.webhook(None, &WebhookEvent::ALL).await.id;
    tests(store, webhook, 2).await;
    let late = NOW.after(DAY * 4);
    assert_eq!(store.give_up_deliveries(late, late.before(DAY * 3)).await.unwrap(), 0, "the hub itself was away");
    let tried = store.outbox(late, all()).await.unwrap().due[0].id;
    store.settle_delivery(late, tried, failed(Some(late.after(HOUR)))).await.unwrap();
    assert_eq!(store.give_up_deliveries(late, late.before(DAY * 3)).await.unwrap(), 1);
    assert_eq!(store.show_delivery(ALL, tried).await.unwrap().status, DeliveryStatus::Failed);
    let later = late.after(DAY * 4);
    assert_eq!(store.give_up_deliveries(later, later.before(DAY * 3)).await.unwrap(), 1, "nobody answers there");
    assert_eq!(store.outbox_standing().await.unwrap().waiting, 0);
}

#[tokio::test]
async fn a_webhook_that_too_much_waits_for_loses_what_comes_after_and_says_so() {
    let fixture = Fixture::new().await;
    let webhook = fixture.webhook(None, &WebhookEvent::ALL).await.id;
    fixture.store.write(|tx| Ok(tx.execute("UPDATE webhooks SET waiting = 9999", [])?)).await.unwrap();
    tests(&fixture.store, webhook, 1).await;
    assert!(matches!(fixture.store.test_webhook(&act(), ALL, webhook).await, Err(Error::Invalid { .. })));
    fixture.says_something(fixture.agent(1).await.id, NOW).await;
    let standing = fixture.store.show_webhook(ALL, webhook).await.unwrap().standing;
    assert_eq!((standing.waiting, standing.dropped, fixture.heard(webhook).await.len()), (10_000, 1, 1));
}

#[tokio::test]
async fn a_secret_is_sealed_and_its_successor_counts_beside_it_for_a_while() {
    let fixture = Fixture::new().await;
    let made = fixture.store.add_webhook(&act(), ALL, new(None, &WebhookEvent::ALL)).await.unwrap();
    assert!(made.secret.starts_with("whsec_") && made.secret.len() == 50);
    assert!(!format!("{made:?}").contains(made.secret.as_str()));
    let id = made.webhook.id;
    tests(&fixture.store, id, 1).await;
    let rotated = fixture.store.rotate_webhook(&act(), ALL, id, HOUR).await.unwrap();
    assert_ne!(rotated.secret, made.secret);
    let due = fixture.store.outbox(NOW, all()).await.unwrap().due.remove(0);
    assert_eq!((&due.secret, due.previous.as_ref()), (&rotated.secret, Some(&made.secret)));
    assert!(!format!("{due:?}").contains(due.secret.as_str()));
    let after = fixture.store.outbox(NOW.after(HOUR), all()).await.unwrap().due.remove(0);
    assert_eq!((&after.secret, after.previous), (&rotated.secret, None));
    let last = fixture.store.rotate_webhook(&act(), ALL, id, Duration::ZERO).await.unwrap();
    let due = fixture.store.outbox(NOW, all()).await.unwrap().due.remove(0);
    assert_eq!((&due.secret, due.previous), (&last.secret, None));
    let folder = fixture.path().parent().unwrap().to_owned();
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [&made.secret, &rotated.secret, &last.secret] {
            let plain = secret.as_bytes()[6..18].to_vec();
            assert!(!bytes.windows(plain.len()).any(|window| window == plain), "a secret is readable");
        }
    }
}

#[tokio::test]
async fn a_webhook_goes_with_its_deliveries_and_leaves_its_audit_rows() {
    let fixture = Fixture::new().await;
    let (kept, gone) =
        (fixture.webhook(None, &WebhookEvent::ALL).await.id, fixture.webhook(None, &WebhookEvent::ALL).await.id);
    tests(&fixture.store, kept, 1).await;
    tests(&fixture.store, gone, 3).await;
    fixture.store.remove_webhook(&act(), ALL, gone).await.unwrap();
    assert!(matches!(fixture.store.show_webhook(ALL, gone).await, Err(Error::NotFound { .. })));
    assert_eq!(fixture.number("SELECT count(*) FROM webhook_deliveries").await, 1);
    let rows = fixture.number("SELECT count(*) FROM audit_log WHERE subject = 'webhook 2'").await;
    assert_eq!(rows, 6, "added, three tests, switched off, removed");
    assert_eq!(fixture.store.broken_audit_row().await.unwrap(), None);
    assert_ne!(fixture.webhook(None, &WebhookEvent::ALL).await.id, gone, "a number is not used again");
}

#[tokio::test]
async fn news_of_a_site_are_one_delivery_however_many_and_none_is_missed() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let secret = Zeroizing::new("a secret of the tests, long enough".to_owned());
    let address = |secret| SiteAddress { url: "https://10.0.0.1/".parse().unwrap(), secret };
    let short = address(Some(Zeroizing::new("short".to_owned())));
    assert!(matches!(store.set_site_address(&act(), fixture.site, short).await, Err(Error::Invalid { .. })));
    let (webhook, made) = store.set_site_address(&act(), fixture.site, address(Some(secret.clone()))).await.unwrap();
    assert!(made.is_none() && webhook.customer == Some(1));
    assert_eq!(store.write_site_news(NOW, vec![]).await.unwrap(), 0, "nothing happened yet");
    store.issue_license(&act(), fixture.license("L1")).await.unwrap();
    store.issue_license(&act(), fixture.license("L2")).await.unwrap();
    assert_eq!(store.write_site_news(NOW, vec![]).await.unwrap(), 1);
    store.issue_license(&act(), fixture.license("L3")).await.unwrap();
    // It is being told of the first two.
    assert_eq!(store.write_site_news(NOW, vec![webhook.id]).await.unwrap(), 0);
    let due = store.outbox(NOW, all()).await.unwrap().due;
    assert_eq!((due.len(), &due[0].secret), (1, &secret));
    let Message::Site(news) = &due[0].message else { panic!("{:?}", due[0].message) };
    assert_eq!((news.customer, news.tier, news.status, news.trial_end), (1, "none", "inactive", None));
    store.settle_delivery(NOW, due[0].id, Attempt::Delivered { status: 200 }).await.unwrap();
    assert_eq!(store.write_site_news(NOW, vec![]).await.unwrap(), 1, "the third was not told");
    assert_eq!(store.list_deliveries(ALL, webhook.id, None, None, 10).await.unwrap().len(), 2);
    // Another address keeps the secret; a new one after the removal has its own.
    let (_, made) = store.set_site_address(&act(), fixture.site, address(None)).await.unwrap();
    assert!(made.is_none());
    assert_eq!(store.outbox(NOW, all()).await.unwrap().due[0].secret, secret);
    store.remove_site_address(&act(), fixture.site).await.unwrap();
    assert_eq!(store.site_address(fixture.site).await.unwrap(), None);
    let (_, made) = store.set_site_address(&act(), fixture.site, address(None)).await.unwrap();
    assert_eq!(made.map(|made| made.len()), Some(43));
}

#[tokio::test]
async fn a_threshold_is_told_once_until_the_use_was_below_it() {
    let fixture = Fixture::new().await;
    let webhook = fixture.webhook(None, &[WebhookEvent::UsageThreshold]).await.id;
    let agent = fixture.agent(1).await.id;
    let new = NewLicense { thresholds: vec![80, 100], ..fixture.license("L1") };
    let issued = fixture.store.issue_license(&act(), new).await.unwrap();
    let used = |used| vec![Quota { app: "EMS".into(), used, permitted: Some(100) }];
    fixture.says(agent, NOW, used(90)).await;
    assert_eq!(fixture.heard(webhook).await.len(), 0, "it is not in force");
    fixture.store.activate_license(&act(), Scope::default(), &issued.key, false).await.unwrap().unwrap();
    for now_used in [79, 80, 95, 100, 120, 99, 80, 79, 80] {
        fixture.says(agent, NOW, used(now_used)).await;
    }
    let mut told: Vec<_> = fixture.heard(webhook).await;
    told.sort_by_key(|told| (told["data"]["threshold"].as_u64(), told["data"]["used"].as_u64()));
    let data: Vec<_> = told.iter().map(|told| told["data"].clone()).collect();
    let of = |threshold: u16, used: u32| json!({ "license_id": 1, "customer_id": 1, "metric": "monitors", "threshold": threshold, "used": used, "limit": 100 });
    assert_eq!(data, [of(80, 80), of(80, 80), of(100, 100)]);
}
