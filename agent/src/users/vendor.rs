//! The vendor's own people at this site: names and password hashes that came in the signed snapshot.
//!
//! Always true: a name in the snapshot is the vendor's, also if the site has a user of that name; a site's own user,
//! whatever his role, never counts as one of them; a remembered credential counts only while the snapshot in force has the
//! very hash that proved it, so that whoever is taken out of it loses access at once; and no hash is computed that costs
//! more than the limits below.

use super::User;
use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use sitewarden_protocol::snapshot::Administrator;

/// The most memory that one hash may take, KiB: what a small VM can spare.
const MAX_MEMORY: u32 = 256 << 10;
/// The most passes over it.
const MAX_PASSES: u32 = 10;

/// The administrator of this name.
pub(super) fn named<'a>(administrators: &'a [Administrator], name: &str) -> Option<&'a Administrator> {
    administrators.iter().find(|one| one.name == name)
}

/// Whether a user who was proved by the stored hash `by` is still who he was.
pub(super) fn stands(administrators: &[Administrator], user: &User, by: &str) -> bool {
    match named(administrators, &user.name) {
        Some(administrator) => user.vendor && administrator.password == by,
        None => !user.vendor,
    }
}

/// The hash of an administrator's password, if it is Argon2id within the limits.
pub(super) fn hash(administrator: &Administrator) -> Option<PasswordHash> {
    let hash = PasswordHash::new(&administrator.password).ok().filter(|hash| hash.algorithm.as_str() == "argon2id");
    let cost = hash.as_ref().and_then(|hash| Params::try_from(hash).ok());
    let bearable = cost.is_some_and(|cost| cost.m_cost() <= MAX_MEMORY && cost.t_cost() <= MAX_PASSES);
    if !bearable {
        tracing::warn!(
            name = administrator.name,
            "the snapshot's password hash of an administrator of the vendor is not Argon2id, or costs too much; \
             nobody gets in with it"
        );
    }
    hash.filter(|_| bearable)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HERE, basic, users};
    use super::super::{Proof, Role, Users, argon2};
    use super::*;
    use argon2::{PasswordHasher, Version};
    use std::sync::Arc;

    fn administrator(name: &str, password: &str) -> Administrator {
        let hash = argon2().hash_password(password.as_bytes()).unwrap().to_string();
        Administrator { name: name.into(), password: hash }
    }

    async fn proved(users: &Arc<Users>, text: &str, all: &[Administrator]) -> Option<(Role, bool)> {
        match users.authenticate(&basic(text), HERE, all.to_vec()).await {
            Proof::Known(user) => Some((user.role, user.vendor)),
            Proof::Unknown | Proof::Wait(_) => None,
        }
    }

    #[tokio::test]
    async fn a_name_of_the_vendors_is_the_vendors_and_a_sites_admin_is_never_one() {
        let folder = tempfile::TempDir::new().unwrap();
        let users = users(&folder);
        users.add("boss", Role::Admin, "battery staple").unwrap();
        users.add("support", Role::App, "the sites own").unwrap();
        let all = [administrator("support", "from the vendor")];
        assert_eq!(proved(&users, "support:the sites own", &[]).await, Some((Role::App, false)));
        for _ in 0..2 {
            assert_eq!(proved(&users, "support:from the vendor", &all).await, Some((Role::Operator, true)));
            assert_eq!(proved(&users, "support:the sites own", &all).await, None, "remembered or not");
            assert_eq!(proved(&users, "boss:battery staple", &all).await, Some((Role::Admin, false)));
        }
    }

    #[tokio::test]
    async fn an_administrator_who_is_taken_out_or_gets_another_password_loses_access_at_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let users = users(&folder);
        let all = [administrator("support", "from the vendor")];
        let header = basic("support:from the vendor");
        assert!(proved(&users, "support:from the vendor", &all).await.is_some());
        assert!(users.remembered(&header, &all).is_some());
        for later in [vec![], vec![administrator("other", "x")], vec![administrator("support", "another one")]] {
            assert!(users.remembered(&header, &later).is_none());
            assert_eq!(proved(&users, "support:from the vendor", &later).await, None);
        }
    }

    #[test]
    fn what_costs_too_much_is_not_computed() {
        let of = |algorithm: &str, memory: u32, passes: u32| Administrator {
            name: "support".into(),
            password: format!(
                "${algorithm}$v={}$m={memory},t={passes},p=1$c2l0ZXdhcmRlbi1ub2JvZHk$3yhIJYbnXnTGGvGo2xEnTuVlWzCiytQLFOIOMUL1oYg",
                u32::from(Version::V0x13)
            ),
        };
        assert!(hash(&of("argon2id", MAX_MEMORY, MAX_PASSES)).is_some());
        for bad in [
            of("argon2id", MAX_MEMORY + 1, 1),
            of("argon2id", u32::MAX, 1),
            of("argon2id", 47_104, MAX_PASSES + 1),
            of("argon2i", 47_104, 1),
            of("scrypt", 47_104, 1),
            Administrator { name: "support".into(), password: "plain text".into() },
            Administrator { name: "support".into(), password: String::new() },
        ] {
            assert!(hash(&bad).is_none(), "{}", bad.password);
        }
    }
}
