//! Files on their way in, in the body of one request.
//!
//! One file as it is; or several, each behind its length (eight bytes, little-endian). A file begins with the bundle's own
//! eight bytes, which would be a length that no disk has, so that the two cannot be confused.

use super::{Error, PATIENCE};
use axum::body::{Body, Bytes, HttpBody};
use sitewarden_protocol::bundle::MAGIC;
use std::{future::poll_fn, pin::Pin};
use tokio::time::timeout;

/// The files of one request, one after the other.
pub(crate) struct Upload {
    body: Body,
    buffered: Bytes,
    /// Of the file under way; `None` before the first.
    left: Option<u64>,
    single: bool,
}

impl Upload {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, buffered: Bytes::new(), left: None, single: false }
    }

    /// Goes to the next file, past what is left of this one; `false` if there is none.
    pub(crate) async fn next_file(&mut self) -> Result<bool, Error> {
        while self.chunk().await?.is_some() {}
        if self.single {
            return Ok(false);
        }
        let mut head = Vec::with_capacity(MAGIC.len());
        while head.len() < MAGIC.len() {
            if self.buffered.is_empty() && !self.receive().await? {
                break;
            }
            let take = self.buffered.len().min(MAGIC.len() - head.len());
            head.extend_from_slice(&self.buffered.split_to(take));
        }
        match <[u8; 8]>::try_from(head.as_slice()) {
            Ok(head) if head == MAGIC => {
                self.single = true;
                self.buffered = [&head[..], &self.buffered].concat().into();
                self.left = Some(u64::MAX);
                Ok(true)
            }
            Ok(length) => {
                self.left = Some(u64::from_le_bytes(length));
                Ok(true)
            }
            Err(_) if head.is_empty() => Ok(false),
            Err(_) => Err(Error::Upload("its length is cut".to_owned())),
        }
    }

    /// The next bytes of this file; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(left) = self.left.filter(|left| *left > 0) else { return Ok(None) };
        if self.buffered.is_empty() && !self.receive().await? {
            self.left = Some(0);
            return if self.single { Ok(None) } else { Err(Error::Upload("it ended before its length".to_owned())) };
        }
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffered.len());
        self.left = Some(left - take as u64);
        Ok(Some(self.buffered.split_to(take)))
    }

    /// Whether more came.
    async fn receive(&mut self) -> Result<bool, Error> {
        loop {
            let next = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context));
            let frame = match timeout(PATIENCE, next).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return Ok(false),
                Ok(Some(Err(error))) => return Err(Error::Upload(error.to_string())),
                Err(_) => return Err(Error::Upload(format!("no bytes came for {} s", PATIENCE.as_secs()))),
            };
            match frame.into_data() {
                Ok(data) if !data.is_empty() => {
                    self.buffered = data;
                    return Ok(true);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn files(body: Vec<u8>) -> Result<Vec<Vec<u8>>, Error> {
        let (mut upload, mut files) = (Upload::new(Body::from(body)), vec![]);
        while upload.next_file().await? {
            let mut file = vec![];
            while let Some(bytes) = upload.chunk().await? {
                file.extend_from_slice(&bytes);
            }
            files.push(file);
        }
        Ok(files)
    }

    #[tokio::test]
    async fn one_file_comes_as_it_is_and_several_behind_their_lengths() {
        let single = [&MAGIC[..], b"and more"].concat();
        assert_eq!(files(single.clone()).await.unwrap(), [single]);
        let several = [&3_u64.to_le_bytes()[..], b"one", &0_u64.to_le_bytes(), &2_u64.to_le_bytes(), b"ab"].concat();
        assert_eq!(files(several).await.unwrap(), [&b"one"[..], b"", b"ab"]);
        assert!(files(vec![]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_is_told_from_a_file_that_is_cut() {
        let short = [&9_u64.to_le_bytes()[..], b"one"].concat();
        assert!(matches!(files(short).await, Err(Error::Upload(_))));
        assert!(matches!(files(vec![1, 2, 3]).await, Err(Error::Upload(_))));
    }
}
