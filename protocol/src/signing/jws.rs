//! Compact JSON web signatures (RFC 7515, RFC 8037): for apps, whose libraries know them.

use super::PrivateKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;

impl PrivateKey {
    /// Signs a header that says `EdDSA` and a payload, both JSON, as one compact JWS.
    ///
    /// This is the only thing that is signed without a [`super::Purpose`], and it cannot be taken for what is, nor the other
    /// way round: what is signed here are the letters, digits, `-` and `_` of base64url and one dot, whatever the
    /// arguments, and what is signed for a purpose begins with `sitewarden/`, which has a character that is none of them.
    pub fn sign_jws(&self, header: &[u8], payload: &[u8]) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let input = format!("{}.{}", encode(header), encode(payload));
        let signature = self.0.sign(input.as_bytes()).to_bytes();
        format!("{input}.{}", encode(&signature))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Purpose, Signature};
    use super::*;
    use ed25519_dalek::VerifyingKey;

    /// RFC 8037, appendix A.4.
    #[test]
    fn the_example_of_the_standard_comes_out_to_the_letter() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = PrivateKey::from_seed(&seed.try_into().unwrap());
        let expected = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
             hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(key.sign_jws(br#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing"), expected);
    }

    #[test]
    fn no_purposes_message_can_be_had_from_it() {
        let key = PrivateKey::from_seed(&[1; 32]);
        let wanted = Purpose::Batch.message(b"a forged batch");
        // What signs bytes of a caller's choice is only as narrow as what it makes of them.
        let (input, signature) = {
            let jws = key.sign_jws(&wanted, &wanted);
            let (input, signature) = jws.rsplit_once('.').unwrap();
            (input.to_owned(), URL_SAFE_NO_PAD.decode(signature).unwrap())
        };
        let signature = Signature(signature.try_into().unwrap());
        assert!(input.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        let verifier = VerifyingKey::from_bytes(key.public().as_bytes()).unwrap();
        let raw = ed25519_dalek::Signature::from_bytes(&signature.0);
        assert!(verifier.verify_strict(input.as_bytes(), &raw).is_ok());
        for purpose in [Purpose::Batch, Purpose::Receipt, Purpose::Snapshot2, Purpose::Enrolment, Purpose::Time] {
            assert!(key.public().verify(purpose, b"a forged batch", &signature).is_err());
            let begins = purpose.message(b"");
            assert!(begins.starts_with(b"sitewarden/"), "{purpose:?} could be taken for a JWS");
        }
    }
}
