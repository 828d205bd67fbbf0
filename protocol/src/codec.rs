//! The one place that knows bincode.
//!
//! Always true: no value is decoded without a limit on what it may claim to hold, and no trailing byte is accepted.
//! Bytes that were signed or hashed are kept as they came; nothing is ever re-encoded to be compared, because
//! bincode's variable-length integers have more than one form for a number.

use bincode::config;
pub use bincode::{Decode, Encode};

/// The most bytes that one decoded value may claim, whatever its own length fields say (1 MiB).
///
/// Ten hostile bytes can claim a string of 64 GiB; without this limit decoding them ends the process.
pub const LIMIT: usize = 1 << 20;

/// Why bytes are not the value that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes do not form the value: cut, over the limit, or of another type.
    #[error("not a valid encoding: {0}")]
    Malformed(#[from] bincode::error::DecodeError),
    /// The value ended before the bytes did.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
}

fn configuration() -> config::Configuration<config::LittleEndian, config::Varint, config::Limit<LIMIT>> {
    config::standard().with_limit::<LIMIT>()
}

/// Encodes a value.
///
/// Writing to memory cannot fail and every type here can be encoded, so the error that bincode's signature allows is
/// turned into an empty answer, which no decoder takes for a value.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, configuration()).unwrap_or_default()
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
/// [`Error::Malformed`] if the bytes are not such a value, [`Error::Trailing`] if more follows it.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, Error> {
    let (value, used) = bincode::decode_from_slice(bytes, configuration())?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(Error::Trailing(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_length_over_the_limit_is_refused_before_memory_is_taken() {
        // A string said to be 2^36 bytes long: varint marker for u64, then the length.
        let hostile = [253, 0, 0, 0, 0, 16, 0, 0, 0, 65];
        assert!(decode::<String>(&hostile).is_err());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&7_u32);
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes), Err(Error::Trailing(1))));
    }
}
