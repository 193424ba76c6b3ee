//! The shop on actix-web.

use actix_web::http::header::{LOCATION, USER_AGENT};
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, Bytes, Data, Form, Query};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Responder};
use futures_util::StreamExt as _;
use session_kit::prelude::*;
use session_kit::{Error, LoginPage, RequireUser, SameOriginLayer};

use crate::app::{self, Add, Answer, Login, Slow};
use crate::devices::{self, End};
use crate::live::{self, Stopping};

/// Serves the shop until `stopping` is true.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    sessions: Sessions,
    cookie: CookieState,
    stopping: Stopping,
) -> std::io::Result<()> {
    let mut stopped = stopping.clone();
    // One for all workers.
    let session = SessionMiddleware::new(sessions.clone(), cookie);
    let sessions = Data::new(sessions);
    let server = HttpServer::new(move || {
        let only_own_content = app::ONLY_OWN_CONTENT
            .into_iter()
            .fold(DefaultHeaders::new(), |headers, header| headers.add(header));
        App::new()
            .app_data(Data::clone(&sessions))
            .app_data(Data::new(stopping.clone()))
            // Outside the session layer: a health check has no session.
            .route("/healthz", web::get().to(async || "ok"))
            .service(
                web::scope("")
                    .wrap(session.clone())
                    .wrap(SameOriginLayer::new())
                    .wrap(only_own_content)
                    .configure(routes),
            )
    });
    let server = server.disable_signals().shutdown_timeout(30).listen(listener)?.run();
    let handle = server.handle();
    tokio::spawn(async move {
        // The sender's end is a stop too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        handle.stop(true).await;
    });
    server.await
}

fn routes(config: &mut web::ServiceConfig) {
    config
        // Visitors without a user are sent to the first page, where they can log in.
        .app_data(LoginPage::new("/").expect("the path is ASCII"))
        .route("/", web::get().to(async |session: Session| app::home(&session)))
        .route("/cart", web::get().to(async |session: Session| app::cart(&session)))
        .route("/cart", web::post().to(add_to_cart))
        .route("/login", web::post().to(login))
        .route("/logout", web::post().to(app::logout))
        .route(
            "/slow",
            web::get()
                .to(async |session: Session, slow: Query<Slow>| app::slow(session, slow.into_inner()).await),
        )
        .route(
            "/api/state",
            web::get().to(async |session: Session| app::state(&session)).wrap(app::polling()),
        )
        .route("/live", web::get().to(async |session: Session| app::live(&session)))
        .route("/live.js", web::get().to(script))
        .route("/events", web::get().to(events).wrap(app::polling()))
        .route(
            "/devices",
            web::get().to(async |user: RequireUser, all: Data<Sessions>| devices::list(user, &all).await),
        )
        .route(
            "/devices/end",
            web::post().to(async |user: RequireUser, all: Data<Sessions>, end: Form<End>| {
                devices::end(user, &all, end.into_inner()).await
            }),
        )
        .route(
            "/devices/end-others",
            web::post()
                .to(async |user: RequireUser, all: Data<Sessions>| devices::end_others(user, &all).await),
        );
}

async fn add_to_cart(session: Session, add: Form<Add>) -> Result<Answer, Error> {
    app::add_to_cart(&session, &add)
}

async fn login(session: Session, request: HttpRequest, login: Form<Login>) -> Result<Answer, Error> {
    let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    app::login(&session, agent.unwrap_or_default(), &login)
}

async fn script() -> HttpResponse {
    HttpResponse::Ok().content_type("text/javascript").body(live::SCRIPT)
}

async fn events(session: Session, stopping: Data<Stopping>) -> Result<HttpResponse, Error> {
    let events = live::events(&session, Stopping::clone(&stopping))?;
    let events = events
        .map(|event| Ok::<_, Error>(Bytes::from(format!("event: {}\ndata: {}\n\n", event.kind, event.data))));
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-cache"))
        .streaming(Box::pin(events)))
}

impl Responder for Answer {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        const HTML: &str = "text/html; charset=utf-8";
        match self {
            Self::Page(html) => HttpResponse::Ok().content_type(HTML).body(html),
            Self::Invalid(html) => HttpResponse::BadRequest().content_type(HTML).body(html),
            Self::Redirect(to) => HttpResponse::SeeOther().insert_header((LOCATION, to)).finish(),
            Self::Text(text) => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text),
            Self::Json(value) => HttpResponse::Ok().json(value),
        }
    }
}
