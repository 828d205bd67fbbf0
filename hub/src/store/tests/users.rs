use crate::store::{
    Account, Error, MAX_ON_SITE, Role, Scope, Thing, User, UserEdit, UserRefusal,
    testing::{Fixture, act},
};
use sitewarden_protocol::id::SiteId;

fn user(name: &str, role: Role, scope: Scope) -> User {
    User { name: name.into(), role, scope, password_hash: format!("hash of {name}") }
}

impl Fixture {
    async fn added(&self, user: User, on_site: bool) -> Result<Account, UserRefusal> {
        self.store.add_user(&act(), user, on_site).await.unwrap()
    }

    async fn edited(&self, name: &str, edit: UserEdit) -> Result<Account, UserRefusal> {
        self.store.edit_user(&act(), name, edit).await.unwrap()
    }

    async fn told(&self, site: SiteId) -> (u64, Vec<String>) {
        let parts = self.store.snapshot_of(site).await.unwrap();
        (parts.revision, parts.administrators.into_iter().map(|(name, _)| name).collect())
    }
}

#[tokio::test]
async fn the_hub_cannot_be_locked() {
    let fixture = Fixture::new().await;
    fixture.store.add_first_administrator(&act(), "admin", "hash").await.unwrap();
    let of_customer = Scope { customer: Some(1), site: None };
    fixture.added(user("branch", Role::Admin, of_customer), false).await.unwrap();
    fixture.added(user("oskar", Role::Operator, Scope::default()), false).await.unwrap();
    let demoted = UserEdit { role: Some(Role::Operator), ..UserEdit::default() };
    let disabled = UserEdit { enabled: Some(false), ..UserEdit::default() };
    for edit in [demoted.clone(), disabled.clone()] {
        assert_eq!(fixture.edited("admin", edit).await, Err(UserRefusal::LastAdministrator));
    }
    assert_eq!(fixture.store.remove_user(&act(), "admin").await.unwrap(), Err(UserRefusal::LastAdministrator));
    fixture.added(user("second", Role::Admin, Scope::default()), false).await.unwrap();
    fixture.edited("second", disabled.clone()).await.unwrap();
    assert_eq!(
        fixture.edited("admin", demoted.clone()).await,
        Err(UserRefusal::LastAdministrator),
        "second is disabled"
    );
    fixture.edited("second", UserEdit { enabled: Some(true), ..UserEdit::default() }).await.unwrap();
    fixture.edited("admin", demoted).await.unwrap();
    assert_eq!(fixture.edited("second", disabled).await, Err(UserRefusal::LastAdministrator));
    fixture.store.remove_user(&act(), "admin").await.unwrap().unwrap();
    assert!(matches!(fixture.store.remove_user(&act(), "admin").await, Err(Error::NotFound { what: "user" })));
    assert_eq!(fixture.store.broken_audit_row().await.unwrap(), None);
    assert_eq!(fixture.number("SELECT count(*) FROM audit_log WHERE action LIKE 'user.%'").await, 8);
}

