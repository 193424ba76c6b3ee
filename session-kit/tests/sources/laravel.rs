//! Sessions that `session.encrypt` of Laravel has sealed, in each store.

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use redis::Commands as _;
use rusqlite::Connection;
use session_kit::HandoverSource as _;
use session_kit::handover::php::laravel::{Encrypter, Serialization};
use session_kit::handover::{Cookies, Entries, RedisEntries, Rows, SqliteRows};

use crate::{LARAVEL_ID, LARAVEL_KEY, reads_and_ends, request, text_of, user_of};

fn keys() -> Encrypter {
    Encrypter::new([LARAVEL_KEY]).unwrap()
}

/// The session that Laravel sealed.
fn sealed() -> String {
    text_of("laravel/file-encrypted-cbc.sess")
}

/// The value of the cookie `name`, as `EncryptCookies` seals it. The IV does not matter here.
fn encrypted(name: &str, text: &str) -> String {
    let key = LARAVEL_KEY.as_bytes();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut prefix = Hmac::<sha1::Sha1>::new_from_slice(key).unwrap();
    prefix.update(format!("{name}v2").as_bytes());
    let plain = format!("{}|{text}", hex(&prefix.finalize().into_bytes()));
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(key, &[7; 16]).unwrap();
    let value = STANDARD.encode(cipher.encrypt_padded_vec::<Pkcs7>(plain.as_bytes()));
    let iv = STANDARD.encode([7; 16]);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{iv}{value}").as_bytes());
    let mac = hex(&mac.finalize().into_bytes());
    STANDARD.encode(format!(r#"{{"iv":"{iv}","value":"{value}","mac":"{mac}","tag":""}}"#))
}

#[tokio::test]
async fn sealed_rows_and_values_are_read_and_ended() {
    let headers = request(&text_of("laravel/cookie-cbc.txt"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE sessions (id PRIMARY KEY, payload TEXT, last_activity INTEGER)")
        .unwrap();
    let row = "INSERT INTO sessions VALUES (?1, ?2, 4102444800)";
    connection.execute(row, [LARAVEL_ID, &STANDARD.encode(sealed())]).unwrap();
    let lifetime = std::time::Duration::from_secs(7_200);
    let rows = Rows::laravel(keys(), Serialization::Php, "laravel_session", lifetime);
    reads_and_ends("row", &SqliteRows::new(&path, rows), &headers).await;

    let server = xtask_redis::Server::start(xtask_redis::Options::new()).unwrap();
    let mut redis = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let text = sealed();
    let _: () = redis.set(format!("laravel_{LARAVEL_ID}"), format!("s:{}:\"{text}\";", text.len())).unwrap();
    let entries = Entries::laravel(keys(), Serialization::Php, "laravel_session", "laravel_");
    reads_and_ends("value", &RedisEntries::new(&server.url(), entries).unwrap(), &headers).await;
}

#[tokio::test]
async fn session_in_a_cookie_is_read() {
    let id = text_of("laravel/cookie-cbc.txt");
    let source = Cookies::laravel(keys(), Serialization::Php, "laravel_session");
    let request_of = |data: &str, end: u64| {
        let text = format!(r#"{{"data":{},"expires":{end}}}"#, serde_json::to_string(data).unwrap());
        request(&format!("first=1; {id}; {LARAVEL_ID}={}", encrypted(LARAVEL_ID, &text)))
    };
    let plain = text_of("laravel/file.sess");
    for data in [&plain, &sealed()] {
        let headers = request_of(data, 4_102_444_800);
        assert_eq!(user_of(&source, &headers).await.as_deref(), Some("alice"));
        assert_eq!(user_of(&source, &request_of(data, 1_000)).await, None);
    }
    // The id without its session, and a session without its id.
    assert_eq!(source.find(&request(&id)), None);
    let session = encrypted(LARAVEL_ID, "{}");
    assert_eq!(source.find(&request(&format!("{LARAVEL_ID}={session}"))), None);
}
