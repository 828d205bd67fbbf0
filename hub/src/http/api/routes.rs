//! A table of routes that says of each who may call it, and sees to it.

use super::{Access, Error, LocalAdministrator, Needs, edition, idempotency, limits::say};
use crate::http::{address, rate::Standing};
use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    http::Method,
    middleware::{self, Next},
    response::Response,
    routing::{MethodFilter, on},
};
use std::sync::Arc;

/// Routes, each with what it needs of a caller.
pub(crate) struct Routes<S> {
    access: Arc<Access>,
    router: Router<S>,
    listed: Vec<Listed>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) method: Method,
    /// As the router has it, with `{id}` and the like.
    pub(crate) path: String,
    /// `None` if nobody is asked who he is.
    pub(crate) needs: Option<Needs>,
    /// Whether an `Idempotency-Key` may come with it.
    pub(crate) takes_key: bool,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(crate) fn new(access: &Arc<Access>) -> Self {
        Self { access: Arc::clone(access), router: Router::new(), listed: Vec::new() }
    }

    pub(crate) fn get<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::GET, MethodFilter::GET), path, Some(needs), handler)
    }

    pub(crate) fn post<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::POST, MethodFilter::POST), path, Some(needs), handler)
    }

    pub(crate) fn put<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::PUT, MethodFilter::PUT), path, Some(needs), handler)
    }

    pub(crate) fn patch<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::PATCH, MethodFilter::PATCH), path, Some(needs), handler)
    }

    pub(crate) fn delete<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::DELETE, MethodFilter::DELETE), path, Some(needs), handler)
    }

    /// A route whose body has no bound, so that it cannot be compared with one that came before; it takes no key.
    pub(crate) fn post_file<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.put_in((Method::POST, MethodFilter::POST), path, (Some(needs), false), handler)
    }

    /// A route that asks nobody who he is.
    pub(crate) fn post_public<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add((Method::POST, MethodFilter::POST), path, None, handler)
    }

    fn add<H: Handler<T, S>, T: 'static>(
        self,
        method: (Method, MethodFilter),
        path: &str,
        needs: Option<Needs>,
        handler: H,
    ) -> Self {
        let takes_key = method.0 == Method::POST && needs.is_some();
        self.put_in(method, path, (needs, takes_key), handler)
    }

    fn put_in<H: Handler<T, S>, T: 'static>(
        mut self,
        (method, filter): (Method, MethodFilter),
        path: &str,
        (needs, takes_key): (Option<Needs>, bool),
        handler: H,
    ) -> Self {
        let (route, access) = (on(filter, handler), Arc::clone(&self.access));
        let route = match needs {
            Some(needs) => route.route_layer(middleware::from_fn_with_state((access, needs, takes_key), guard)),
            None => route.route_layer(middleware::from_fn_with_state(access, count)),
        };
        self.router = self.router.route(path, route);
        self.listed.push(Listed { method, path: path.to_owned(), needs, takes_key });
        self
    }

    /// Puts a table below a path.
    pub(crate) fn nest(mut self, below: &str, routes: Self) -> Self {
        self.router = self.router.nest(below, routes.router);
        let moved = routes.listed.into_iter().map(|route| Listed { path: joined(below, &route.path), ..route });
        self.listed.extend(moved);
        self
    }

    /// The routes themselves, and the list of them.
    pub(crate) fn into_parts(self) -> (Router<S>, Vec<Listed>) {
        (self.router, self.listed)
    }
}

/// The root of a table is the very path that it is below.
fn joined(below: &str, path: &str) -> String {
    if path == "/" { below.to_owned() } else { format!("{below}{path}") }
}

async fn guard(
    State((access, needs, takes_key)): State<(Arc<Access>, Needs, bool)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let mut caller = access.caller(request.headers(), request.extensions()).await?;
    caller.seen = edition::seen(request.headers());
    let standing = access.limits().caller(&caller)?;
    needs.check(&caller)?;
    let key = if takes_key { idempotency::key(request.headers())? } else { None };
    request.extensions_mut().insert(caller.clone());
    let answer = match key {
        Some(key) => idempotency::guarded(access.store().clone(), &caller, key, request, next).await?,
        None => next.run(request).await,
    };
    Ok(told(standing, answer))
}

/// Counts a request of one who is not asked who he is. The owner of the data folder may ask as often as he likes.
async fn count(State(access): State<Arc<Access>>, request: Request, next: Next) -> Result<Response, Error> {
    let local = request.extensions().get::<LocalAdministrator>().is_some();
    let address = address::client(request.extensions());
    let standing = if local { None } else { Some(access.limits().public(address)?) };
    Ok(told(standing, next.run(request).await))
}

fn told(standing: Option<Standing>, mut response: Response) -> Response {
    // A handler that counts by something narrower has said so itself.
    if let Some(standing) = standing.filter(|_| !response.headers().contains_key("ratelimit-limit")) {
        say(standing, response.headers_mut());
    }
    response
}
