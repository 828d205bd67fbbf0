//! SHA-256 and the comparison of what it yields.

use ring::digest::{Context, SHA256};
use std::hint::black_box;

/// SHA-256 of the parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Whether both are the same, in a time that does not depend on where they differ.
///
/// Ring's own comparison is deprecated for outside use. `black_box` keeps the compiler from leaving the loop early.
pub(crate) fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_one_bit_makes_two_digests_unequal() {
        let digest = sha256(&[b"a", b"bc"]);
        assert_eq!(digest, sha256(&[b"abc"]));
        assert!(equal(&digest, &digest.clone()));
        for bit in 0..256 {
            let mut other = digest;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!equal(&digest, &other), "bit {bit}");
        }
    }
}
