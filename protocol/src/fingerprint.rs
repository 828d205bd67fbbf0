//! Whether a machine is still the one that was enrolled, by its parts.
//!
//! A part is a kind and a digest of what identifies it; there may be several of a kind (network cards, disks). Matching
//! is n of m, so that a replaced part is drift, to be recorded, and not a lockout, while a copied agent on another
//! machine is another machine. A digest keeps serial numbers out of logs and copies; it hides nothing from who can guess.

use std::collections::{BTreeMap, BTreeSet};

/// The most parts that are looked at; a machine has a dozen.
pub const MAX_PARTS: usize = 32;
/// Kinds of which one must match. Not `vm_generation`, which changes by design when a virtual machine is restored.
const STRONG: [&str; 2] = ["machine_id", "product_uuid"];

/// A machine's parts: the kind of each and its [`digest`].
pub type Parts = Vec<(String, [u8; 32])>;

/// The digest of a part.
pub fn digest(kind: &str, value: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("sitewarden machine fingerprint 1");
    *hasher.update(kind.as_bytes()).update(value.as_bytes()).finalize().as_bytes()
}

/// How far a machine is the one that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Known kinds of parts of which at least one part is still there, at most [`MAX_PARTS`].
    pub matched: u8,
    /// Known kinds of parts.
    pub of: u8,
    /// Kinds of which no part is the same, also because there is none on one side; sorted.
    pub changed: Vec<String>,
    /// Strong kinds are known, and none of them matches.
    weak: bool,
}

impl Match {
    /// At least half of the known kinds match, and one of the strong ones if any is known.
    pub fn is_same_machine(&self) -> bool {
        self.matched >= self.of.div_ceil(2) && !self.weak
    }

    /// It is the same machine, but not all of its parts are.
    pub fn is_drift(&self) -> bool {
        self.is_same_machine() && !self.changed.is_empty()
    }
}

/// Compares a machine's parts with the known ones; of each side the first [`MAX_PARTS`]. Where nothing is known,
/// anything matches, and nothing has changed.
pub fn compare(known: &[(String, [u8; 32])], now: &[(String, [u8; 32])]) -> Match {
    if known.is_empty() {
        return Match { matched: 0, of: 0, changed: vec![], weak: false };
    }
    let (known, now) = (by_kind(known), by_kind(now));
    let matches = |kind: &str| match (known.get(kind), now.get(kind)) {
        (Some(known), Some(now)) => !known.is_disjoint(now),
        _ => false,
    };
    let strong: Vec<_> = STRONG.into_iter().filter(|kind| known.contains_key(kind)).collect();
    let kinds: BTreeSet<_> = known.keys().chain(now.keys()).copied().collect();
    Match {
        matched: count(known.keys().filter(|kind| matches(kind)).count()),
        of: count(known.len()),
        weak: !strong.is_empty() && !strong.into_iter().any(matches),
        changed: kinds.into_iter().filter(|kind| !matches(kind)).map(str::to_owned).collect(),
    }
}

fn by_kind(parts: &[(String, [u8; 32])]) -> BTreeMap<&str, BTreeSet<&[u8; 32]>> {
    let mut kinds = BTreeMap::<_, BTreeSet<_>>::new();
    for (kind, digest) in parts.iter().take(MAX_PARTS) {
        kinds.entry(kind.as_str()).or_default().insert(digest);
    }
    kinds
}

