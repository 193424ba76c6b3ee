//! One file per session.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use session_kit::handover::node::express;
use session_kit::handover::perl::cgi_session::Serializer;
use session_kit::handover::perl::{catalyst, dancer};
use session_kit::handover::php::laravel::{Encrypter, Serialization};
use session_kit::handover::python::django::Sessions;
use session_kit::handover::python::{beaker, django_cache, flask_session};
use session_kit::handover::{Files, System};
use session_kit::session_core::{Clock as _, SystemClock};
use session_kit::{HandoverSource as _, OldId, StoreErrorKind};

use crate::import::ids;
use crate::{
    DJANGO_SECRET, EXPRESS_ID, EXPRESS_SECRET, LARAVEL_ID, LARAVEL_KEY, assert_hides, bytes_of,
    express_request, failure, reads_and_ends, request, text_of, user_of,
};

const DAY: Duration = Duration::from_secs(86_400);

fn express(directory: &Path, ttl: Duration) -> Files {
    Files::session_file_store(directory, express::Cookie::new([EXPRESS_SECRET]), "connect.sid", ttl)
}

fn django(directory: &Path) -> Files {
    Files::django(directory, Sessions::new([DJANGO_SECRET]), "sessionid", DAY)
}

#[tokio::test]
async fn files_of_each_system_are_read_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let keys = || Encrypter::new([LARAVEL_KEY]).unwrap();
    let flask_id = "b3BW7LQ1mOkd7HJ1_yNJfv6VoXh1WXD0FLSy-c3goNU";
    let laravel = |of| Files::laravel(directory.path(), keys(), of, "laravel_session", DAY);
    let by_laravel = request(&text_of("laravel/cookie-cbc.txt"));
    let cases = [
        ("laravel/file.sess", LARAVEL_ID.to_owned(), laravel(Serialization::Php), by_laravel.clone()),
        (
            "laravel/file-encrypted-cbc.sess",
            LARAVEL_ID.to_owned(),
            laravel(Serialization::Php),
            by_laravel.clone(),
        ),
        ("laravel/file-json.sess", LARAVEL_ID.to_owned(), laravel(Serialization::Json), by_laravel),
        (
            "express/file-store.value",
            format!("{EXPRESS_ID}.json"),
            express(directory.path(), DAY * 36_500),
            express_request(),
        ),
        (
            "cgi-session/basic.dump",
            "cgisess_0123456789abcdef0123456789abcdef".to_owned(),
            Files::cgi_session(directory.path(), "CGISESSID", Serializer::Detect),
            request("CGISESSID=0123456789abcdef0123456789abcdef"),
        ),
        (
            "plack/file.storable",
            "0123456789abcdef0123456789abcdef01234567".to_owned(),
            Files::plack(directory.path(), "plack_session"),
            request("plack_session=0123456789abcdef0123456789abcdef01234567"),
        ),
        (
            "dancer/session.yml",
            "778176359781773731948563951582167337.yml".to_owned(),
            Files::dancer(directory.path(), "dancer.session", dancer::Serializer::Yaml),
            request("dancer.session=778176359781773731948563951582167337"),
        ),
        (
            "dancer2/session.yml",
            "AAAA-bbbb_C.yml".to_owned(),
            Files::dancer(directory.path(), "dancer.session", dancer::Serializer::Yaml),
            request("dancer.session=AAAA-bbbb_C"),
        ),
        (
            "django/cache-file.djcache",
            "2f0b086c7d032d88cfecfb7d3921f8e1.djcache".to_owned(),
            Files::django_cache(directory.path(), "sessionid", "", 1).system(|system| {
                // The sample has ended.
                system.reading(|stored| {
                    let entry = django_cache::read_file(stored.data, 0.0, stored.bounds)?;
                    Ok(Some(entry.value))
                })
            }),
            request("sessionid=alice0xx"),
        ),
        (
            "flask-session/file.cachelib",
            flask_session::file_name(&format!("session:{flask_id}")),
            Files::flask_session(directory.path(), "session").system(|system| {
                // The sample has ended: it is read at a moment before that.
                system.reading(|stored| {
                    let entry = flask_session::read_file(stored.data, 0.0, stored.bounds)?;
                    Ok(Some(entry.value))
                })
            }),
            request(&format!("session={flask_id}")),
        ),
    ];
    for (sample, name, files, headers) in cases {
        std::fs::write(directory.path().join(&name), bytes_of(sample)).unwrap();
        std::fs::write(directory.path().join(format!("{name}x")), "another session").unwrap();
        reads_and_ends(sample, &files, &headers).await;
        assert!(!directory.path().join(&name).exists());
        assert!(directory.path().join(format!("{name}x")).exists());
    }
}

