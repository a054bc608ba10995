//! A node on an axum router of yours, with other routes beside it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::any;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::error::LinkError;
use crate::manager::Manager;
use crate::rt::{BoxIo, Node, Stranger, answer_upgrade};

impl Manager {
    /// A router with the node's one route, to be merged into yours. Build the node with
    /// [`ManagerBuilder::build`](crate::ManagerBuilder::build), since the server of the router does the listening.
    ///
    /// Names are not proven by certificates here, as the node sees none: that is for a secret or a validator. Without either
    /// of them, a node that has certificates at its own port rejects other nodes here. What stands before the router may
    /// prove names too; say so by a validator that takes every token.
    ///
    /// The router does not keep the node alive: hold the manager for as long as it is to serve.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    ///
    /// let node = grid::Manager::builder("http://10.0.0.1:9000").build()?;
    /// let app: Router = Router::new().route("/health", get(|| async { "ok" })).merge(node.router());
    /// axum::serve(tokio::net::TcpListener::bind("0.0.0.0:9000").await?, app).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let route = self.node().shared.settings.route.clone();
        Router::new().route(&route, any(upgrade)).with_state(Arc::clone(self.node()))
    }
}

async fn upgrade(State(node): State<Arc<Node>>, mut request: Request) -> Response<Body> {
    let status = |status: StatusCode| {
        node.turn_away(&LinkError::Rejected(status.to_string().into()), &Stranger::default());
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    };
    let upgraded = request.extensions_mut().remove::<OnUpgrade>();
    let (parts, _) = request.into_parts();
    let request = Request::from_parts(parts, ());
    let response = match answer_upgrade(&request, &node.shared.settings.route) {
        Ok(response) => response,
        Err(refused) => return status(refused),
    };
    // HTTP/2 connections cannot be upgraded like this.
    let Some(upgraded) = upgraded else { return status(StatusCode::UPGRADE_REQUIRED) };
    let (Some(handshake), false) = (node.handshakes.begin_or_make_room(), node.shared.closing.is_cancelled()) else {
        return status(StatusCode::SERVICE_UNAVAILABLE);
    };
    let tasks = node.shared.tasks.clone();
    tasks.spawn(async move {
        let upgraded = async { upgraded.await.map(|io| Box::new(TokioIo::new(io)) as BoxIo) };
        node.accept_upgraded(upgraded, handshake).await;
    });
    response.map(|()| Body::empty())
}
