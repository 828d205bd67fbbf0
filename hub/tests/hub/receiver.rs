//! Another system that is told: an HTTP server of the tests.

use crate::support::PATIENCE;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use hyper::body::Frame;
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

/// What it does with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    Answer(u16),
    /// Sends elsewhere.
    Redirect(String),
    /// Takes the call and never answers.
    Mute,
    /// Answers with success, and with a body that never ends.
    Endless,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Got {
    pub headers: HeaderMap,
    pub body: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

#[derive(Debug)]
struct Inner {
    behaviour: Mutex<Behaviour>,
    got: Mutex<Vec<Got>>,
}

/// The server; it stops when dropped.
pub struct Receiver {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner { behaviour: Mutex::new(Behaviour::Answer(204)), got: Mutex::default() });
        let router = Router::new().fallback(take).with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?key=a-secret-in-the-address", self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.inner.behaviour.lock().unwrap() = behaviour;
    }

    pub fn got(&self) -> Vec<Got> {
        self.inner.got.lock().unwrap().clone()
    }

    /// Waits for so many calls.
    pub async fn calls(&self, count: usize) -> Vec<Got> {
        let wait = async {
            let mut ticks = interval(std::time::Duration::from_millis(5));
            loop {
                ticks.tick().await;
                let got = self.got();
                if got.len() >= count {
                    return got;
                }
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{count} calls never came: {:?}", self.got()))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A body that never ends.
struct Endless;

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 1 << 14])))))
    }
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let body = String::from_utf8(body.to_vec()).unwrap();
    inner.got.lock().unwrap().push(Got { headers, body });
    let behaviour = inner.behaviour.lock().unwrap().clone();
    let answer = Response::builder();
    match behaviour {
        Behaviour::Answer(status) => answer.status(status).body(Body::from("thanks")).unwrap(),
        Behaviour::Redirect(to) => {
            answer.status(StatusCode::TEMPORARY_REDIRECT).header("location", to).body(Body::empty()).unwrap()
        }
        Behaviour::Mute => std::future::pending().await,
        Behaviour::Endless => answer.body(Body::new(Endless)).unwrap(),
    }
}

/// What another language's public library says of the events, in order; it must accept every one.
pub async fn verified(secret: &str, got: &[Got]) -> Vec<String> {
    let lines: Vec<Value> = got
        .iter()
        .map(|got| {
            let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
            let headers: serde_json::Map<_, _> =
                names.iter().map(|name| ((*name).to_owned(), json!(got.header(name)))).collect();
            json!({ "secret": secret, "body": got.body, "headers": headers })
        })
        .collect();
    tokio::task::spawn_blocking(move || python(&lines)).await.unwrap()
}

fn python(lines: &[Value]) -> Vec<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let python = format!("{root}/target/tools/standardwebhooks/bin/python");
    let mut command = Command::new(&python);
    command.arg(format!("{root}/hub/tests/hub/webhook_verify.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{python}: {error}; run tests/prerequisites"));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the library refused a webhook");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