#[tokio::test]
async fn files_in_folders_are_read_listed_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let put = |path: &str, bytes: &[u8]| {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let secret = "beaker-sample-secret-A";
    let id = "0123456789abcdef0123456789abcdef";
    put(&format!("0/01/{id}.cache"), &bytes_of("beaker/file-pickle.cache"));
    let files = Files::beaker(directory.path(), beaker::Sessions::default(), "beaker.session.id", None);
    assert_eq!(ids(&files).await, BTreeSet::from([id.to_owned()]));
    for none in ["../../etc/passwd", "0", ".1.cache", ""] {
        assert_eq!(user_of(&files, &request(&format!("beaker.session.id={none}"))).await, None, "{none}");
    }
    reads_and_ends("beaker", &files, &request(&format!("beaker.session.id={id}"))).await;

    // The cookie that Beaker signed with `beaker-secret`.
    let id = "bfd55ab3a66e4654b115f44cdf94cceb";
    let signed = format!("beaker.session.id=f471ccf959e5e963c2e97873f4a019d2852bc3f2{id}");
    put(&format!("b/bf/{id}.cache"), &bytes_of("beaker/file-pickle.cache"));
    let by = |secret| {
        Files::beaker(directory.path(), beaker::Sessions::default(), "beaker.session.id", Some(secret))
    };
    let forged = by(secret);
    let id = forged.find(&request(&signed)).unwrap();
    assert_eq!(forged.read(&id).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    reads_and_ends("signed", &by("beaker-secret"), &request(&signed)).await;
}

#[tokio::test]
async fn file_of_catalyst_ends_as_another_file_says() {
    let directory = tempfile::tempdir().unwrap();
    let id = "df88b9d839561226c06c743b764ccefdbdff8349";
    let path = |key: &str| directory.path().join(catalyst::file_path(&format!("{key}:{id}")));
    for key in ["session", "expires"] {
        std::fs::create_dir_all(path(key).parent().unwrap()).unwrap();
    }
    std::fs::write(path("session"), bytes_of("catalyst/file-session.storable")).unwrap();
    let files = Files::catalyst(directory.path(), "myapp_session");
    let headers = request(&format!("myapp_session={id}"));
    // Without the other file it has ended, as for Catalyst.
    assert_eq!(user_of(&files, &headers).await, None);
    // The sample ends at 1795887333, which nfreeze writes as an integer of 32 bits.
    let (sample, moment) = (bytes_of("catalyst/file-expires.storable"), 1_795_887_333_u32.to_be_bytes());
    let at = sample.windows(4).position(|bytes| bytes == moment).unwrap();
    let now = u32::try_from(SystemClock.now().as_millis() / 1_000).unwrap();
    for (end, lives) in [(now - 60, false), (now + 60, true)] {
        let mut file = sample.clone();
        file[at..at + 4].copy_from_slice(&end.to_be_bytes());
        std::fs::write(path("expires"), file).unwrap();
        assert_eq!(user_of(&files, &headers).await.is_some(), lives, "{end}");
    }
    // The file of the deadline does not count as a session.
    let other = OldId::new(catalyst::file_name(&format!("expires:{id}")));
    assert_eq!(files.read(&other).await.unwrap(), None);
    reads_and_ends("catalyst", &files, &headers).await;
}

#[tokio::test]
async fn lock_of_apache_session_is_another_file() {
    let directory = tempfile::tempdir().unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    std::fs::write(directory.path().join(id), bytes_of("plack/file.storable")).unwrap();
    let files = Files::apache_session(directory.path(), directory.path(), "sid");
    let headers = request(&format!("sid={id}"));
    assert_eq!(user_of(&files, &headers).await.as_deref(), Some("alice"), "no request has the session open");

    let path = directory.path().join(format!("Apache-Session-{id}.lock"));
    let lock = std::fs::File::create(&path).unwrap();
    lock.lock().unwrap();
    let waits = files.clone().lock_timeout(Duration::from_millis(30));
    assert_eq!(failure(&waits, id).await.kind(), StoreErrorKind::Timeout);
    lock.unlock().unwrap();
    lock.lock_shared().unwrap();
    assert_eq!(user_of(&waits, &headers).await.as_deref(), Some("alice"), "the old application reads too");
    assert_eq!(waits.end(&OldId::new(id)).await.unwrap_err().kind(), StoreErrorKind::Timeout);
    lock.unlock().unwrap();
    reads_and_ends("Apache::Session", &files, &headers).await;
    // The lock does not count as a session, and stays.
    assert_eq!(files.read(&OldId::new(format!("Apache-Session-{id}.lock"))).await.unwrap(), None);
    assert!(path.exists());
}

#[tokio::test]
async fn keys_that_have_ended_are_not_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cgisess_0123456789abcdef0123456789abcdef");
    let files = Files::cgi_session(directory.path(), "CGISESSID", Serializer::Detect);
    let now = SystemClock.now().as_millis() / 1_000;
    // The session ends an hour after its last access, and its key `cart` after ten minutes.
    for (age, user, cart) in [(60, true, true), (1_000, true, false), (4_000, false, false)] {
        let text = text_of("cgi-session/expiry.dump").replace("1700000100", &(now - age).to_string());
        std::fs::write(&path, text).unwrap();
        let old = files.read(&OldId::new("0123456789abcdef0123456789abcdef")).await.unwrap();
        assert_eq!(old.is_some(), user, "{age}");
        let has = |key| old.as_ref().is_some_and(|old| old.get(key).is_some());
        assert_eq!((has("user"), has("cart")), (user, cart), "{age}");
    }
}

