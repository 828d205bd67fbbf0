//! What an Argon2id hash of a password costs wherever one is made. Older hashes say themselves what they cost.

/// Memory of one hash, KiB; with one pass, one of the settings that OWASP recommends. Above 32 MiB for a reason of ours:
/// freeing a smaller block teaches glibc to keep that much free memory, and an agent is to stay small.
pub const MEMORY: u32 = 46 << 10;
/// Passes over it.
pub const PASSES: u32 = 1;
/// Lanes, which are threads that could work at it.
pub const LANES: u32 = 1;

/// A hash of no password at this cost, so that an unknown name takes as long as a known one.
pub const NOBODY: &str =
    "$argon2id$v=19$m=47104,t=1,p=1$c2l0ZXdhcmRlbi1ub2JvZHk$3yhIJYbnXnTGGvGo2xEnTuVlWzCiytQLFOIOMUL1oYg";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_costs_what_is_said() {
        assert!(NOBODY.starts_with(&format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}$")));
    }
}
