//! `GET /sync/v1`: where the HTTPS carrier begins. An agent asks for an upgrade and shows its certificate; what follows
//! are the frames of the sync protocol.

use super::shown::Shown;
use crate::sync::{Https, Refused};
use axum::{
    Extension,
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONNECTION, RETRY_AFTER, UPGRADE},
    },
    response::{IntoResponse, Response},
};
use sitewarden_certs::tls::SYNC_UPGRADE;
use std::{net::SocketAddr, sync::Arc};

/// Seconds after which an agent may try again; its own back-off spreads the tries.
const LATER: &str = "5";

pub(super) async fn sync(
    State(https): State<Arc<Https>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    shown: Option<Extension<Shown>>,
    mut request: Request,
) -> Response {
    if !asks_for_upgrade(request.headers()) {
        let asked = [(UPGRADE, SYNC_UPGRADE), (CONNECTION, "upgrade")];
        return (StatusCode::UPGRADE_REQUIRED, asked, "only agents come in here").into_response();
    }
    let Some(Extension(shown)) = shown else {
        return (StatusCode::FORBIDDEN, "agents come in over HTTPS, without a proxy that ends TLS").into_response();
    };
    match https.enter(shown.certificates(), address).await {
        Ok(guest) => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(guest.serve(upgrade));
            let agreed = [(UPGRADE, SYNC_UPGRADE), (CONNECTION, "upgrade")];
            (StatusCode::SWITCHING_PROTOCOLS, agreed).into_response()
        }
        Err(Refused::Later(word)) => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, LATER)], word).into_response(),
        Err(Refused::Never(word)) => (StatusCode::FORBIDDEN, word).into_response(),
    }
}

fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|asked| asked.as_bytes().eq_ignore_ascii_case(SYNC_UPGRADE.as_bytes()))
}
