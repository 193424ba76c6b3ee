//! Wrong URLs: each error says what would be right, and shows no secret.

use session_kit::OpenErrorKind::{self, *};
use session_kit::StoreUrl;

/// Lists that several texts contain.
const LISTS: [(&str, &str); 4] = [
    (
        "{schemes}",
        "`memory`, `file`, `mmap`, `sqlite`, `postgres`, `redis`, `rediss`, `redis+unix`, `redis-cluster`, `rediss-cluster` or `sled`",
    ),
    (
        "{sqlite}",
        "`durability`, `create`, `create_directory`, `readers`, `cache_bytes`, `offload_reads`, \
         `max_record_bytes`, `max_bytes`, `max_queue`, `max_queue_bytes`, `max_batch`, `busy_timeout`, \
         `sync_every`, `checkpoint_after` and `max_wal_bytes`",
    ),
    (
        "{postgres}",
        "`password`, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `table`, `create_table`, `durability`, `prepare`, \
         `connections`, `response_timeout`, `connect_timeout`, `max_record_bytes`, `near` and `near_max_bytes`",
    ),
    (
        "{redis}",
        "`namespace`, `password`, `response_timeout`, `connect_timeout`, `max_record_bytes`, `native_compare`, `near` and \
         `near_max_bytes`",
    ),
];

#[test]
fn each_wrong_url_has_its_exact_error() {
    let mut urls = 0;
    for (kind, text, wrong) in ROWS {
        let text = LISTS.iter().fold((*text).to_owned(), |text, (name, list)| text.replace(name, list));
        for url in *wrong {
            let error = url.parse::<StoreUrl>().expect_err(url);
            assert_eq!((error.kind(), error.to_string()), (*kind, text.clone()), "{url}");
            assert!(!format!("{error} {error:?}").contains("ter2"), "{error:?}");
            urls += 1;
        }
    }
    assert!(urls >= 80, "{urls}");
}

