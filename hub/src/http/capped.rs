//! A bound on the connections of a listener, and on those of one address: one more is closed at once, before anything is
//! read from it.

use axum_server::accept::Accept;
use std::{
    collections::HashMap,
    future::{Ready, ready},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Connections by address; has at most as many entries as there are connections.
type Addresses = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Accepts while there is a place.
#[derive(Debug, Clone)]
pub(crate) struct Capped {
    places: Arc<Semaphore>,
    addresses: Addresses,
    /// Places of one address; `None` where all come through one, as from a reverse proxy.
    per_address: Option<usize>,
}

impl Capped {
    pub(crate) fn new(connections: usize, per_address: Option<usize>) -> Self {
        Self { places: Arc::new(Semaphore::new(connections)), addresses: Arc::default(), per_address }
    }

    fn place(&self, address: Option<IpAddr>) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let counted = match (self.per_address, address) {
            (Some(most), Some(address)) => {
                let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
                let here = addresses.entry(address).or_default();
                if *here >= most {
                    return None;
                }
                *here += 1;
                Some((Arc::clone(&self.addresses), address))
            }
            _ => None,
        };
        Some(Place { _permit: permit, counted })
    }
}

/// Where a connection comes from; `None` if from this machine's own file system.
pub(crate) trait Origin {
    fn address(&self) -> Option<IpAddr>;
}

impl Origin for TcpStream {
    fn address(&self) -> Option<IpAddr> {
        self.peer_addr().ok().map(|address| address.ip())
    }
}

impl Origin for UnixStream {
    fn address(&self) -> Option<IpAddr> {
        None
    }
}

impl<I: Origin, S> Accept<I, S> for Capped {
    type Stream = Placed<I>;
    type Service = S;
    type Future = Ready<io::Result<(Placed<I>, S)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = self.place(stream.address()).ok_or_else(|| io::Error::other("too many connections"));
        ready(place.map(|place| (Placed { stream, _place: place }, service)))
    }
}

/// One connection's place.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    counted: Option<(Addresses, IpAddr)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((addresses, address)) = &self.counted else { return };
        let mut addresses = addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = addresses.get_mut(address) {
            *here -= 1;
            if *here == 0 {
                addresses.remove(address);
            }
        }
    }
}

/// A connection and its place, which is free again when the connection is gone.
#[derive(Debug)]
pub(crate) struct Placed<I> {
    stream: I,
    _place: Place,
}

impl<I: AsyncRead + Unpin> AsyncRead for Placed<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Placed<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_no_more_than_its_places_and_leaves_nothing_behind() {
        let capped = Capped::new(3, Some(2));
        let (here, there) = (Some(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 2])));
        let first = capped.place(here).unwrap();
        let second = capped.place(here);
        assert!(second.is_some() && capped.place(here).is_none());
        let third = capped.place(there);
        assert!(third.is_some() && capped.place(there).is_none(), "there is no place in all");
        drop(first);
        assert!(capped.place(here).is_some());
        drop((second, third));
        assert!(capped.addresses.lock().unwrap().is_empty());
    }
}
