//! An HTTP proxy that makes tunnels, as plants have them.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A proxy that runs until its process ends.
#[derive(Debug, Clone)]
pub struct Proxy {
    address: SocketAddr,
    rules: Arc<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    /// What callers have to show.
    authorization: Option<String>,
    /// Where tunnels lead instead of where they were asked to.
    instead: Mutex<Option<SocketAddr>>,
    tunnels: AtomicUsize,
}

impl Proxy {
    /// A proxy for everybody, or for the one user with this password.
    ///
    /// # Errors
    /// If no port is to be had.
    pub fn start(user: Option<(&str, &str)>) -> Result<Self> {
        let authorization = user.map(|(name, word)| format!("Basic {}", STANDARD.encode(format!("{name}:{word}"))));
        let rules = Arc::new(Rules { authorization, ..Rules::default() });
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let proxy = Self { address: listener.local_addr()?, rules: Arc::clone(&rules) };
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let rules = Arc::clone(&rules);
                // A caller that goes away is no concern of a proxy.
                thread::spawn(move || drop(serve(caller, &rules)));
            }
        });
        Ok(proxy)
    }

    /// As it stands in settings.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads all later tunnels here, whatever is asked for.
    pub fn lead_to(&self, instead: Option<SocketAddr>) {
        *self.rules.instead.lock().unwrap_or_else(PoisonError::into_inner) = instead;
    }

    /// Tunnels that were made.
    pub fn tunnels(&self) -> usize {
        self.rules.tunnels.load(Ordering::Relaxed)
    }
}

fn serve(mut caller: TcpStream, rules: &Rules) -> io::Result<()> {
    let mut lines = BufReader::new(caller.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut shown = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("proxy-authorization")
        {
            shown = Some(value.trim().to_owned());
        }
    }
    let mut words = request.split(' ');
    let (Some("CONNECT"), Some(target)) = (words.next(), words.next()) else {
        return caller.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n");
    };
    if rules.authorization.is_some() && shown != rules.authorization {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"plant\"\r\n";
        return caller.write_all(format!("{refusal}content-length: 0\r\n\r\n").as_bytes());
    }
    let instead = *rules.instead.lock().unwrap_or_else(PoisonError::into_inner);
    let reached = instead.map_or_else(|| TcpStream::connect(target), TcpStream::connect);
    let Ok(hub) = reached else {
        return caller.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    };
    rules.tunnels.fetch_add(1, Ordering::Relaxed);
    caller.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (from, to) = (caller.try_clone()?, hub.try_clone()?);
    thread::spawn(move || pump(from, to));
    pump(hub, caller);
    Ok(())
}

/// Copies until one side ends, and then ends the other.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