const ROWS: &[(OpenErrorKind, &str, &[&str])] = &[
    (
        InvalidUrl,
        "URL has no scheme; write `sqlite:` before the path of a file, or `redis://` before a host",
        &["sessions.db", "/var/lib/app/sessions.db", "./sessions.db", "user@host:6379", "", ":memory:"],
    ),
    (UnknownScheme, "scheme `sqlight` is unknown; did you mean `sqlite`?", &["sqlight:sessions.db"]),
    (UnknownScheme, "scheme `sqlite3` is unknown; did you mean `sqlite`?", &["sqlite3:sessions.db"]),
    (
        UnknownScheme,
        "scheme `postgresql` is unknown; did you mean `postgres`?",
        &["postgresql://u@localhost/app"],
    ),
    (UnknownScheme, "scheme `mysql` is unknown; use {schemes}", &["mysql://app:hunter2@localhost/app"]),
    (UnknownScheme, "scheme is unknown; use {schemes}", &["hunter2-is-a-long-secret-token:x"]),
    (
        UnknownScheme,
        "scheme `delegate` is unknown; pass your model to `delegate::DelegateStore::open`",
        &["delegate:"],
    ),
    (UnknownScheme, "scheme `http` is unknown; use {schemes}", &["http://localhost"]),
    (
        InvalidUrl,
        "URL contains white space or a control character; write `%20` for a space",
        &["sqlite:my sessions.db", "sqlite:sessions.db\n"],
    ),
    (InvalidUrl, "URL contains `#`; write `%23`", &["sqlite:sessions.db#2", "redis://app:hun#ter2@host"]),
    (
        InvalidUrl,
        "sqlite needs a path: `sqlite:///absolute/path` or `sqlite:relative/path`",
        &["sqlite:", "sqlite:///"],
    ),
    (
        InvalidUrl,
        "sqlite has no host; write `sqlite:///absolute/path`, or `sqlite:relative/path` without `//`",
        &["sqlite://sessions.db", "sqlite://localhost/var/lib/sessions.db"],
    ),
    (InvalidUrl, "SQLite in memory is not supported; write `memory:`", &["sqlite::memory:"]),
    (
        InvalidUrl,
        "`%` stands without two hexadecimal digits; write `%25` for a percent sign",
        &["sqlite:50%.db", "sqlite:%zz.db", "sled:a?tree=50%", "redis://app:hun%ter2@host"],
    ),
    (InvalidUrl, "percent-encoded bytes are not UTF-8", &["sqlite:%ff.db"]),
    (InvalidUrl, "path contains a NUL byte", &["sqlite:a%00.db"]),
    (
        InvalidUrl,
        "path begins with another scheme; write `sqlite:///absolute/path`",
        &["sqlite:file:sessions.db", "sqlite:file:///var/lib/sessions.db", "sqlite:sqlite:sessions.db"],
    ),
    (
        UnknownOption,
        "option `mode` belongs to the URIs of SQLite; write `sqlite:path` for a file, `memory:` for memory",
        &["file:sessions.db?mode=memory", "sqlite:sessions.db?mode=rwc"],
    ),
    (InvalidUrl, "file needs a path: `file:///absolute/path` or `file:relative/path`", &["file://"]),
    (
        InvalidUrl,
        "mmap needs a path: `mmap:///absolute/path` or `mmap:relative/path`",
        &["mmap:?max_bytes=1GiB"],
    ),
    (
        InvalidUrl,
        "sled has no host; write `sled:///absolute/path`, or `sled:relative/path` without `//`",
        &["sled://host/dir"],
    ),
    (InvalidUrl, "memory has no path; write `memory:`", &["memory:sessions", "memory:///sessions"]),
    (
        UnknownOption,
        "option `durabilty` is unknown; did you mean `durability`?",
        &["sqlite:a.db?durabilty=power"],
    ),
    (
        UnknownOption,
        "option `Durability` is unknown; did you mean `durability`?",
        &["sqlite:a.db?Durability=power"],
    ),
    (UnknownOption, "option `ttl` is unknown; sqlite has {sqlite}", &["sqlite:a.db?ttl=5"]),
    (UnknownOption, "option `path` is unknown; sqlite has {sqlite}", &["sqlite:a.db?path=b.db"]),
    (UnknownOption, "option `clock` is unknown; sqlite has {sqlite}", &["sqlite:a.db?clock=utc"]),
    (
        UnknownOption,
        "option `on_full` belongs to `memory` and `mmap`; sqlite has {sqlite}",
        &["sqlite:a.db?on_full=evict"],
    ),
    (
        UnknownOption,
        "option `durability` belongs to `file`, `sqlite` and `postgres`; memory has `max_entries`, `max_bytes`, `on_full`, `max_record_bytes` and `shards`",
        &["memory:?durability=power"],
    ),
    (UnknownOption, "option `cluster` is unknown; redis has {redis}", &["redis://127.0.0.1?cluster=true"]),
    (UnknownOption, "option `urls` is unknown; redis has {redis}", &["redis://127.0.0.1?urls=redis://other"]),
    (UnknownOption, "option `db` is unknown; redis has {redis}", &["redis://127.0.0.1?db=3"]),
    (
        UnknownOption,
        "option `sync_every` belongs to `sqlite`; file has `durability`, `create`, `create_directory`, `offload_reads`, `offload_threshold`, `max_record_bytes`, `max_queue`, `threads` and `busy_timeout`",
        &["file:a?sync_every=1s"],
    ),
    (
        DuplicateOption,
        "option `durability` is given twice",
        &["sqlite:a.db?durability=power&durability=process"],
    ),
    (DuplicateOption, "option `readers` is given twice", &["sqlite:a.db?readers=2&create=true&readers=2"]),
    (
        InvalidValue,
        "option `durability` has no value; write `durability=value`",
        &["sqlite:a.db?durability", "sqlite:a.db?durability="],
    ),
    (
        InvalidUrl,
        "URL contains an option without a name; write `?name=value&name=value`",
        &["sqlite:a.db?=power", "sqlite:a.db?durability=power&", "sqlite:a.db?&"],
    ),
    (
        InvalidValue,
        "option `durability` takes `process` or `power`",
        &["sqlite:a.db?durability=full", "sqlite:a.db?durability=Power"],
    ),
    (InvalidValue, "option `create` takes `true` or `false`", &["sqlite:a.db?create=yes"]),
    (
        InvalidValue,
        "option `near` takes a duration from `1s` to `60s`",
        &["redis://h?near=61s", "postgres://u@h/d?near=1h"],
    ),
    (
        InvalidValue,
        "option `near_max_bytes` takes `64KiB` or more",
        &["redis://h?near=1s&near_max_bytes=1KiB"],
    ),
    (
        InvalidValue,
        "option `near_max_bytes` needs `near`, such as `near=1s`",
        &["redis://h?near_max_bytes=1MiB"],
    ),
    (
        InvalidValue,
        "option `readers` takes a whole number",
        &["sqlite:a.db?readers=many", "sqlite:a.db?readers=-1", "sqlite:a.db?readers=4KiB"],
    ),
    (
        InvalidValue,
        "option `max_bytes` takes a number of bytes, such as `65536`, `64KiB`, `16MiB` or `1GiB`",
        &["sqlite:a.db?max_bytes=64MB", "sqlite:a.db?max_bytes=99999999999GiB"],
    ),
    (
        InvalidValue,
        "option `busy_timeout`: a duration is a whole number and a unit: 90, 15m, +36h, 2 hours, 1d, 1w",
        &["sqlite:a.db?busy_timeout=soon"],
    ),
    (
        InvalidValue,
        "option `busy_timeout`: the unit of a duration is one of s, m, h, d, w or its English word",
        &["sqlite:a.db?busy_timeout=5x", "sqlite:a.db?busy_timeout=1.5s"],
    ),
    (InvalidValue, "option `busy_timeout`: the duration is zero", &["sqlite:a.db?busy_timeout=0s"]),
    (
        InvalidValue,
        "option `busy_timeout`: months and years vary in length: use days or weeks",
        &["sqlite:a.db?busy_timeout=2years"],
    ),
    (InvalidValue, "option `on_full` takes `reject` or `evict`", &["memory:?on_full=drop"]),
    (InvalidValue, "option `max_entries` takes a whole number", &["memory:?max_entries=1e6"]),
    (InvalidValue, "option `threads` takes a whole number", &["file:a?threads=x"]),
    (
        InvalidValue,
        "option `open_timeout`: a duration is a whole number and a unit: 90, 15m, +36h, 2 hours, 1d, 1w",
        &["mmap:a?open_timeout=ms"],
    ),
    (InvalidValue, "option `flush_each_change` takes `true` or `false`", &["sled:a?flush_each_change=1"]),
    (
        InvalidUrl,
        "postgres needs a host: `postgres://user@host/database`",
        &["postgres:app", "postgres:/app"],
    ),
    (InvalidUrl, "postgres needs a host: `postgres://host`", &["postgres://", "postgres://app:hunter2@/app"]),
    (
        InvalidUrl,
        "postgres needs a user: `postgres://user@host/database`",
        &["postgres://localhost/app", "postgres://:hunter2@localhost/app"],
    ),
    (
        InvalidUrl,
        "postgres needs the name of a database: `postgres://user@host/database`",
        &["postgres://app:hunter2@host", "postgres://app@host/", "postgres://app@one,two/app/more"],
    ),
    (InvalidUrl, "port is not a number from 1 to 65535", &["postgres://app:hunter2@one,two:port/app"]),
    (
        InvalidUrl,
        "`@` stands after the host; in a user name or password write `%2F` for `/`, `%3F` for `?` and `%40` for `@`",
        &["postgres://app:hun/ter2@host/app", "postgres://app:hun?ter2@host/app"],
    ),
    (
        InvalidValue,
        "option `sslmode` takes `disable`, `prefer`, `require`, `verify-ca` or `verify-full`",
        &["postgres://app@host/app?sslmode=allow", "postgres://app@host/app?connections=2&sslmode=hunter2"],
    ),
    (
        InvalidValue,
        "option `sslmode` has no value; write `sslmode=value`",
        &["postgres://app@host/app?sslmode", "postgres://app@host/app?sslmode="],
    ),
    (
        UnknownOption,
        "option `sslmode` belongs to `postgres`; redis has {redis}",
        &["redis://host?sslmode=disable"],
    ),
    (
        UnknownOption,
        "option `sslcrt` is unknown; did you mean `sslcert`?",
        &["postgres://app@host/app?sslcrt=a.pem"],
    ),
    (
        InvalidUrl,
        "redis needs a host: `redis://host`",
        &["redis:127.0.0.1", "redis://", "redis:///0", "redis://:6379", "redis://app:hunter2@"],
    ),
    (
        InvalidUrl,
        "port is not a number from 1 to 65535",
        &[
            "redis://127.0.0.1:0",
            "redis://127.0.0.1:redis",
            "redis://127.0.0.1:70000",
            "redis://[::1]x",
            "redis-cluster://app:hunter2@one,two:port",
        ],
    ),
    (InvalidUrl, "database is not a number; write `redis://host/0`", &["redis://app:hunter2@host/zero"]),
    (
        InvalidUrl,
        "`@` stands after the host; in a user name or password write `%2F` for `/`, `%3F` for `?` and `%40` for `@`",
        &["redis://app:hun/ter2@host", "redis://app:hun?ter2@host"],
    ),
    (InvalidUrl, "redis has one host; for a cluster write `redis-cluster://host,host`", &["redis://one,two"]),
    (InvalidUrl, "redis-cluster needs a host: `redis-cluster://host`", &["redis-cluster://one,,two"]),
    (
        InvalidUrl,
        "redis-cluster has no database; end the URL after the hosts",
        &["redis-cluster://one,two/3"],
    ),
    (
        InvalidUrl,
        "redis+unix needs the absolute path of a socket: `redis+unix:///path/to/socket`",
        &["redis+unix://run/redis.sock", "redis+unix:///"],
    ),
    (
        InvalidValue,
        "option `response_timeout`: a duration is a whole number and a unit: 90, 15m, +36h, 2 hours, 1d, 1w",
        &["redis://127.0.0.1?response_timeout=fast"],
    ),
    (
        UnknownOption,
        "option `timeout` is unknown; did you mean `response_timeout` or `connect_timeout`?",
        &["redis://127.0.0.1?timeout=2s"],
    ),
];
