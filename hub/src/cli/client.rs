//! Calls the running hub over its administration socket.

use super::failure::{FAILED, Failure, NOT_INITIALISED};
use crate::folder;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use hyper::{Method, Request, StatusCode, body::Frame, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::VecDeque,
    fmt::Write,
    fs::File,
    future::poll_fn,
    io::{self, Read},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::UnixStream, task::JoinHandle, time::timeout};

/// How long the hub may take to answer: more than it gives itself for a request.
const TIMEOUT: Duration = Duration::from_secs(40);
/// How long it may take to accept a connection on this very machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of an answer: a page of 1,000 records, each of 3.5 KiB before it became JSON, with room to spare.
const MAX_ANSWER: usize = 64 << 20;

/// Items of a page, where pages have numbers.
const PER_PAGE: usize = 500;
/// How long the hub may say nothing about files that it takes in; a checkpoint of a large database may come between.
const LINE_TIMEOUT: Duration = Duration::from_secs(300);
/// What is read of a file at once.
const BLOCK: usize = 256 << 10;

const SOCKET: &str = "run/admin.sock";

/// Names and values behind the question mark; those without a value are left out.
pub(super) type Parameters<'a> = &'a [(&'a str, Option<String>)];

pub(super) struct Client {
    data_dir: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("nobody listens")]
    NotRunning(#[source] io::Error),
    #[error("the socket cannot be used")]
    Socket(#[source] io::Error),
    #[error("no answer in time")]
    Late,
    #[error("the connection broke")]
    Broken(#[from] hyper::Error),
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
    #[error("the answer cannot be read")]
    Answer(#[source] axum::Error),
    #[error("the answer is not JSON")]
    Json(#[from] serde_json::Error),
}

impl Client {
    pub(super) fn new(data_dir: &Path) -> Result<Self, Failure> {
        if !folder::is_hub(data_dir).map_err(|error| Failure::of(FAILED, &error))? {
            let shown = data_dir.display();
            let message = format!(
                "{shown} holds no hub: run `sitewarden-hub init --data-dir {shown} --admin-password-file FILE`, \
                 or name another folder with --data-dir"
            );
            return Err(Failure::new(NOT_INITIALISED, message));
        }
        Ok(Self { data_dir: data_dir.to_owned() })
    }

    pub(super) async fn get(&self, path: &str, parameters: Parameters<'_>) -> Result<Value, Failure> {
        self.call(Method::GET, &format!("{path}{}", query(parameters)), Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::of(FAILED, &error))?;
        self.call(Method::POST, path, Body::from(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::of(FAILED, &error))?;
        self.call(Method::PUT, path, Body::from(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::of(FAILED, &error))?;
        self.call(Method::PATCH, path, Body::from(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, Body::empty()).await
    }

    /// All pages of a list, as one.
    pub(super) async fn all(&self, path: &str, parameters: Parameters<'_>) -> Result<Value, Failure> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let page = [("limit", Some("1000".to_owned())), ("after", after)];
            let mut answer = self.get(path, &[parameters, &page].concat()).await?;
            if let Value::Array(of_page) = answer["items"].take() {
                items.extend(of_page);
            }
            after = answer["next"].as_str().map(str::to_owned);
            if after.is_none() {
                return Ok(Value::Array(items));
            }
        }
    }

    /// All pages of a list whose pages have numbers, as one: what stands in each page under `name`.
    pub(super) async fn pages(&self, path: &str, name: &str, parameters: Parameters<'_>) -> Result<Value, Failure> {
        let mut items = Vec::new();
        for number in 1_u64.. {
            let page = [("per_page", Some(PER_PAGE.to_string())), ("page", Some(number.to_string()))];
            let mut answer = self.get(path, &[parameters, &page].concat()).await?;
            let Value::Array(of_page) = answer[name].take() else { break };
            let is_last = of_page.len() < PER_PAGE;
            items.extend(of_page);
            if is_last {
                break;
            }
        }
        Ok(Value::Array(items))
    }

    /// The hub's data folder.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Sends files, however large; what the hub says meanwhile comes line by line.
    pub(super) async fn send_files(&self, path: &str, files: Sent) -> Result<Lines, Failure> {
        let exchange = timeout(TIMEOUT, self.request(Method::POST, path, Body::new(files)));
        let answer = exchange.await.unwrap_or(Err(Unanswered::Late));
        let (status, body, driver) = answer.map_err(|error| self.failure(&error))?;
        if !status.is_success() {
            return Err(Failure::new(FAILED, format!("the hub does not take files: {status}")));
        }
        Ok(Lines { body, buffered: Vec::new(), driver })
    }

    /// All of a list that has pages by number and is in the order of its ids, as one. Each page is asked for by the id that
    /// it comes after: what is added or goes meanwhile moves nothing.
    pub(super) async fn all_numbered(&self, path: &str, parameters: Parameters<'_>) -> Result<Value, Failure> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let page = [("per_page", Some(PER_PAGE.to_string())), ("after", after)];
            let mut answer = self.get(path, &[parameters, &page].concat()).await?;
            let Value::Array(of_page) = answer[path].take() else { return Ok(Value::Array(items)) };
            after = of_page.last().map(|last| last["id"].to_string()).filter(|_| of_page.len() == PER_PAGE);
            items.extend(of_page);
            if after.is_none() {
                return Ok(Value::Array(items));
            }
        }
    }

    async fn call(&self, method: Method, path: &str, body: Body) -> Result<Value, Failure> {
        let answer = timeout(TIMEOUT, self.exchange(method, path, body)).await.unwrap_or(Err(Unanswered::Late));
        let (status, body) = answer.map_err(|error| self.failure(&error))?;
        if status.is_success() {
            return Ok(body);
        }
        let message = body["error"]["message"].as_str().map_or_else(|| status.to_string(), str::to_owned);
        Err(Failure::new(FAILED, message))
    }

    async fn exchange(&self, method: Method, path: &str, body: Body) -> Result<(StatusCode, Value), Unanswered> {
        let (status, body, driver) = self.request(method, path, body).await?;
        let bytes = to_bytes(body, MAX_ANSWER).await.map_err(Unanswered::Answer)?;
        driver.abort();
        Ok((status, serde_json::from_slice(&bytes)?))
    }

    /// The head of an answer, its body, and the task that moves the bytes.
    async fn request(&self, method: Method, path: &str, body: Body) -> Result<(StatusCode, Body, Driver), Unanswered> {
        let connect = timeout(CONNECT_TIMEOUT, UnixStream::connect(self.data_dir.join(SOCKET)));
        let stream = connect.await.map_err(|_| Unanswered::Late)?.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Unanswered::NotRunning(error),
            _ => Unanswered::Socket(error),
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the request; what breaks it shows in the answer.
        let driver = tokio::spawn(connection);
        // The host is a formality: the socket decides who answers.
        let request = Request::builder()
            .method(method)
            .uri(if path.starts_with('/') { path.to_owned() } else { format!("/api/v1/admin/{path}") })
            .header(header::HOST, "hub")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)?;
        let (parts, body) = sender.send_request(request).await?.into_parts();
        Ok((parts.status, Body::new(body), driver))
    }

    fn failure(&self, error: &Unanswered) -> Failure {
        let shown = self.data_dir.display();
        match error {
            Unanswered::NotRunning(_) => Failure::new(
                FAILED,
                format!("the hub in {shown} does not run: start it with `sitewarden-hub serve --data-dir {shown}`"),
            ),
            Unanswered::Late => {
                Failure::new(FAILED, format!("the hub in {shown} did not answer in time; its log may say why"))
            }
            _ => Failure::of(FAILED, error),
        }
    }
}

type Driver = JoinHandle<Result<(), hyper::Error>>;

/// An answer that comes line by line.
pub(super) struct Lines {
    body: Body,
    buffered: Vec<u8>,
    driver: Driver,
}

impl Lines {
    /// The next line; `None` at the end.
    pub(super) async fn next_line(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            if let Some(end) = self.buffered.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffered.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(|error| Failure::of(FAILED, &error));
            }
            let next = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context));
            match timeout(LINE_TIMEOUT, next).await {
                Ok(Some(Ok(frame))) => self.buffered.extend(frame.into_data().unwrap_or_default()),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(Failure::of(FAILED, &error)),
                Err(_) => return Err(Failure::new(FAILED, "the hub says nothing any more; its log may say why")),
            }
            if self.buffered.len() > MAX_ANSWER {
                return Err(Failure::new(FAILED, "the hub's answer is too long"));
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Files as a body: each behind its length.
pub(super) struct Sent {
    files: VecDeque<(File, u64)>,
    /// Whether the first one's length was sent.
    begun: bool,
}

impl Sent {
    /// Opens them all, so that one that cannot be read is told before anything is sent.
    pub(super) fn open(files: &[PathBuf]) -> Result<Self, Failure> {
        let open = |path: &PathBuf| {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        let about = |path: &PathBuf, error: io::Error| Failure::new(FAILED, format!("{}: {error}", path.display()));
        let files =
            files.iter().map(|path| open(path).map_err(|error| about(path, error))).collect::<Result<_, _>>()?;
        Ok(Self { files, begun: false })
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let begun = std::mem::replace(&mut self.begun, true);
        let Some((file, left)) = self.files.front_mut() else { return Poll::Ready(None) };
        if !begun {
            return Poll::Ready(Some(Ok(Frame::data(left.to_le_bytes().to_vec().into()))));
        }
        let mut block = Vec::with_capacity(BLOCK);
        // On a thread that has nothing else to do.
        let read = file.take((*left).min(BLOCK as u64)).read_to_end(&mut block);
        match read {
            Err(error) => Poll::Ready(Some(Err(error))),
            Ok(0) if *left > 0 => Poll::Ready(Some(Err(io::Error::other("the file became shorter")))),
            Ok(count) => {
                *left -= count as u64;
                if *left == 0 {
                    self.files.pop_front();
                    self.begun = false;
                }
                Poll::Ready(Some(Ok(Frame::data(block.into()))))
            }
        }
    }
}

fn query(parameters: Parameters<'_>) -> String {
    let mut text = String::new();
    for (name, value) in parameters {
        let Some(value) = value else { continue };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(&escaped(value));
    }
    text
}

/// A text as a part of a path, or a value behind the question mark.
pub(super) fn escaped(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_cannot_become_another_question() {
        let parameters = [("kind", Some("a&limit=1 é".to_owned())), ("after", None), ("limit", Some("5".to_owned()))];
        assert_eq!(query(&parameters), "?kind=a%26limit%3D1%20%C3%A9&limit=5");
    }

    #[test]
    fn a_folder_without_a_hub_is_told_apart_from_a_hub_that_does_not_run() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Client::new(folder.path()).is_err());
        std::fs::write(folder.path().join(folder::CONFIGURATION), "").unwrap();
        let client = Client::new(folder.path()).unwrap();
        let failed = super::super::process::once(async { client.get("agents", &[]).await.map(drop) });
        assert!(format!("{failed:?}").contains("does not run"), "{failed:?}");
    }
}
