//! Sessions in several cookies.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use session_kit::CookieConfig;
use session_kit::test_kit::Client;

use super::app::{NAME, app, clock, no_store, ring, sealed};

fn names(client: &Client<Router>) -> Vec<String> {
    client.cookie_names().map(str::to_owned).collect()
}

fn expected(count: usize) -> Vec<String> {
    let further = (1..count).map(|at| format!("{NAME}.{at}"));
    if count == 0 { Vec::new() } else { std::iter::once(NAME.to_owned()).chain(further).collect() }
}

#[tokio::test]
async fn cookies_grow_shrink_and_end_with_the_session() {
    let mut client = Client::new(app(no_store(&clock()), sealed(&ring(), 4)));
    for (bytes, count) in [(100, 1), (3_000, 2), (6_200, 3), (12_000, 4), (3_500, 2), (100, 1), (9_300, 4)] {
        let answer = client.post(&format!("/fill/{bytes}"), "").await;
        assert_eq!((answer.status.as_u16(), names(&client)), (200, expected(count)), "{bytes} bytes");
        assert_eq!(client.get("/show").await.text(), "guest true 1");
    }
    let answer = client.post("/fill/12500", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (500, None), "four cookies are full");
    assert_eq!(client.get("/show").await.text(), "guest true 1");
    client.post("/logout", "").await;
    assert_eq!(names(&client), expected(0), "nothing is left");
}

#[tokio::test]
async fn parts_of_two_sessions_do_not_mix() {
    let mut one = Client::new(app(no_store(&clock()), sealed(&ring(), 4)));
    let mut other = one.clone();
    for client in [&mut one, &mut other] {
        client.post("/fill/5000", "").await;
    }
    let second = format!("{NAME}.1");
    let theirs = other.cookie(&second).unwrap().to_owned();
    let ours = one.cookie(&second).unwrap().to_owned();
    one.set_cookie(&second, &theirs);
    assert_eq!(one.get("/show").await.text(), "guest false 0");
    one.set_cookie(&second, &ours);
    assert_eq!(one.get("/show").await.text(), "guest true 1");
    // The leftover of a larger session, which a lost response did not delete, does no harm and is removed later.
    one.set_cookie(&format!("{NAME}.3"), &theirs);
    assert_eq!(one.get("/show").await.text(), "guest true 1");
    one.get("/count").await;
    assert_eq!(names(&one), expected(2));
}

#[tokio::test]
async fn smaller_configuration_reads_larger_sessions() {
    let (clock, ring) = (clock(), ring());
    let mut client = Client::new(app(no_store(&clock), sealed(&ring, 4)));
    client.post("/fill/9000", "").await;
    let cookies: Vec<_> =
        names(&client).into_iter().map(|name| (client.cookie(&name).unwrap().to_owned(), name)).collect();
    let mut client = Client::new(app(no_store(&clock), sealed(&ring, 1)));
    for (value, name) in &cookies {
        client.set_cookie(name, value);
    }
    assert_eq!(client.get("/show").await.text(), "guest true 1");
    // A read moves the deadline, in all of its cookies.
    for _ in 0..3 {
        clock.advance(Duration::from_secs(3_600));
        let answer = client.get("/show").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "guest true 1"));
        assert_eq!((answer.header("set-cookie").is_some(), names(&client)), (true, expected(3)));
    }
    // A new id makes it no longer. It may not grow.
    assert_eq!(client.post("/rotate", "").await.status, 200);
    assert_eq!(client.post("/fill/9001", "").await.status, 500);
    assert_eq!(client.post("/login/ada", "").await.status, 500);
    assert_eq!(client.get("/show").await.text(), "guest true 1");
    assert_eq!(client.post("/fill/20", "").await.status, 200);
    assert_eq!(names(&client), expected(1));
}

/// No store ends what a browser keeps twice, so a logout deletes each cookie that the configuration knows.
#[tokio::test]
async fn logout_deletes_all_cookies_of_all_scopes() {
    let (clock, ring) = (clock(), ring());
    let config = CookieConfig::new().domain("example.org");
    let cookie = config.build_sealed(&ring).unwrap().max_cookies(2);
    let router = app(no_store(&clock), cookie.clone());
    let name = cookie.name();
    let mut sent = Vec::new();
    for user in ["ada", "bob"] {
        let mut client = Client::new(router.clone());
        client.post(&format!("/login/{user}"), "").await;
        sent.push(format!("{name}={}", client.cookie(name).unwrap()));
    }
    let gone = |end: &str, scope: &str| {
        format!(
            "{name}{end}=; Path=/{scope}; Secure; HttpOnly; SameSite=Lax; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        )
    };
    let domain = "; Domain=example.org";
    let all = [gone("", domain), gone(".1", domain), gone("", ""), gone(".1", "")];
    for cookies in [sent.join("; "), sent[0].clone()] {
        for (path, kept) in [("/logout", 0), ("/logout-with-notice", 1)] {
            let request = Request::post(path).header("cookie", &cookies).body(Body::empty()).unwrap();
            let answer = Client::new(router.clone()).send(request).await;
            let set = answer.headers.get_all("set-cookie");
            let set: Vec<_> = set.iter().map(|line| line.to_str().unwrap()).collect();
            // The session of the notice takes the place of the first cookie, and has no need of the second.
            if kept == 1 {
                assert!(set[0].starts_with(&format!("{name}=1")) && set[0].contains(domain), "{set:?}");
            }
            let deleted: Vec<_> = set.into_iter().filter(|line| line.contains("Max-Age=0")).collect();
            let expected: Vec<_> = all.iter().filter(|line| kept == 0 || !line.contains(domain)).collect();
            assert_eq!(deleted, expected, "{path} {cookies}");
        }
    }
    for (path, expected) in [("/show", 0), ("/count", 0)] {
        let request = Request::get(path).header("cookie", sent.join("; ")).body(Body::empty()).unwrap();
        let answer = Client::new(router.clone()).send(request).await;
        let set = answer.headers.get_all("set-cookie").iter();
        let deleted = set.filter(|line| line.to_str().unwrap().contains("Max-Age=0")).count();
        assert_eq!(deleted, expected, "a request that ends no session deletes no cookie");
    }
}
