//! Routes with what they take and answer.

use crate::Operation;
use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A router, each of whose routes is described.
#[derive(Debug)]
pub struct Routes<S> {
    router: Router<S>,
    /// By path, then by method in lower case.
    paths: BTreeMap<String, Map<String, Value>>,
}

macro_rules! methods {
    ($($method:ident),+) => {$(
        /// A route of this method.
        #[must_use]
        pub fn $method<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H, operation: Operation) -> Self {
            self.on(path, $method(handler), [(stringify!($method), operation)])
        }
    )+};
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    pub fn new() -> Self {
        Self { router: Router::new(), paths: BTreeMap::new() }
    }

    methods!(get, post, put, patch, delete);

    /// A path whose methods share something, each method with what it does.
    #[must_use]
    pub fn on(
        mut self,
        path: &str,
        routed: MethodRouter<S>,
        operations: impl IntoIterator<Item = (&'static str, Operation)>,
    ) -> Self {
        let described = self.paths.entry(path.to_owned()).or_default();
        for (method, operation) in operations {
            described.insert(method.to_owned(), operation.at(method, path));
        }
        Self { router: self.router.route(path, routed), ..self }
    }

    /// With those of another.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for (path, operations) in other.paths {
            self.paths.entry(path).or_default().extend(operations);
        }
        Self { router: self.router.merge(other.router), ..self }
    }

    /// With those of another below a path.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        for (path, operations) in other.paths {
            let path = if path == "/" { prefix.to_owned() } else { format!("{prefix}{path}") };
            self.paths.entry(path).or_default().extend(operations);
        }
        Self { router: self.router.nest(prefix, other.router), ..self }
    }

    /// An operation of another router that is served beside this one. Whoever says so has a list of that router's routes.
    #[must_use]
    pub fn beside(mut self, method: &str, path: &str, operation: Operation) -> Self {
        self.paths.entry(path.to_owned()).or_default().insert(method.to_owned(), operation.at(method, path));
        self
    }

    /// The router with something around it: layers, limits, what answers where there is no route. Not for more routes.
    #[must_use]
    pub fn around(self, change: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        Self { router: change(self.router), ..self }
    }

    pub(crate) fn into_parts(self) -> (Router<S>, BTreeMap<String, Map<String, Value>>) {
        (self.router, self.paths)
    }
}
