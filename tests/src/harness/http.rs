//! A small HTTP/1.1 client over one kept connection, for tests that count requests.
//!
//! Always true: a request is sent at most once. After an error the connection is dropped, and it is not known whether
//! the request was carried out; the caller decides what that means.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    authorization: String,
    stream: Option<BufReader<TcpStream>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// `Retry-After`, seconds.
    pub retry_after: Option<u64>,
    /// `Sitewarden-Proof`.
    pub proof: Option<String>,
    /// `Idempotency-Replayed`: it is the answer to an earlier request.
    pub replayed: bool,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as JSON, or null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A client without credentials; connects with the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, authorization: String::new(), stream: None }
    }

    /// Sends these credentials with every request.
    #[must_use]
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        let token = STANDARD.encode(format!("{user}:{password}"));
        self.authorization = format!("authorization: Basic {token}\r\n");
        self
    }

    /// Sends this token with every request.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.authorization = format!("authorization: Bearer {token}\r\n");
        self
    }

    /// GET.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.request("GET", path, None)
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn post(&mut self, path: &str, json: &[u8]) -> io::Result<Response> {
        self.request("POST", path, Some(json))
    }

    /// POST of JSON under an `Idempotency-Key`.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn post_under_key(&mut self, key: &str, path: &str, json: &[u8]) -> io::Result<Response> {
        self.exchange("POST", path, &format!("idempotency-key: {key}\r\n"), Some(("application/json", json)))
    }

    /// PUT without a body.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn put(&mut self, path: &str) -> io::Result<Response> {
        self.request("PUT", path, None)
    }

    /// PUT of JSON.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn put_json(&mut self, path: &str, json: &[u8]) -> io::Result<Response> {
        self.request("PUT", path, Some(json))
    }

    /// DELETE without a body.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn delete(&mut self, path: &str) -> io::Result<Response> {
        self.request("DELETE", path, None)
    }

    /// Any method; JSON if there is a body.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn request(&mut self, method: &str, path: &str, json: Option<&[u8]>) -> io::Result<Response> {
        self.send(method, path, json.map(|json| ("application/json", json)))
    }

    /// Any method, and a body of any content type.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn send(&mut self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> io::Result<Response> {
        self.exchange(method, path, "", body)
    }

    /// `more` are whole lines of the head.
    fn exchange(&mut self, method: &str, path: &str, more: &str, body: Option<(&str, &[u8])>) -> io::Result<Response> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        let kind = body.map_or_else(String::new, |(kind, _)| format!("content-type: {kind}\r\n"));
        let body = body.map_or(&[][..], |(_, body)| body);
        let (address, authorization, length) = (self.address, &self.authorization, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{authorization}{more}{kind}content-length: {length}\r\n\r\n"
        );
        // A server may refuse a body from its head and close while the rest is still being written.
        let written = stream.get_mut().write_all(&[head.as_bytes(), body].concat());
        let whole = written.is_ok();
        let (response, keep) = read(&mut stream).map_err(|error| written.err().unwrap_or(error))?;
        if keep && whole {
            self.stream = Some(stream);
        }
        Ok(response)
    }
}

fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(BufReader::new(stream))
}

/// The answer, and whether the connection may be used again.
fn read(stream: &mut BufReader<TcpStream>) -> io::Result<(Response, bool)> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| bad("no status line"))?;
    let (mut length, mut keep, mut retry_after, mut proof, mut replayed) = (0, true, None, None, false);
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(|_| bad("a bad length"))?,
            "retry-after" => retry_after = Some(value.parse().map_err(|_| bad("a bad Retry-After"))?),
            "sitewarden-proof" => proof = Some(value.to_owned()),
            "idempotency-replayed" => replayed = value == "true",
            "transfer-encoding" => return Err(bad("a body in chunks")),
            "connection" => keep = !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((Response { status, retry_after, proof, replayed, body }, keep))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Answers each request on one connection with the next text; gives back what was asked.
    fn server(answers: &'static [&'static str]) -> (SocketAddr, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let mut asked = Vec::new();
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            for answer in answers {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert!(stream.read_line(&mut head).unwrap() > 0, "the client hung up: {head}");
                }
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                stream.read_exact(&mut body).unwrap();
                asked.push(head + &String::from_utf8(body).unwrap());
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        (address, serving)
    }

    #[test]
    fn one_connection_serves_several_requests() {
        let (address, serving) = server(&[
            "HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\"a\"",
        ]);
        let mut client = Client::new(address).basic("ems", "x");
        assert_eq!(client.post("/events", b"[1]").unwrap().status, 202);
        assert_eq!(client.get("/verify").unwrap().json(), "a");
        let asked = serving.join().unwrap();
        assert!(
            asked[0].contains("authorization: Basic ZW1zOng=\r\n") && asked[0].ends_with("\r\n\r\n[1]"),
            "{asked:?}"
        );
        assert!(asked[1].starts_with("GET /verify HTTP/1.1\r\n"), "{asked:?}");
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_error_and_nothing_is_sent_again() {
        let (address, serving) = server(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]);
        let mut client = Client::new(address);
        assert!(client.post("/events", b"{}").is_err());
        assert_eq!(serving.join().unwrap().len(), 1);
    }
}
