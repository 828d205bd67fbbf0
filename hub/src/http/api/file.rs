//! Answers that are files, written while they are read: the next part is made when the one before has been taken by the
//! client's connection, so a slow client costs one part of memory, and nothing of the database's.

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};

/// How long a client may take for one part before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes a file. One that is dropped without [`Writer::end`] leaves a file that is cut, and its connection breaks.
#[derive(Debug)]
pub(crate) struct Writer(mpsc::Sender<Piece>);

/// A part of the file, or its end.
#[derive(Debug)]
enum Piece {
    Part(Bytes),
    End,
}

/// A writer, and what it writes.
pub(crate) fn file() -> (Writer, Body) {
    let (pieces, taken) = mpsc::channel(1);
    (Writer(pieces), Body::new(Pieces(taken)))
}

impl Writer {
    /// Hands a part on; `false` if nobody takes it any more: one who has left needs no more, one who is too slow gets
    /// no more.
    pub(crate) async fn part(&self, part: impl Into<Bytes>) -> bool {
        matches!(timeout(PATIENCE, self.0.send(Piece::Part(part.into()))).await, Ok(Ok(())))
    }

    /// The file is whole.
    pub(crate) async fn end(self) {
        let _ = timeout(PATIENCE, self.0.send(Piece::End)).await;
    }
}

struct Pieces(mpsc::Receiver<Piece>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|piece| match piece {
            Some(Piece::Part(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End) => None,
            None => Some(Err(io::Error::other("the file broke off"))),
        })
    }
}
