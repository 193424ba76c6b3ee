//! The handlers on actix-web.

use std::net::TcpListener;

use actix_web::body::{BodyStream, BoxBody, MessageBody as _};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::{Condition, DefaultHeaders};
use actix_web::web::{self, Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Responder};
use session_actix::{
    CarriedSessionMiddleware, ClientAddress, CommitBody, Error, LazySession, OnNotStored, OnStoreError,
    Refusal, RoutePolicy, Session, SessionMiddleware, Typed, refusal_builder,
};
use session_kit::{LoginPage, RequireFresh, RequireUser, SameOriginLayer};

use crate::app::{self, Content, Page, Settings, Shared};
use crate::scene::Setup;

impl Responder for Page {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let response = HttpResponse::new(StatusCode::from_u16(self.status).unwrap());
        let mut response = match self.content {
            Content::Text(text) => response.set_body(text.boxed()),
            Content::Late(late, pieces) => {
                CommitBody::of(late, response.set_body(BodyStream::new(pieces))).map_into_boxed_body()
            }
        };
        for (name, value) in self.headers {
            let value = HeaderValue::from_str(&value).unwrap();
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
        response
    }
}

async fn lazy(shared: Data<Shared>, path: Path<String>, session: LazySession) -> Result<Page, Error> {
    app::lazy(&path, session, Shared::clone(&shared)).await
}

async fn loaded(shared: Data<Shared>, path: Path<String>, session: Session) -> Result<Page, Error> {
    app::answer(&path, session, Shared::clone(&shared)).await
}

async fn visit(settings: Typed<Settings>) -> Result<Page, Error> {
    app::visit(settings)
}

async fn start_again(settings: Typed<Settings>) -> Result<Page, Error> {
    app::start_again(settings)
}

async fn account(user: RequireUser) -> String {
    user.name
}

async fn password(user: RequireFresh<300>) -> String {
    user.name
}

fn refuse(refusal: &Refusal) -> HttpResponse {
    refusal_builder(refusal).body(format!("our own: {}", refusal.detail()))
}

/// Sets the options that both layers of a framework have.
macro_rules! configured {
    ($layer:expr, $setup:expr) => {{
        let mut layer =
            $layer.on_store_error($setup.on_store_error).on_handler_error($setup.on_handler_error);
        layer = layer.clear_site_data($setup.clear).cache_control_no_store($setup.no_store);
        if $setup.checks_address {
            layer = layer.client_address(ClientAddress::header(http::HeaderName::from_static("x-real-ip")));
        }
        match $setup.own_refusals {
            true => layer.refuse_with(refuse),
            false => layer,
        }
    }};
}

fn routes(config: &mut web::ServiceConfig) {
    // A service inside of the middleware that lets a CDN keep every page.
    let headers = DefaultHeaders::new();
    let for_a_cdn = app::FOR_A_CDN.into_iter().fold(headers, DefaultHeaders::add);
    let keep = RoutePolicy::new().on_store_error(OnStoreError::Continue);
    let strict = RoutePolicy::new().on_not_stored(OnNotStored::Reject);
    config
        .route("/never", web::to(async || "hello"))
        .route("/visit", web::to(visit))
        .route("/start-again", web::to(start_again))
        .route("/account", web::to(account))
        .route("/password", web::to(password))
        .route("/lazy/{path}", web::to(lazy))
        .service(
            web::scope("/polling").wrap(RoutePolicy::new().do_not_extend()).route("/{path}", web::to(loaded)),
        )
        .service(web::resource("/cdn/{path}").wrap(for_a_cdn).to(loaded))
        .service(web::resource("/continue/{path}").wrap(keep).to(loaded))
        .service(web::resource("/strict/{path}").wrap(strict).to(loaded))
        .service(web::resource("/guarded/{path}").wrap(SameOriginLayer::new()).to(loaded))
        .route("/{path}", web::to(loaded));
}

pub fn serve(listener: TcpListener, setup: Setup) {
    let stored = configured!(SessionMiddleware::new(setup.sessions.clone(), setup.cookie.clone()), setup);
    let outer = setup.outer.clone().map(|outer| {
        let cookie = session_state_cookie::CookieConfig::new().name("__Host-outer").build().unwrap();
        SessionMiddleware::new(outer, cookie)
    });
    let is_outer = outer.is_some();
    let outer = outer.unwrap_or_else(|| stored.clone());
    let (is_carried, (sessions, cookie)) = (setup.is_carried, setup.carried.clone());
    let carried = configured!(CarriedSessionMiddleware::new(sessions, cookie), setup);
    let shared = Data::new(setup.shared);
    let server = HttpServer::new(move || {
        let data = (Data::clone(&shared), LoginPage::new("/login").unwrap());
        App::new()
            .app_data(data.0)
            .app_data(data.1)
            .route("/outside", web::to(async |_: Session| ""))
            .service(
                web::scope("")
                    .wrap(Condition::new(!is_carried, stored.clone()))
                    .wrap(Condition::new(is_carried, carried.clone()))
                    .wrap(Condition::new(is_outer, outer.clone()))
                    .configure(routes),
            )
    });
    let server = server.workers(2).disable_signals().listen(listener).unwrap();
    tokio::spawn(server.run());
}
