//! The handlers on axum.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderName, HeaderValue};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use session_kit::{LoginPage, RequireFresh, RequireUser, SameOriginLayer};
use session_tower::{
    CarriedSessionLayer, ClientAddress, CommitBody, Error, LazySession, OnNotStored, OnStoreError, Refusal,
    RoutePolicy, Session, SessionLayer, Typed,
};
use tokio::net::TcpListener;

use crate::app::{self, Content, Page, Settings, Shared};
use crate::scene::Setup;

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = match self.content {
            Content::Text(text) => Response::new(Body::from(text)),
            Content::Late(late, pieces) => {
                CommitBody::of(late, Response::new(Body::from_stream(pieces))).map(Body::new)
            }
        };
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        for (name, value) in self.headers {
            let name = HeaderName::from_static(name);
            response.headers_mut().append(name, HeaderValue::from_str(&value).unwrap());
        }
        response
    }
}

async fn lazy(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    session: LazySession,
) -> Result<Page, Error> {
    app::lazy(&path, session, shared).await
}

async fn loaded(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    session: Session,
) -> Result<Page, Error> {
    app::answer(&path, session, shared).await
}

async fn visit(settings: Typed<Settings>) -> Result<Page, Error> {
    app::visit(settings)
}

async fn start_again(settings: Typed<Settings>) -> Result<Page, Error> {
    app::start_again(settings)
}

/// A service inside of the layer that lets a CDN keep every page.
async fn app_for_a_cdn(mut response: Response) -> Response {
    for (name, value) in app::FOR_A_CDN {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refuse(refusal: &Refusal) -> Response {
    let mut response = (refusal.status, format!("our own: {}", refusal.detail())).into_response();
    refusal.write_headers(response.headers_mut());
    response
}

/// Sets the options that both layers of a framework have. The type of a layer changes with its refusals.
macro_rules! layered {
    ($router:expr, $layer:expr, $setup:expr) => {{
        let mut layer =
            $layer.on_store_error($setup.on_store_error).on_handler_error($setup.on_handler_error);
        layer = layer.clear_site_data($setup.clear).cache_control_no_store($setup.no_store);
        if $setup.checks_address {
            layer = layer.client_address(ClientAddress::header(HeaderName::from_static("x-real-ip")));
        }
        match $setup.own_refusals {
            true => $router.layer(layer.refuse_with(refuse)),
            false => $router.layer(layer),
        }
    }};
}

fn router(setup: &Setup) -> Router {
    let routes = Router::new()
        .route("/never", any(async || "hello"))
        .route("/visit", any(visit))
        .route("/start-again", any(start_again))
        .route("/account", any(async |user: RequireUser| user.name))
        .route("/password", any(async |user: RequireFresh<300>| user.name))
        .route("/lazy/{path}", any(lazy))
        .route("/polling/{path}", any(loaded).layer(RoutePolicy::new().do_not_extend()))
        .route(
            "/continue/{path}",
            any(loaded).layer(RoutePolicy::new().on_store_error(OnStoreError::Continue)),
        )
        .route("/strict/{path}", any(loaded).layer(RoutePolicy::new().on_not_stored(OnNotStored::Reject)))
        .route("/guarded/{path}", any(loaded).layer(SameOriginLayer::new()))
        .route("/cdn/{path}", any(loaded).layer(map_response(app_for_a_cdn)))
        .route("/{path}", any(loaded))
        .layer(Extension(LoginPage::new("/login").unwrap()))
        .with_state(setup.shared.clone());
    if setup.is_carried {
        let (sessions, cookie) = setup.carried.clone();
        return layered!(routes, CarriedSessionLayer::new(sessions, cookie), setup);
    }
    layered!(routes, SessionLayer::new(setup.sessions.clone(), setup.cookie.clone()), setup)
}

pub fn serve(listener: TcpListener, setup: Setup) {
    let mut app = router(&setup);
    if let Some(outer) = setup.outer {
        let cookie = session_state_cookie::CookieConfig::new().name("__Host-outer").build().unwrap();
        app = app.layer(SessionLayer::new(outer, cookie));
    }
    app = app.merge(Router::new().route("/outside", any(async |_: Session| ())));
    tokio::spawn(async move { axum::serve(listener, app).await });
}