#[tokio::test]
async fn files_end_as_their_system_says() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, sample: &str, age: Duration| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes_of(sample)).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the time of a file is that of the system")]
        let changed = SystemTime::now() - age;
        std::fs::File::open(&path).unwrap().set_modified(changed).unwrap();
    };
    let files = django(directory.path());
    let reads = async |id: &str| files.read(&OldId::new(id)).await.unwrap().is_some();
    put("sessionidnewalice", "django/db-basic.txt", DAY / 2);
    put("sessionidoldalice", "django/db-basic.txt", DAY * 2);
    // Ends an own number of seconds after its last change.
    put("sessionidseconds1", "django/db-expiry-seconds.txt", Duration::from_secs(1));
    put("sessionidseconds2", "django/db-expiry-seconds.txt", DAY * 365);
    assert!(reads("newalice").await && !reads("oldalice").await);
    assert!(reads("seconds1").await && !reads("seconds2").await);

    put(&format!("{EXPRESS_ID}.json"), "express/file-store.value", Duration::ZERO);
    assert_eq!(user_of(&express(directory.path(), Duration::from_secs(1)), &express_request()).await, None);
}

#[tokio::test]
async fn names_never_leave_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("sessions");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(directory.path().join("outside"), "x").unwrap();
    std::fs::write(inner.join(".hidden"), "x").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(directory.path().join("outside"), inner.join("link")).unwrap();
    let files = Files::new(&inner, "", "", System::new("id", |_| Ok(None)));
    for name in ["../outside", "..\\outside", ".hidden", "link", "..", ".", "a/b", "/etc/passwd"] {
        assert!(files.read(&OldId::new(name)).await.unwrap().is_none(), "{name}");
        files.end(&OldId::new(name)).await.unwrap();
    }
    assert!(directory.path().join("outside").exists() && inner.join(".hidden").exists());
    std::fs::write(inner.join("sessionidinner"), "hunter2").unwrap();
    let error = failure(&django(&inner), "inner").await;
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_hides(&error, &["hunter2", "inner"]);
}