/// Never more than [`MAX_PARTS`].
fn count(kinds: usize) -> u8 {
    u8::try_from(kinds).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(values: &[(&str, &str)]) -> Parts {
        values.iter().map(|(kind, value)| ((*kind).to_owned(), digest(kind, value))).collect()
    }

    fn server() -> Parts {
        parts(&[
            ("machine_id", "m1"),
            ("product_uuid", "p1"),
            ("cpu", "c1"),
            ("mac", "02"),
            ("mac", "04"),
            ("disk", "d1"),
        ])
    }

    /// The server with other parts of these kinds.
    fn server_but(values: &[(&str, &str)]) -> Parts {
        let kept = server().into_iter().filter(|(kind, _)| values.iter().all(|(changed, _)| changed != kind));
        kept.chain(parts(values)).collect()
    }

    #[test]
    fn the_same_parts_in_any_order_are_the_same_machine_without_drift() {
        let mut now = server();
        now.reverse();
        let found = compare(&server(), &now);
        assert_eq!((found.matched, found.of, found.changed.len()), (5, 5, 0));
        assert!(found.is_same_machine() && !found.is_drift());
    }

    #[test]
    fn one_of_two_cards_is_enough_and_a_replaced_one_is_drift() {
        assert!(!compare(&server(), &server_but(&[("mac", "04"), ("mac", "06")])).is_drift());
        let found = compare(&server(), &server_but(&[("mac", "08")]));
        assert!(found.is_same_machine() && found.is_drift());
        assert_eq!((found.matched, found.changed), (4, vec!["mac".to_owned()]));
    }

    #[test]
    fn kinds_on_one_side_only_have_changed_and_count_if_they_are_known() {
        let known = server_but(&[("vm_generation", "g1")]);
        let found = compare(&known, &server_but(&[("tpm", "t1")]));
        assert_eq!((found.matched, found.of), (5, 6));
        assert_eq!(found.changed, ["tpm", "vm_generation"]);
        assert!(found.is_drift());
        assert!(!compare(&server(), &[]).is_same_machine());
    }

    #[test]
    fn half_of_the_kinds_rounded_up_must_match() {
        let changed = [("cpu", "c2"), ("mac", "m2"), ("disk", "d2")];
        assert!(compare(&server(), &server_but(&changed[..2])).is_same_machine());
        let found = compare(&server(), &server_but(&changed));
        assert_eq!((found.matched, found.of), (2, 5));
        assert!(!found.is_same_machine() && !found.is_drift());
        let known = server_but(&[("vm_generation", "g1")]);
        assert!(compare(&known, &server_but(&changed[..2])).is_same_machine(), "three of six");
    }

    #[test]
    fn a_copy_on_the_same_kind_of_hardware_is_another_machine() {
        let found = compare(&server(), &server_but(&[("machine_id", "m2"), ("product_uuid", "p2")]));
        assert_eq!((found.matched, found.of), (3, 5));
        assert!(!found.is_same_machine());
        assert!(compare(&server(), &server_but(&[("machine_id", "m2")])).is_drift(), "one strong kind is enough");
    }

    #[test]
    fn a_restored_machine_and_one_without_strong_kinds_are_recognised() {
        let known = server_but(&[("vm_generation", "g1")]);
        assert!(compare(&known, &server_but(&[("vm_generation", "g2")])).is_drift());
        let container = parts(&[("cpu", "c1"), ("disk", "d1"), ("vm_generation", "g1")]);
        let moved = parts(&[("cpu", "c1"), ("disk", "d1"), ("vm_generation", "g2")]);
        assert!(compare(&container, &moved).is_drift());
    }

    #[test]
    fn where_nothing_is_known_anything_matches() {
        let found = compare(&[], &server());
        assert!(found.is_same_machine() && !found.is_drift());
    }

    #[test]
    fn no_more_parts_are_looked_at_than_agreed() {
        let many: Parts = (0..=MAX_PARTS).map(|i| (format!("kind{i:02}"), [0; 32])).collect();
        let found = compare(&many, &many[1..]);
        assert_eq!((usize::from(found.of), usize::from(found.matched)), (MAX_PARTS, MAX_PARTS - 1));
        assert_eq!(found.changed, ["kind00", "kind32"]);
    }

    #[test]
    fn a_digest_stays_what_it_was() {
        let hex = blake3::Hash::from_bytes(digest("machine_id", "0123456789abcdef")).to_hex();
        assert_eq!(hex.as_str(), "01c781b87f5425123f829f304d79ae17222e341b192644233b2d8ab31eca5cd7");
        assert_ne!(digest("mac", "x"), digest("disk", "x"));
    }
}
