//! Users, from the command line to what they may do.

use crate::command::Commands;
use crate::plant_world::{Request, World, error};
use serde_json::json;
use sitewarden_hub::store::{Role, Scope, User, UserEdit};

const VERIFY: &str = "/_config/licenses/_verify?app=LM";

#[tokio::test]
async fn a_changed_or_removed_user_loses_access_with_the_next_request() {
    let world = World::new().await;
    let commands = Commands::of(world.hub());
    commands.password("olga", "a long password");
    commands.password("new", "another long password");
    let added = commands.json("user add olga --role admin --password-file olga").await;
    assert_eq!((&added["name"], &added["role"], &added["on_site"]), (&json!("olga"), &json!("admin"), &json!(false)));
    let as_olga = Request { path: VERIFY, user: "olga", ..Request::default() };
    let unauthorised = error(401, "Unauthorised");
    assert_eq!(world.call(as_olga.clone()).await, (200, json!("Admin user")));

    commands.json("user edit olga --role viewer").await;
    assert_eq!(world.call(as_olga.clone()).await, (200, json!("Authorised")), "a viewer is no administrator");
    commands.json("user edit olga --disable").await;
    assert_eq!(world.call(as_olga.clone()).await, unauthorised);
    commands.json("user edit olga --enable --password-file new").await;
    assert_eq!(world.call(as_olga.clone()).await, unauthorised);
    let with_new = Request { user: "olga:another long password", ..as_olga };
    assert_eq!(world.call(with_new.clone()).await.0, 200);
    commands.json("user remove olga").await;
    assert_eq!(world.call(with_new).await, unauthorised);
    let left = commands.json("user list").await;
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let world = World::new().await;
    let commands = Commands::of(world.hub());
    for line in ["user remove admin", "user edit admin --disable", "user edit admin --role operator"] {
        let (code, told) = commands.fails(line).await;
        assert_eq!(code, 1);
        assert!(told.contains("last enabled administrator"), "{line}: {told}");
    }
    commands.password("short", "1234567");
    assert_eq!(commands.fails("user add x --role viewer --password-file short").await.0, 2);
    assert!(commands.fails("user remove nobody").await.1.contains("no such user"));
}

#[tokio::test]
async fn a_name_may_have_any_sign_that_a_path_has() {
    let world = World::new().await;
    let commands = Commands::of(world.hub());
    commands.password("p", "a long password");
    for name in ["a/b?c", "ö%20", ".."] {
        commands.json(&format!("user add {name} --role viewer --password-file p")).await;
        let removed = commands.json(&format!("user remove {name}")).await;
        assert_eq!(removed["name"], json!(name));
    }
}

#[tokio::test]
async fn a_connected_agent_gets_a_new_snapshot_when_an_administrator_comes_on_site() {
    let world = World::new().await;
    let agent = world.hub().agent_at(world.site).await;
    let (mut line, before) = agent.session(world.hub()).await;
    let scope = Scope { customer: None, site: Some(world.site) };
    let user = User { name: "anna".into(), role: Role::Admin, scope, password_hash: "$argon2id$".into() };
    world.store().add_user(&crate::support::act(), user, true).await.unwrap().unwrap();
    let added = agent.snapshot(&mut line).await;
    assert!(added.version > before.version);
    let gone = UserEdit { on_site: Some(false), ..UserEdit::default() };
    world.store().edit_user(&crate::support::act(), "anna", gone).await.unwrap().unwrap();
    assert!(agent.snapshot(&mut line).await.version > added.version);
}
