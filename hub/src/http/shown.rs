//! The certificates that a client showed in its TLS handshake, in each request of its connection.

use axum::{Extension, middleware::AddExtension};
use axum_server::{accept::Accept, tls_rustls::RustlsAcceptor};
use rustls_pki_types::CertificateDer;
use std::{future::Future, io, pin::Pin, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tower::Layer;

/// What the client showed, checked by TLS; empty for one that showed nothing, as browsers do.
#[derive(Debug, Clone)]
pub(crate) struct Shown(Arc<[CertificateDer<'static>]>);

impl Shown {
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

/// Accepts TLS, and keeps what the client showed.
#[derive(Debug, Clone)]
pub(crate) struct Showing<A>(RustlsAcceptor<A>);

impl<A> Showing<A> {
    pub(crate) const fn new(tls: RustlsAcceptor<A>) -> Self {
        Self(tls)
    }
}

impl<A, I, S> Accept<I, S> for Showing<A>
where
    A: Accept<I, S>,
    A::Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A::Service: Send + 'static,
    A::Future: Send + 'static,
{
    type Stream = TlsStream<A::Stream>;
    type Service = AddExtension<A::Service, Shown>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepting = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let shown = Shown(certificates.iter().map(|certificate| certificate.clone().into_owned()).collect());
            Ok((stream, Extension(shown).layer(service)))
        })
    }
}
