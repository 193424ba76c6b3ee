//! The headers of responses.

use session_manager::{AddressCheck, Sessions};
use session_state_cookie::{CookieConfig, Lifetime};
use session_web::ClearSiteData;

use crate::on_both;
use crate::scene::{Framework, Scene, Setup};

on_both!(
    new_cookie_has_the_attributes_of_its_configuration,
    cookie_follows_the_session_if_configured,
    response_with_a_cookie_is_cached_nowhere,
    cache_headers_of_the_handler_are_replaced,
    cache_headers_stay_where_configured,
    logout_clears_the_data_of_the_site,
    two_layers_write_a_cookie_each,
    session_is_bound_to_the_address,
);

async fn new_cookie_has_the_attributes_of_its_configuration(framework: Framework) {
    let scene = Scene::new(framework).await;
    let answer = scene.browser().get("/write").await.is(200);
    let [line] = answer.all("set-cookie")[..] else { panic!("{answer:?}") };
    let (id, attributes) = line.split_once("; ").unwrap();
    assert_eq!(
        (id.len(), attributes),
        ("__Host-session=".len() + 32, "Path=/; Secure; HttpOnly; SameSite=Lax")
    );
}

async fn cookie_follows_the_session_if_configured(framework: Framework) {
    let cookie = CookieConfig::new().lifetime(Lifetime::FollowSession).build().unwrap();
    let scene = Scene::with(framework, |setup| Setup { cookie, ..setup }).await;
    let mut browser = scene.begun().await;
    let id = browser.cookies["__Host-session"].clone();
    browser.get("/read").await.is(200).sets_no_cookie();
    scene.clock.advance(std::time::Duration::from_secs(20 * 60));
    let answer = browser.get("/read").await.is(200);
    assert!(answer.all("set-cookie")[0].starts_with(&format!("__Host-session={id}; ")), "{answer:?}");
}

async fn response_with_a_cookie_is_cached_nowhere(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    let answer = browser.get("/write").await.is(200);
    assert_eq!((answer.all("cache-control"), answer.all("vary")), (vec!["no-store"], vec!["Cookie"]));
    assert!(browser.get("/read").await.is(200).all("cache-control").is_empty());
}

async fn cache_headers_of_the_handler_are_replaced(framework: Framework) {
    let scene = Scene::new(framework).await;
    let answer = scene.browser().get("/cached").await.is(200);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert!(answer.all("cdn-cache-control").is_empty());
    // The handler's own cookie and `Vary` stay.
    let cookies = answer.all("set-cookie");
    assert!(cookies.len() == 2 && cookies[0] == "theme=dark" && cookies[1].starts_with("__Host-session="));
    assert_eq!(answer.all("vary"), ["accept-encoding", "Cookie"]);
}

async fn cache_headers_stay_where_configured(framework: Framework) {
    let scene = Scene::with(framework, |setup| Setup { no_store: false, ..setup }).await;
    let answer = scene.browser().get("/write").await.is(200);
    assert_eq!((answer.all("set-cookie").len(), answer.all("vary")), (1, vec!["Cookie"]));
    assert!(answer.all("cache-control").is_empty(), "{answer:?}");
    let answer = scene.browser().get("/cached").await.is(200);
    assert_eq!(answer.all("cache-control"), ["public, max-age=600"]);
    assert_eq!(answer.all("cdn-cache-control"), ["max-age=600"]);
}

async fn logout_clears_the_data_of_the_site(framework: Framework) {
    let clear = ClearSiteData::new().cache().storage();
    let scene = Scene::with(framework, |setup| Setup { clear, ..setup }).await;
    let mut browser = scene.begun().await;
    assert!(browser.get("/read").await.all("clear-site-data").is_empty());
    assert_eq!(browser.get("/logout").await.all("clear-site-data"), ["\"cache\", \"storage\""]);
}

async fn two_layers_write_a_cookie_each(framework: Framework) {
    let other = Scene::new(framework).await;
    let outer = Sessions::new(other.probe.clone()).unwrap();
    let scene = Scene::with(framework, |setup| Setup { outer: Some(outer), ..setup }).await;
    let mut browser = scene.browser();
    let answer = browser.get("/lazy/outer").await.is(200);
    assert_eq!((answer.all("set-cookie").len(), answer.all("vary")), (2, vec!["Cookie"]));
    assert_eq!((scene.records(), other.records()), (1, 1));
    assert_eq!(browser.get("/lazy/read-outer").await.is(200).body, "Some(1) Some(2)");
}

async fn session_is_bound_to_the_address(framework: Framework) {
    let scene = Scene::of(
        framework,
        |sessions| sessions.check_address(AddressCheck::Exact).check_user_agent(true),
        |setup| Setup { checks_address: true, ..setup },
    )
    .await;
    let mut browser = scene.browser();
    // The name of the agent is not text.
    let own: [(&str, &[u8]); 2] = [("x-real-ip", b"192.0.2.1"), ("user-agent", b"caf\xe9")];
    browser.send("GET", "/write", &own).await.is(200);
    for (address, agent, expected) in [
        (&b"192.0.2.1"[..], &b"caf\xe9"[..], "Some(1)"),
        (b"192.0.2.2", b"caf\xe9", "None AddressMismatch"),
        (b"192.0.2.1", b"caf\xe8", "None UserAgentMismatch"),
        (b"192.0.2.1", b"caf\xe9", "Some(1)"),
    ] {
        let sent = [("x-real-ip", address), ("user-agent", agent)];
        assert_eq!(browser.send("GET", "/read", &sent).await.is(200).body, expected);
    }
}
