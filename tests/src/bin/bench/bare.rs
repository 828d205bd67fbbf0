//! The yardstick of `_verify`: bare hyper that answers a constant, in a process of its own as the agent is.

use anyhow::{Context, Result};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use sitewarden_tests::harness::{Process, until};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};
use tokio::net::TcpListener;

/// The hidden word that makes this program the server.
pub(crate) const WORD: &str = "bare-server";

/// Starts the server; its address is written to a file in the folder.
pub(crate) fn start(folder: &Path) -> Result<(Process, SocketAddr)> {
    let file = folder.join("bare.addr");
    let mut command = Command::new(env::current_exe()?);
    command.arg(WORD).arg(&file);
    let process = Process::start(command, &folder.join("bare.log"))?;
    let address = until(Duration::from_secs(10), "the bare server", || {
        Ok(fs::read_to_string(&file).ok().and_then(|text| text.parse().ok()))
    })?;
    Ok((process, address))
}

/// The server; runs until it is killed.
pub(crate) fn serve() -> Result<()> {
    let file = PathBuf::from(env::args().nth(2).context("a file for the address")?);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        fs::write(&file, listener.local_addr()?.to_string())?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new());
                // A client that goes away is no concern of a yardstick.
                let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    })
}

async fn answer(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let mut response = Response::new("\"Authorised\"".to_owned());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