#[tokio::test]
async fn a_name_and_a_scope_must_be_ones_that_can_be() {
    let fixture = Fixture::new().await;
    fixture.added(user("a", Role::Viewer, Scope::default()), false).await.unwrap();
    let add = async |new: User| fixture.store.add_user(&act(), new, false).await.unwrap_err();
    assert!(matches!(add(user(" a ", Role::Viewer, Scope::default())).await, Error::Conflict { .. }));
    assert!(matches!(add(user("a:b", Role::Viewer, Scope::default())).await, Error::Invalid { what: "name", .. }));
    let nowhere = Scope { customer: Some(99), site: None };
    assert!(matches!(add(user("b", Role::Viewer, nowhere)).await, Error::NotFound { what: "customer" }));
    let nowhere = Scope { customer: None, site: Some(SiteId::from_bytes([9; 16])) };
    assert!(matches!(add(user("b", Role::Viewer, nowhere)).await, Error::NotFound { what: "site" }));
    let all = fixture.store.list_users(Scope::default(), None, 10).await.unwrap();
    assert_eq!(all.iter().map(|account| account.name.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(fixture.store.list_users(Scope::default(), Some("a".into()), 10).await.unwrap(), []);
}

#[tokio::test]
async fn the_sites_in_the_scope_are_told_of_each_change_of_one_who_is_on_site() {
    let fixture = Fixture::new().await;
    let here = fixture.site;
    let other = fixture.store.add_customer(&act(), "Other", None).await.unwrap().id;
    let plant = fixture.store.add_plant(&act(), "South", other).await.unwrap().id;
    let there = fixture.store.add_site(&act(), "Line 2", plant).await.unwrap().id;
    let mut changes = fixture.store.changes();

    fixture.added(user("nobody", Role::Admin, Scope::default()), false).await.unwrap();
    assert_eq!((fixture.told(here).await, fixture.told(there).await), ((1, vec![]), (1, vec![])));
    fixture.added(user("zoe", Role::Admin, Scope::default()), true).await.unwrap();
    fixture.added(user("ann", Role::Admin, Scope { customer: None, site: Some(here) }), true).await.unwrap();
    fixture.added(user("bob", Role::Admin, Scope { customer: Some(other), site: None }), true).await.unwrap();
    assert_eq!(fixture.told(here).await, (3, vec!["ann".into(), "zoe".into()]));
    assert_eq!(fixture.told(there).await, (3, vec!["bob".into(), "zoe".into()]));
    let mut told = [changes.recv().await.unwrap(), changes.recv().await.unwrap()];
    told.sort();
    let mut both = [here, there];
    both.sort();
    assert_eq!(told, both, "of zoe");

    let password = UserEdit { password_hash: Some("new".into()), ..UserEdit::default() };
    fixture.edited("bob", password).await.unwrap();
    let parts = fixture.store.snapshot_of(there).await.unwrap();
    assert_eq!((parts.revision, &parts.administrators[0]), (4, &("bob".into(), "new".into())));
    assert!(!format!("{parts:?}").contains("hash of"), "{parts:?}");
    fixture.edited("bob", UserEdit { enabled: Some(false), ..UserEdit::default() }).await.unwrap();
    assert_eq!(fixture.told(there).await, (5, vec!["zoe".into()]));
    fixture.edited("bob", UserEdit { password_hash: Some("unseen".into()), ..UserEdit::default() }).await.unwrap();
    assert_eq!(fixture.told(there).await.0, 5, "one who is disabled concerns no site");
    fixture.edited("zoe", UserEdit { on_site: Some(false), ..UserEdit::default() }).await.unwrap();
    fixture.store.remove_user(&act(), "ann").await.unwrap().unwrap();
    assert_eq!((fixture.told(here).await, fixture.told(there).await), ((5, vec![]), (6, vec![])));
}

#[tokio::test]
async fn only_administrators_are_on_site_and_only_so_many() {
    let fixture = Fixture::new().await;
    let of_site = Scope { customer: None, site: Some(fixture.site) };
    assert_eq!(fixture.added(user("o", Role::Operator, of_site), true).await, Err(UserRefusal::OnSiteRole));
    for number in 0..MAX_ON_SITE {
        let scope = if number % 2 == 0 { of_site } else { Scope { customer: Some(1), site: None } };
        fixture.added(user(&format!("a{number:03}"), Role::Admin, scope), true).await.unwrap();
    }
    for scope in [of_site, Scope::default(), Scope { customer: Some(1), site: None }] {
        assert_eq!(fixture.added(user("one more", Role::Admin, scope), true).await, Err(UserRefusal::OnSiteFull));
    }
    let demoted = UserEdit { role: Some(Role::Viewer), ..UserEdit::default() };
    assert_eq!(fixture.edited("a000", demoted.clone()).await, Err(UserRefusal::OnSiteRole));
    fixture.edited("a000", UserEdit { on_site: Some(false), ..demoted }).await.unwrap();
    fixture.added(user("one more", Role::Admin, Scope::default()), true).await.unwrap();
    fixture.edited("a001", UserEdit { password_hash: Some("x".into()), ..UserEdit::default() }).await.unwrap();
    assert_eq!(fixture.told(fixture.site).await.1.len(), MAX_ON_SITE);
}

#[tokio::test]
async fn one_who_is_limited_reaches_what_is_in_his_scope() {
    let fixture = Fixture::new().await;
    let agent = fixture.agent(1).await.id;
    let store = &fixture.store;
    let other = store.add_customer(&act(), "Other", None).await.unwrap().id;
    let plant = store.show_site(fixture.site).await.unwrap().plant;
    let beside = store.add_site(&act(), "Beside", plant).await.unwrap().id;
    let of_customer = |id| Scope { customer: Some(id), site: None };
    let of_site = |id| Scope { customer: None, site: Some(id) };
    let everything = [Thing::Customer(1), Thing::Plant(plant), Thing::Site(fixture.site), Thing::Agent(agent)];
    for (scope, expected) in [
        (Scope::default(), [true; 4]),
        (of_customer(1), [true; 4]),
        (of_site(fixture.site), [false, false, true, true]),
        (of_customer(other), [false; 4]),
        (of_site(beside), [false; 4]),
    ] {
        for (thing, expected) in everything.iter().zip(expected) {
            assert_eq!(store.reaches(scope, thing.clone()).await.unwrap(), expected, "{scope:?} {thing:?}");
        }
        let agents = store.list_agents(scope, None, None, 10).await.unwrap();
        assert_eq!(agents.len(), usize::from(expected[3]), "{scope:?}");
    }
}
