//! Users over a real file, with real hashes.

use super::*;
use base64::Engine as _;
use sitewarden_protocol::login::patience;
use std::net::Ipv4Addr;

pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

pub(super) fn users(folder: &tempfile::TempDir) -> Arc<Users> {
    Arc::new(Users::load(folder.path().join("users.json"), Zeroizing::new([7; 32])).unwrap())
}

pub(super) fn basic(text: &str) -> Vec<u8> {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)).into_bytes()
}

pub(super) async fn role(users: &Arc<Users>, text: &str, from: IpAddr) -> Option<Role> {
    match users.authenticate(&basic(text), from, vec![]).await {
        Proof::Known(user) => Some(user.role),
        Proof::Unknown | Proof::Wait(_) => None,
    }
}

#[tokio::test]
async fn a_user_is_known_by_the_right_password_only_also_after_a_restart() {
    let folder = tempfile::TempDir::new().unwrap();
    users(&folder).add("ems", Role::App, "correct horse").unwrap();
    let users = users(&folder);
    for _ in 0..2 {
        assert_eq!(role(&users, "ems:correct horse", HERE).await, Some(Role::App));
    }
    for wrong in ["ems:wrong", "nobody:correct horse", "ems", ":"] {
        assert_eq!(users.authenticate(&basic(wrong), HERE, vec![]).await, Proof::Unknown, "{wrong}");
    }
    assert_eq!(users.authenticate(b"Bearer x", HERE, vec![]).await, Proof::Unknown);
}

#[tokio::test]
async fn who_guesses_waits_but_no_other_user_no_other_address_and_nobody_who_is_remembered() {
    let folder = tempfile::TempDir::new().unwrap();
    let users = users(&folder);
    users.add("ems", Role::App, "correct horse").unwrap();
    users.add("boss", Role::Admin, "battery staple").unwrap();
    assert_eq!(role(&users, "ems:correct horse", HERE).await, Some(Role::App));
    let mut wait = Duration::ZERO;
    for guess in 0..50 {
        match users.authenticate(&basic(&format!("ems:{guess}")), HERE, vec![]).await {
            Proof::Wait(told) => {
                assert!(guess >= patience::FREE, "{guess}");
                wait = told;
                break;
            }
            proof => assert_eq!(proof, Proof::Unknown),
        }
    }
    assert!(!wait.is_zero() && wait <= Duration::from_secs(60), "{wait:?}");
    assert_eq!(role(&users, "ems:correct horse", HERE).await, Some(Role::App), "it is remembered");
    assert_eq!(role(&users, "boss:battery staple", HERE).await, Some(Role::Admin));
    assert_eq!(users.authenticate(&basic("ems:guess"), THERE, vec![]).await, Proof::Unknown);
}

#[tokio::test]
async fn a_credential_in_use_is_remembered_on_and_one_that_is_not_is_forgotten() {
    let folder = tempfile::TempDir::new().unwrap();
    let users = users(&folder);
    users.add("ems", Role::App, "correct horse").unwrap();
    assert_eq!(role(&users, "ems:correct horse", HERE).await, Some(Role::App));
    let digest = *blake3::keyed_hash(&users.digest_key, &basic("ems:correct horse")).as_bytes();
    let at = |minutes: u64| users.recall_at(Duration::from_secs(60 * minutes), &digest, &[]).is_some();
    assert!((1..12 * 2).all(|half_hours| at(30 * half_hours)), "it is used every half an hour");
    assert!(!at(12 * 60 + 1), "twelve hours are the end");
    users.remembered.store(Arc::default());
    assert_eq!(role(&users, "ems:correct horse", HERE).await, Some(Role::App));
    assert!(!at(61), "nobody used it for an hour");
}

#[tokio::test]
async fn who_gets_no_turn_to_be_hashed_is_told_to_come_back() {
    let folder = tempfile::TempDir::new().unwrap();
    let users = users(&folder);
    let _taken = Arc::clone(&users.hashing).acquire_many_owned(u32::try_from(HASHING).unwrap()).await.unwrap();
    assert_eq!(users.authenticate(&basic("ems:x"), HERE, vec![]).await, Proof::Wait(TRY_AGAIN));
}

#[tokio::test]
async fn a_right_password_forgives_the_wrong_ones_before() {
    let folder = tempfile::TempDir::new().unwrap();
    let users = users(&folder);
    users.add("ems", Role::App, "correct horse").unwrap();
    for _ in 0..2 {
        for _ in 1..patience::FREE {
            assert_eq!(users.authenticate(&basic("ems:wrong"), HERE, vec![]).await, Proof::Unknown);
        }
        users.remembered.store(Arc::default());
        assert_eq!(role(&users, "ems:correct horse", HERE).await, Some(Role::App));
    }
}

#[test]
fn bad_names_short_passwords_and_second_users_are_refused() {
    let folder = tempfile::TempDir::new().unwrap();
    let users = users(&folder);
    assert!(matches!(users.add("a:b", Role::App, "long enough"), Err(AddError::Name)));
    assert!(matches!(users.add("ems", Role::App, "short"), Err(AddError::Password(_))));
    users.add("ems", Role::App, "long enough").unwrap();
    assert!(matches!(users.add("ems", Role::Admin, "long enough"), Err(AddError::Exists(_))));
}

#[test]
fn the_hash_of_nobody_costs_what_real_ones_do() {
    let real = argon2().hash_password(b"x").unwrap().to_string();
    assert_eq!(real.split('$').take(4).collect::<Vec<_>>(), NOBODY.split('$').take(4).collect::<Vec<_>>());
    assert!(PasswordHash::new(NOBODY).is_ok());
}
