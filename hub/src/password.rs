//! Passwords on their way in: read from a file, hashed, forgotten.

use argon2::password_hash::{self, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use sitewarden_protocol::login::hash::{LANES, MEMORY, PASSES};
use std::{fs, io, path::Path};
use zeroize::Zeroizing;

/// The fewest bytes of a password.
pub const MIN_PASSWORD: usize = 8;
/// The most bytes of one. argon2 takes far more; a file that is longer was named by mistake.
pub const MAX_PASSWORD: usize = 1_024;
/// The most bytes of a hash in PHC form; those that this hub makes have under 100.
const MAX_HASH: usize = 256;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The password file cannot be read.
    #[error("cannot read the password file {path}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The password is too short or too long.
    #[error("the password must have {MIN_PASSWORD} to {MAX_PASSWORD} bytes")]
    Length,
    /// The password cannot be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(password_hash::Error),
}

impl Error {
    /// What the process ends with: 2 for what was asked wrongly, otherwise 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. } | Self::Length => 2,
            Self::Hash(_) => 1,
        }
    }
}

/// The argon2id hash, in PHC form, of a file's content less one newline at its end. Takes some 30 ms of a core.
///
/// # Errors
/// Any of [`Error`].
pub fn hash_file(file: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::File { path: file.display().to_string(), source };
    let content = Zeroizing::new(fs::read(file).map_err(unreadable)?);
    let password = content.strip_suffix(b"\n").unwrap_or(&content);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len()) {
        return Err(Error::Length);
    }
    hash(password).map_err(Error::Hash)
}

/// At the cost that agents use as well.
pub(crate) fn hash(password: &[u8]) -> Result<String, password_hash::Error> {
    let params = Params::new(MEMORY, PASSES, LANES, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon2.hash_password(password)?.to_string())
}

/// Whether a text is an argon2id hash in PHC form, and not a password that was given in its place.
pub fn is_hash(text: &str) -> bool {
    let argon2id = Algorithm::Argon2id.ident();
    text.len() <= MAX_HASH
        && PasswordHash::new(text).is_ok_and(|hash| hash.algorithm == argon2id && hash.hash.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newline_at_the_end_is_no_part_of_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (content, fits) in
            [("12345678", true), ("1234567\n", false), ("1234567\r\n", false), ("12345678\r\n", true)]
        {
            fs::write(&file, content).unwrap();
            assert_eq!(hash_file(&file).is_ok_and(|hash| is_hash(&hash)), fits, "{content:?}");
        }
        assert!(matches!(hash_file(folder.path()), Err(Error::File { .. })));
    }

    #[test]
    fn a_password_is_not_taken_for_a_hash() {
        for text in
            ["", "a long password", "$argon2i$v=19$m=4096,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "$argon2id$v=19"]
        {
            assert!(!is_hash(text), "{text}");
        }
    }
}
