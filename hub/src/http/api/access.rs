//! Proves who calls: by a bearer token, by an API key, or by the socket that the request came in on.
//!
//! Always true: an access token is good for 15 minutes at most, and only while its session is there; user and key are read
//! from the store for each request, so that what is revoked, disabled or changed counts at once; secrets are compared in
//! constant time, or found by a digest of 256 random bits.

use super::{Caller, Error, caller::Who, limits::Limits};
use crate::development;
use crate::http::{Basic, Rate, address, basic::Refused, rate::neighbourhood};
use crate::settings::Live;
use crate::store::{Begun, Purpose, Role, Scope, SessionId, Store, User};
use axum::http::{Extensions, HeaderMap, header::AUTHORIZATION};
use sitewarden_protocol::{
    login::token::{ACCESS_LIFE, Claims, Signer},
    time::UnixMillis,
};
use std::{net::IpAddr, sync::Arc, time::Instant};

/// Where an API key may stand too.
const API_KEY: &str = "x-api-key";

/// Marks the requests that came in on the administration socket. No request can bring it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalAdministrator;

/// Proves who calls.
#[derive(Debug)]
pub(crate) struct Access {
    store: Store,
    basic: Arc<Basic>,
    signer: Signer,
    /// By address, of those who come with a key that is none.
    strangers: Rate,
    limits: Limits,
    /// Whether the documented test credentials count.
    dev: bool,
}

impl Access {
    /// `secret` makes access tokens, and stays the same.
    pub(crate) fn new(store: Store, basic: Arc<Basic>, secret: &[u8; 32], settings: Live) -> Self {
        let key = zeroize::Zeroizing::new(blake3::derive_key("sitewarden hub access tokens 1", secret));
        Self {
            store,
            basic,
            signer: Signer::new(key.as_slice()),
            strangers: Rate::default(),
            limits: Limits::new(settings),
            dev: false,
        }
    }

    /// The same, with the documented test credentials: the hub's own tokens are signed with the documented secret too.
    pub(crate) fn with_test_credentials(self) -> Self {
        Self { signer: Signer::new(development::JWT_SECRET.as_bytes()), dev: true, ..self }
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// How much one may ask.
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Who sends a request.
    ///
    /// # Errors
    /// A 401 for nobody, a 429 for one who guesses.
    pub(crate) async fn caller(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<Caller, Error> {
        if extensions.get::<LocalAdministrator>().is_some() {
            return Ok(Caller::local());
        }
        let address = address::client(extensions);
        let credential = match headers.get(AUTHORIZATION) {
            Some(header) => bearer(header.as_bytes()),
            None => headers.get(API_KEY).and_then(|key| key.to_str().ok()),
        };
        let credential = credential.map(str::trim).ok_or_else(Error::unauthorised)?;
        let now = crate::wall_clock();
        // A token has dots, a key has none.
        if credential.contains('.') {
            self.by_token(credential, address, now).await
        } else {
            self.by_key(credential, address, now).await
        }
    }

    async fn by_token(&self, token: &str, address: IpAddr, now: UnixMillis) -> Result<Caller, Error> {
        let claims = self.signer.verify(token, now.seconds()).ok_or_else(Error::unauthorised)?;
        let (session, user) = if self.dev && claims.sid.is_empty() {
            (SessionId::never_begun(&claims.sub), self.store.user(&claims.sub).await?)
        } else {
            let session = claims.sid.parse().map_err(|_| Error::unauthorised())?;
            (session, self.store.user_of_session(session, now).await?)
        };
        let user = user.ok_or_else(Error::unauthorised)?;
        let User { name, role, scope, .. } = user;
        Ok(Caller { who: Who::User { name, session }, role, scope, address: Some(address), seen: None })
    }

    async fn by_key(&self, key: &str, address: IpAddr, now: UnixMillis) -> Result<Caller, Error> {
        if self.dev && key == development::API_KEY {
            // No key of the database has this number.
            let who = Who::Key { id: 0, name: "test key of --dev".to_owned() };
            return Ok(Caller { who, role: Role::Admin, scope: Scope::default(), address: Some(address), seen: None });
        }
        let Some(key) = self.store.recognise_api_key(key, Purpose::Api, now).await? else {
            let left = self.strangers.take(neighbourhood(address), Instant::now());
            return Err(if left { Error::unauthorised() } else { Error::wait(std::time::Duration::from_secs(1)) });
        };
        // A use that cannot be noted is a use.
        if let Err(error) = self.store.note_use_of_key(&key, now).await {
            tracing::warn!(%error, key = key.id, "the use of an API key could not be noted");
        }
        let scope = key.scope();
        Ok(Caller {
            who: Who::Key { id: key.id, name: key.name },
            role: key.role,
            scope,
            address: Some(address),
            seen: None,
        })
    }

    /// The user whose password it is.
    ///
    /// # Errors
    /// A 401, a 429 for one who guesses, a 503 while others are being checked.
    pub(super) async fn log_in(
        &self,
        name: String,
        password: zeroize::Zeroizing<String>,
        address: IpAddr,
    ) -> Result<User, Error> {
        self.basic.log_in(name, password, address).await.map_err(|refused| match refused {
            Refused::Wrong => Error::wrong_password(),
            Refused::Wait(how_long) => Error::wait(how_long),
            Refused::Busy => Error::busy(),
            Refused::Store(error) => error.into(),
        })
    }

    /// An access token of a session.
    pub(super) fn token(&self, session: &Begun, now: UnixMillis) -> String {
        let (iat, life) = (now.seconds(), i64::try_from(ACCESS_LIFE.as_secs()).unwrap_or_default());
        let (sub, sid) = (session.user.name.clone(), session.id.to_string());
        self.signer.sign(&Claims { sub, sid, iat, exp: iat + life })
    }
}

/// What follows the scheme `Bearer`.
fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, credential) = str::from_utf8(header).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential)
}
