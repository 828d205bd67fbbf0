//! Calls the running agent over its unix socket.

use super::Failure;
use crate::folder::Folder;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// How long the agent may take to answer.
const TIMEOUT: Duration = Duration::from_secs(35);

pub(super) struct Client {
    client: reqwest::Client,
    folder: Folder,
}

impl Client {
    pub(super) fn new(folder: &Folder) -> Result<Self, Failure> {
        folder.check_enrolled()?;
        let socket = folder.run("agent.sock");
        if !socket.exists() {
            return Err(not_running(folder));
        }
        let client =
            reqwest::Client::builder().unix_socket(socket).timeout(TIMEOUT).build().map_err(Failure::failed)?;
        Ok(Self { client, folder: folder.clone() })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Failure> {
        // Nothing is in a question but what was typed, so that a bad one is a misuse.
        self.call(self.request(Method::GET, path).query(query), Failure::misuse).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call(self.request(Method::POST, path).json(body), Failure::failed).await
    }

    pub(super) async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call(self.request(Method::PUT, path).json(body), Failure::failed).await
    }

    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call(self.request(Method::DELETE, path).json(body), Failure::failed).await
    }

    /// Asks for an answer that comes piece by piece, however long it takes in all.
    pub(super) async fn stream(&self, path: &str, body: &impl Serialize) -> Result<Response, Failure> {
        let socket = self.folder.run("agent.sock");
        let client = reqwest::Client::builder().unix_socket(socket).read_timeout(TIMEOUT).build();
        let request = client.map_err(Failure::failed)?.post(format!("http://agent{path}")).json(body);
        self.answered(request, Failure::failed).await
    }

    /// Hands in a file.
    pub(super) async fn upload<T: DeserializeOwned>(&self, path: &str, file: Vec<u8>) -> Result<T, Failure> {
        self.call(self.request(Method::POST, path).body(file), Failure::failed).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // The host is a formality: the socket decides who answers.
        self.client.request(method, format!("http://agent{path}"))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        bad_request: fn(String) -> Failure,
    ) -> Result<T, Failure> {
        self.answered(request, bad_request).await?.json().await.map_err(Failure::failed)
    }

    /// An answer that is a success, its body not read yet.
    async fn answered(&self, request: RequestBuilder, bad_request: fn(String) -> Failure) -> Result<Response, Failure> {
        let answer = request
            .send()
            .await
            .map_err(|error| if error.is_connect() { not_running(&self.folder) } else { Failure::failed(error) })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        let said = body["error"]["message"].as_str().map_or_else(|| status.to_string(), str::to_owned);
        Err(if status == StatusCode::BAD_REQUEST { bad_request(said) } else { Failure::failed(said) })
    }
}

fn not_running(folder: &Folder) -> Failure {
    Failure::failed(format!(
        "the agent of {0} does not run; start it with: sitewarden-agent serve --data-dir {0}",
        folder.path().display()
    ))
}
