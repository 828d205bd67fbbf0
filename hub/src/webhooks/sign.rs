//! How what is sent is signed. Pure: what, when and with what are arguments.

use crate::store::SiteNews;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use chrono::SecondsFormat;
use ring::hmac;
use serde_json::{Value, json};
use sitewarden_protocol::time::UnixMillis;

/// The header `webhook-signature` of Standard Webhooks (<https://www.standardwebhooks.com>): `v1,` and HMAC-SHA256 in
/// base64 over id, time and body, one for each secret.
pub(super) fn standard<'a>(
    id: &str,
    now: UnixMillis,
    body: &str,
    secrets: impl IntoIterator<Item = &'a str>,
) -> String {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let signed = format!("{id}.{}.{body}", now.seconds());
    let signatures = secrets.into_iter().map(|secret| {
        let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
        // The hub's own secrets are base64 always.
        let key = zeroize::Zeroizing::new(LENIENT.decode(encoded).unwrap_or_else(|_| encoded.as_bytes().to_vec()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

/// The body of the control core's document: HMAC-SHA256, in hexadecimal, over the body without `webhook_signature`, keys
/// sorted, compact. An agent takes each body once, so the moment is in it.
pub(super) fn to_agent(news: &SiteNews, now: UnixMillis, secret: &str) -> String {
    let exact = |at: UnixMillis| {
        at.calendar().map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
    };
    // Keys come sorted: the map is a tree.
    let mut body = json!({
        "customer_id": news.customer.to_string(),
        "subscription_tier": news.tier,
        "subscription_status": news.status,
        "trial_end_date": news.trial_end.map(|end| end.to_string()),
        "effective_date": exact(now),
    });
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.to_string().as_bytes());
    body["webhook_signature"] = Value::String(tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries' own tests.
    #[test]
    fn the_known_signature_comes_out_for_each_secret() {
        let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", UnixMillis(1_614_265_330_000));
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let known = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(standard(id, at, r#"{"test": 2432232314}"#, [secret]), known);
        let both = standard(id, at, r#"{"test": 2432232314}"#, ["whsec_AAAA", secret]);
        assert!(both.ends_with(&format!(" {known}")) && both.matches("v1,").count() == 2, "{both}");
    }

    #[test]
    fn an_agents_body_is_the_documented_one() {
        let news = SiteNews { customer: 7, tier: "trial", trial_end: Some(UnixMillis(0)), status: "active" };
        let body: Value = serde_json::from_str(&to_agent(&news, UnixMillis(1_500), "secret")).unwrap();
        assert_eq!(body["effective_date"], "1970-01-01T00:00:01.500Z");
        assert_eq!((&body["customer_id"], &body["trial_end_date"]), (&json!("7"), &json!("1970-01-01T00:00:00Z")));
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(6));
    }
}
