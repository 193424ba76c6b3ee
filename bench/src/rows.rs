//! The rows: subjects, peers and target ratios.

use session_bench_work::{Args, Durability, Work};

use crate::groups::{Against, Area, Compare, Figure, Group, Home, Program, Subject};

const REQUESTS: Figure = Figure { name: "rate", unit: "requests/s", more_is_better: true };
const RATE: Figure = Figure { name: "rate", unit: "op/s", more_is_better: true };

const fn cost(name: &'static str, unit: &'static str) -> Figure {
    Figure { name, unit, more_is_better: false }
}

const OURS: Program = Program::Ours;
const HANDOVER: Subject = Subject::new(OURS, "handover", "session-handover", Home::Memory);
const WEB: Subject = Subject::new(OURS, "web", "session-tower", Home::Memory);
const SEALED: Subject = Subject::new(OURS, "sealed", "session-tower, cookie-only", Home::Memory);
const ACTIX_OURS: Subject = Subject::new(OURS, "actix", "session-actix", Home::Memory);
const ACTIX_SEALED: Subject = Subject::new(OURS, "actix-sealed", "session-actix, cookie-only", Home::Memory);
const MEMORY: Subject = Subject::new(OURS, "memory", "session-store-memory", Home::Memory);
const SESSION: Subject = Subject::new(OURS, "session", "session-manager, memory", Home::Memory);
const SQLITE: Subject = Subject::new(OURS, "sqlite", "session-store-sqlite", Home::Disk("sqlite"));
const MMAP: Subject = Subject::new(OURS, "mmap", "session-store-mmap", Home::Disk("mmap"));
const FILE: Subject = Subject::new(OURS, "file", "session-store-file", Home::Disk("file"));
const SLED: Subject = Subject::new(OURS, "sled", "session-store-sled", Home::Disk("sled"));
const REDIS: Subject = Subject::new(OURS, "redis", "session-store-redis", Home::Redis("ours"));
const REDIS_AT: Subject =
    Subject::new(OURS, "redis-at-revision", "session-store-redis, at a revision", Home::Redis("ours"));
const NEAR_REDIS: Subject = Subject::new(OURS, "near-redis", "session-near, Redis", Home::Redis("near"));
const VALKEY: Subject = Subject::new(OURS, "redis", "session-store-redis, Valkey 9", Home::Valkey("ours"));
const POSTGRES: Subject =
    Subject::new(OURS, "postgres", "session-store-postgres, prepare", Home::Postgres("ours"));
const POSTGRES_DEFAULT: Subject =
    Subject::new(OURS, "postgres-default", "session-store-postgres", Home::Postgres("ours"));
const DELEGATE: Subject =
    Subject::new(OURS, "delegate", "session-store-delegate, the example", Home::Disk("delegate"));
const CLUSTER: Subject =
    Subject::new(OURS, "redis-cluster", "session-store-redis, cluster", Home::Cluster("ours"));

const TS: Program = Program::Peer("tower-sessions");
const TS_LAYER: Subject = Subject::new(TS, "layer", "tower-sessions, MemoryStore", Home::Memory);
const TS_MEMORY: Subject = Subject::new(TS, "memory", "tower-sessions, MemoryStore", Home::Memory);
const MOKA: Subject = Subject::new(TS, "moka", "tower-sessions, moka store", Home::Memory);

const ACTIX_SESSION: Program = Program::Peer("actix-session");
const ACTIX_MEMORY: Subject =
    Subject::new(ACTIX_SESSION, "memory", "actix-session, map in memory", Home::Memory);
const ACTIX_COOKIE: Subject =
    Subject::new(ACTIX_SESSION, "cookie", "actix-session, CookieSessionStore", Home::Memory);

const RAW: Program = Program::Peer("raw");
const DASHMAP: Subject = Subject::new(RAW, "dashmap", "raw dashmap", Home::Memory);
const INLINE: Subject = Subject::new(RAW, "inline", "raw rusqlite, inline", Home::Disk("raw-sqlite"));
const GROUP: Subject = Subject::new(RAW, "group", "raw rusqlite, group commit", Home::Disk("raw-sqlite"));
const LMDB: Subject = Subject::new(RAW, "lmdb", "LMDB", Home::Disk("lmdb"));
const RAW_FILE: Subject = Subject::new(RAW, "file", "raw std::fs", Home::Disk("raw-file"));
const RAW_SLED: Subject = Subject::new(RAW, "sled", "raw sled", Home::Disk("raw-sled"));
const RAW_REDIS: Subject = Subject::new(RAW, "redis", "redis crate, GET and SET", Home::Redis("raw"));
const RAW_VALKEY: Subject =
    Subject::new(RAW, "redis", "redis crate, GET and SET, Valkey 9", Home::Valkey("raw"));
const RAW_CLUSTER: Subject =
    Subject::new(RAW, "cluster", "redis crate, GET and SET, cluster", Home::Cluster("raw"));

const PERL: Program = Program::Perl { script: "fastmmap", module: "Cache::FastMmap" };
const FAST_MMAP: Subject = Subject::new(PERL, "fastmmap", "Cache::FastMmap, Perl", Home::Disk("fastmmap"));

const SQLX: Subject =
    Subject::new(Program::Peer("sqlx-store"), "store", "tower-sessions-sqlx-store", Home::Disk("sqlx"));
const RUSQLITE: Subject = Subject::new(
    Program::Peer("rusqlite-store"),
    "store",
    "tower-sessions-rusqlite-store",
    Home::Disk("rusqlite"),
);

const FILE_STORES: Program = Program::Peer("file-stores");
const FS_STORE: Subject = Subject::new(FILE_STORES, "fs", "tower-sessions-fs-store", Home::Disk("fs-store"));
const FILE_BASED: Subject = Subject::new(
    FILE_STORES,
    "file-based",
    "tower-sessions-file-based-store",
    Home::Disk("file-based-store"),
);
const FILE_STORE: Subject =
    Subject::new(FILE_STORES, "file", "tower-sessions-file-store", Home::Disk("file-store"));

const REDIS_STORES: Program = Program::Peer("redis-stores");
const TS_REDIS: Subject =
    Subject::new(REDIS_STORES, "tower", "tower-sessions-redis-store", Home::Redis("tower"));
const ACTIX: Subject = Subject::new(REDIS_STORES, "actix", "actix-session, Redis", Home::Redis("actix"));
const TS_VALKEY: Subject =
    Subject::new(REDIS_STORES, "tower", "tower-sessions-redis-store, Valkey 9", Home::Valkey("tower"));
const ACTIX_VALKEY: Subject =
    Subject::new(REDIS_STORES, "actix", "actix-session, Valkey 9", Home::Valkey("actix"));

const POSTGRES_PEERS: Program = Program::Peer("postgres");
const POSTGRES_POOL: Subject =
    Subject::new(POSTGRES_PEERS, "pool", "tokio-postgres, prepared, pooled", Home::Postgres("raw"));
const POSTGRES_PIPELINE: Subject =
    Subject::new(POSTGRES_PEERS, "pipeline", "tokio-postgres, prepared, pipelined", Home::Postgres("raw"));
const TS_POSTGRES: Subject =
    Subject::new(POSTGRES_PEERS, "tower", "tower-sessions-sqlx-store, postgres", Home::Postgres("tower"));
const HANDOVER_PEER: Program = Program::Peer("handover");
const PHP_SERDE: Subject = Subject::new(HANDOVER_PEER, "handover", "php_serde, typed", Home::Memory);
const BY_HAND: Subject =
    Subject::new(HANDOVER_PEER, "handover", "by hand: sha2, flate2, serde_json", Home::Memory);

/// "Near flat" allows half the rate with a hundred times as many records.
const NEAR_FLAT: Option<f64> = Some(0.5);

/// The target against an earlier build: what measurement noise allows.
const NO_WORSE: f64 = 0.95;

/// The same groups with an earlier build as the only peer.
pub(crate) fn against_before(groups: Vec<Group>) -> Vec<Group> {
    let compare = |group: Group| {
        let ours: Vec<usize> = (0..group.subjects.len())
            .filter(|place| group.rows.iter().any(|row| row.ours == *place))
            .collect();
        let subjects =
            ours.iter().flat_map(|place| [group.subjects[*place], group.subjects[*place].before()]);
        let mut rows: Vec<Compare> = Vec::new();
        for row in &group.rows {
            let place = ours.iter().position(|place| *place == row.ours);
            let place = 2 * place.expect("every row's subject is in the list that the rows made");
            if !rows.iter().any(|known| known.ours == place && known.figure.name == row.figure.name) {
                let against = Against::Subject(place + 1);
                rows.push(Compare { ours: place, against, target: Some(NO_WORSE), ..*row });
            }
        }
        Group { subjects: subjects.collect(), rows, ..group }
    };
    let mut different: Vec<Group> = Vec::new();
    // An absolute limit, which earlier builds do not measure.
    let groups = groups.into_iter().filter(|group| group.area != Area::Stall);
    for group in groups.map(compare) {
        // Groups that differ only in their peers are one group here.
        let same = |known: &Group| {
            known.args.words() == group.args.words() && known.subjects.first() == group.subjects.first()
        };
        if !different.iter().any(same) {
            different.push(group);
        }
    }
    different
}

/// All rows, in the order of measurement.
pub(crate) fn groups() -> Vec<Group> {
    [
        web(),
        actix(),
        memory(),
        sqlite(),
        mmap(),
        redis(),
        postgres(),
        file(),
        sled(),
        end_to_end(),
        scale(),
        large(),
        stall(),
        handover(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn handover() -> Vec<Group> {
    let group = |work, label: &str, figure, peer, limit| {
        let row = |against, target| Compare { figure, ours: 0, against, target };
        Group {
            area: Area::Handover,
            label: label.into(),
            args: Args { work, tasks: 1, ..Args::default() },
            subjects: vec![HANDOVER, peer],
            rows: vec![row(Against::Limit(limit), Some(1.0)), row(Against::Subject(1), None)],
        }
    };
    let beyond = cost("beyond_ns", "ns");
    vec![
        group(Work::DecodePhp, "PHP session of 2 KiB", cost("ns", "ns"), PHP_SERDE, 5_000.0),
        group(Work::DecodeDjango, "Django cookie, beyond its HMAC", beyond, BY_HAND, 10_000.0),
    ]
}

fn web() -> Vec<Group> {
    let group = |work, label: &str, values, target, limit| {
        let row = |figure, against, target| Compare { figure, ours: 0, against, target };
        let (time, allocations) = (cost("added_ns", "ns"), cost("added_allocations", "allocations"));
        Group {
            area: Area::Web,
            label: label.into(),
            args: Args { work, tasks: 1, values, ..Args::default() },
            subjects: vec![WEB, TS_LAYER],
            rows: vec![
                row(time, Against::Subject(1), Some(target)),
                row(allocations, Against::Limit(limit), Some(1.0)),
                row(allocations, Against::Subject(1), None),
            ],
        }
    };
    vec![
        group(Work::WebBare, "no cookie, untouched", 8, 1.0 / 0.5, 6.0),
        group(Work::WebCookie, "cookie, untouched", 8, 1.0 / 0.4, 7.0),
        group(Work::WebRead, "read a key of 1 KiB", 1, 1.0 / 0.35, 12.0),
        group(Work::WebSave, "read 1 KiB, change, save", 1, 1.0 / 0.25, 18.0),
        group(Work::WebRead, "read one of 8 keys", 8, 1.0 / 0.35, 12.0),
        group(Work::WebSave, "read one of 8, change, save", 8, 1.0 / 0.25, 18.0),
    ]
}

fn actix() -> Vec<Group> {
    let group = |work, label: &str, ours, peer, target| {
        let args = Args { work, tasks: 1, values: 1, ..Args::default() };
        compared(Area::Actix, label, args, ours, &[(peer, target)], cost("added_ns", "ns"))
    };
    let stored = |work, label: &str, target| group(work, label, ACTIX_OURS, ACTIX_MEMORY, target);
    let carried = |work, label: &str, target| group(work, label, ACTIX_SEALED, ACTIX_COOKIE, target);
    vec![
        stored(Work::WebCookie, "cookie, untouched", None),
        stored(Work::WebRead, "read a key of 1 KiB", Some(1.0 / 0.6)),
        stored(Work::WebSave, "read 1 KiB, change, save", Some(1.0 / 0.6)),
        carried(Work::WebCookie, "cookie-only, untouched", None),
        carried(Work::WebRead, "cookie-only, read 1 KiB", Some(1.0 / 0.6)),
        carried(Work::WebSave, "cookie-only, read 1 KiB, change, save", Some(1.0 / 0.6)),
        // The same cookie on axum.
        group(Work::WebSave, "cookie-only, read 1 KiB, change, save", SEALED, ACTIX_COOKIE, None),
    ]
}

fn memory() -> Vec<Group> {
    let group = |work, label: &str, peers: &[Peer], ours| {
        rates(Area::Memory, label, Args { work, tasks: 8, ..Args::default() }, ours, peers)
    };
    let heap = |size, label: &str, ours, peer, target| {
        let args = Args { work: Work::Heap, tasks: 1, size, values: size / 128, ..Args::default() };
        let label = format!("heap per {label}, {size} B");
        compared(Area::Memory, &label, args, ours, &[(peer, target)], cost("bytes", "bytes"))
    };
    let raw = |target| [(DASHMAP, Some(target))];
    let layers = |target| [(TS_MEMORY, Some(target)), (MOKA, Some(target))];
    vec![
        group(Work::Retrieve, "retrieve", &raw(0.75), MEMORY),
        group(Work::Store, "store on revision", &raw(0.75), MEMORY),
        group(Work::CreateRemove, "create, remove", &raw(0.75), MEMORY),
        group(Work::Retrieve, "load, the store alone", &layers(12.0), MEMORY),
        group(Work::Store, "save, the store alone", &layers(6.0), MEMORY),
        group(Work::Load, "open, read a key", &layers(12.0), SESSION),
        group(Work::Save, "open, read, change, save", &layers(6.0), SESSION),
        touch(Area::Memory, MEMORY, 8, Durability::Process, Some(1.5)),
        heap(128, "record", MEMORY, DASHMAP, Some(1.0 / 1.15)),
        heap(1_024, "record", MEMORY, DASHMAP, Some(1.0 / 1.15)),
        heap(128, "session", SESSION, TS_MEMORY, None),
        heap(1_024, "session", SESSION, TS_MEMORY, None),
    ]
}

fn sqlite() -> Vec<Group> {
    let group = |work, label: &str, tasks, durability, peers: &[Peer]| {
        rates(Area::Sqlite, label, Args { work, tasks, durability, ..Args::default() }, SQLITE, peers)
    };
    let retrieve = |tasks| {
        let peers = [(SQLX, Some(8.0)), (RUSQLITE, Some(4.0)), (INLINE, Some(0.8))];
        group(Work::Retrieve, "retrieve", tasks, Durability::Process, &peers)
    };
    let stores = |label, durability, [sqlx, rusqlite, inline]: [f64; 3]| {
        let peers = [(SQLX, Some(sqlx)), (RUSQLITE, Some(rusqlite)), (INLINE, Some(inline)), (GROUP, None)];
        group(Work::Store, label, 64, durability, &peers)
    };
    vec![
        retrieve(1),
        retrieve(8),
        retrieve(64),
        stores("store, process", Durability::Process, [4.0, 2.0, 1.3]),
        stores("store, power", Durability::Power, [30.0, 30.0, 6.0]),
        group(Work::Store, "store, process", 1, Durability::Process, &[(INLINE, Some(0.85))]),
        touch(Area::Sqlite, SQLITE, 64, Durability::Process, Some(1.5)),
    ]
}

fn mmap() -> Vec<Group> {
    let group = |work, label: &str, tasks, processes, peers: &[Peer]| {
        rates(Area::Mmap, label, Args { work, tasks, processes, ..Args::default() }, MMAP, peers)
    };
    let (lmdb, perl, memory) = ((LMDB, Some(3.0)), (FAST_MMAP, Some(15.0)), (MEMORY, Some(0.4)));
    let retrieve =
        |label, tasks, processes, peers: &[Peer]| group(Work::Retrieve, label, tasks, processes, peers);
    let (lmdb_store, perl_store) = ((LMDB, Some(4.0)), (FAST_MMAP, Some(8.0)));
    let store = |label, tasks, processes, peers: &[Peer]| group(Work::Store, label, tasks, processes, peers);
    vec![
        retrieve("retrieve, 1 thread", 1, 1, &[lmdb, perl, memory]),
        // Perl's threads share no memory, so Perl has no row here.
        retrieve("retrieve, 2 threads", 2, 1, &[lmdb, memory]),
        retrieve("retrieve, 2 processes", 1, 2, &[lmdb, perl]),
        store("store, 1 thread", 1, 1, &[lmdb_store, perl_store]),
        store("store, 2 threads", 2, 1, &[lmdb_store]),
        store("store, 2 processes", 1, 2, &[lmdb_store, perl_store]),
        touch(Area::Mmap, MMAP, 2, Durability::Process, Some(1.5)),
    ]
}

fn redis() -> Vec<Group> {
    let group = |work, label: &str, ours, peers: &[Peer]| {
        rates(Area::Redis, label, Args { work, tasks: 64, ..Args::default() }, ours, peers)
    };
    vec![
        group(
            Work::Retrieve,
            "retrieve",
            REDIS,
            &[(RAW_REDIS, Some(0.9)), (TS_REDIS, Some(1.3)), (ACTIX, Some(1.3))],
        ),
        rates(
            Area::Redis,
            "retrieve, 1 k sessions",
            Args { work: Work::Retrieve, tasks: 64, records: 1_000, ..Args::default() },
            NEAR_REDIS,
            &[(REDIS, None)],
        ),
        with_server(
            group(
                Work::Store,
                "store on revision, script",
                REDIS,
                // The stores write without a condition, and a script costs the server two of their writes.
                &[(RAW_REDIS, Some(0.55)), (TS_REDIS, None), (ACTIX, None)],
            ),
            Some(1.0 / 2.6),
        ),
        with_server(
            group(
                Work::Store,
                "store on revision, native",
                VALKEY,
                &[(RAW_VALKEY, Some(0.8)), (TS_VALKEY, Some(1.1)), (ACTIX_VALKEY, Some(1.1))],
            ),
            Some(1.0 / 1.4),
        ),
        // The server dominates the cost of a call, and its cost is nearly the same for both.
        touch(Area::Redis, REDIS_AT, 64, Durability::Process, None),
        group(Work::Retrieve, "retrieve", CLUSTER, &[(RAW_CLUSTER, None)]),
        group(Work::Store, "store on revision", CLUSTER, &[(RAW_CLUSTER, None)]),
    ]
}

fn postgres() -> Vec<Group> {
    let group = |work, label: &str, durability, raw, store| {
        let args = Args { work, tasks: 64, durability, ..Args::default() };
        let peers = [(POSTGRES_POOL, Some(raw)), (POSTGRES_PIPELINE, None), (TS_POSTGRES, Some(store))];
        with_server(rates(Area::Postgres, label, args, POSTGRES, &peers), None)
    };
    vec![
        group(Work::Retrieve, "retrieve", Durability::Process, 0.9, 1.3),
        group(Work::Store, "store on revision, process", Durability::Process, 0.8, 1.2),
        group(Work::Store, "store on revision, power", Durability::Power, 0.8, 1.2),
        // A touch does not send the value.
        touch(Area::Postgres, POSTGRES, 64, Durability::Process, None),
    ]
}

/// Adds the processor time of the server, which a shared server runs out of. `target` is the ratio against the first
/// peer.
fn with_server(mut group: Group, target: Option<f64>) -> Group {
    let rates = group.rows.clone();
    group.rows.extend(rates.into_iter().enumerate().map(|(place, row)| Compare {
        figure: cost("server_ns", "ns, server CPU"),
        target: target.filter(|_| place == 0),
        ..row
    }));
    group
}

fn file() -> Vec<Group> {
    let group = |work, label: &str, peers: &[Peer]| {
        rates(Area::File, label, Args { work, tasks: 8, ..Args::default() }, FILE, peers)
    };
    let stores = |target| [FS_STORE, FILE_BASED, FILE_STORE].map(|store| (store, target));
    let with_raw = |raw, target| [vec![(RAW_FILE, Some(raw))], stores(target).into()].concat();
    vec![
        group(Work::Retrieve, "retrieve", &with_raw(0.6, Some(2.0))),
        group(Work::Store, "store, process", &with_raw(5.0, None)),
        touch(Area::File, FILE, 8, Durability::Process, Some(1.5)),
    ]
}

fn sled() -> Vec<Group> {
    let group = |work, label: &str, tasks, durability| {
        let args = Args { work, tasks, durability, ..Args::default() };
        rates(Area::Sled, label, args, SLED, &[(RAW_SLED, Some(0.8))])
    };
    vec![
        group(Work::Retrieve, "retrieve", 8, Durability::Relaxed),
        group(Work::Store, "store, relaxed", 8, Durability::Relaxed),
        group(Work::Store, "store, process", 64, Durability::Process),
        // sled writes whole values, so moving a deadline costs a store.
        touch(Area::Sled, SLED, 8, Durability::Relaxed, None),
    ]
}

/// How many users are logged in.
const USERS: usize = 6_400;

/// Requests over sockets, which are compared with the same application on another library.
fn end_to_end() -> Vec<Group> {
    let group = |ours, peers: &[Peer]| {
        let args = Args { work: Work::Mix, tasks: 64, records: USERS, ..Args::default() };
        let mut group = compared(Area::EndToEnd, "mix of requests", args, ours, peers, REQUESTS);
        let rates = group.rows.clone();
        for figure in
            [cost("p99_us", "us, p99"), cost("p50_us", "us, p50"), cost("request_ns", "ns, server CPU")]
        {
            let target = |row: &Compare| row.target.filter(|_| figure.name == "p99_us").map(|_| 1.0);
            group.rows.extend(rates.iter().map(|row| Compare { figure, target: target(row), ..*row }));
        }
        group
    };
    vec![
        group(SQLITE, &[(SQLX, Some(2.0)), (RUSQLITE, Some(1.3))]),
        group(REDIS, &[(TS_REDIS, Some(1.15)), (ACTIX, None)]),
        group(POSTGRES, &[(TS_POSTGRES, Some(1.15))]),
        group(MEMORY, &[(TS_MEMORY, None)]),
        // The other drivers have no peer, so they are compared with the fastest.
        group(MMAP, &[(MEMORY, None)]),
        group(FILE, &[(MEMORY, None)]),
        group(SLED, &[(MEMORY, None)]),
    ]
}

/// The numbers of records of the store sizes.
const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];

/// The same for records of [`SMALL`] bytes, of which a store in memory can hold ten million.
const LARGE_SIZES: [usize; 2] = [1_000_000, 10_000_000];
const SMALL: usize = 256;

fn scale() -> Vec<Group> {
    let of = |ours, purge| sizes_of(Area::Scale, ours, &SIZES, &Args::default(), purge);
    [
        of(MEMORY, Some(REMOVED)),
        of(MMAP, Some(SCANNED)),
        of(SQLITE, Some(REMOVED)),
        of(FILE, Some(SCANNED)),
        of(SLED, Some(SCANNED)),
        // The server removes expired records.
        of(REDIS, None),
    ]
    .concat()
}

/// The drivers that hold ten million records in a few gigabytes and are filled in minutes.
fn large() -> Vec<Group> {
    let args = Args { size: SMALL, ..Args::default() };
    let of = |ours, purge| sizes_of(Area::Large, ours, &LARGE_SIZES, &args, Some(purge));
    let heap = Args { work: Work::Heap, tasks: 1, values: 1, ..args.clone() };
    let [few, many] = LARGE_SIZES.map(|size| MEMORY.holding(size));
    let bytes = cost("bytes", "bytes");
    [
        of(MEMORY, REMOVED),
        vec![compared(Area::Large, "heap per record, 256 B", heap, many, &[(few, Some(0.9))], bytes)],
        of(MMAP, SCANNED),
        of(SQLITE, REMOVED),
    ]
    .concat()
}

/// The cost of a purge is proportional to the records that it removes, or to those that it scans.
const REMOVED: Figure = cost("removed_ns", "ns per removed record");
const SCANNED: Figure = cost("scanned_ns", "ns per record held");

/// How long a closed file of a million records may take to open.
const LONGEST_OPENING_US: f64 = 5_000.0;

/// A driver with several numbers of records.
fn sizes_of(area: Area, ours: Subject, sizes: &[usize], args: &Args, purge: Option<Figure>) -> Vec<Group> {
    let tasks = if matches!(ours.home, Home::Redis(_)) { 64 } else { 8 };
    let subjects: Vec<Subject> = sizes.iter().map(|size| ours.holding(*size)).collect();
    let [.., smaller, largest] = subjects[..] else { return Vec::new() };
    // Compares the larger sizes with the smallest.
    let rate = |work, label: &str| {
        let row =
            |place| Compare { figure: RATE, ours: place, against: Against::Subject(0), target: NEAR_FLAT };
        Group {
            area,
            label: label.into(),
            args: Args { work, tasks, ..args.clone() },
            subjects: subjects.clone(),
            rows: (1..subjects.len()).map(row).collect(),
        }
    };
    let mut groups = vec![rate(Work::Retrieve, "retrieve"), rate(Work::Store, "store on revision")];
    groups.extend(purge.map(|figure| {
        // The same number of expired records in a large store and in a tenth of it.
        let args = Args { work: Work::Purge, tasks: 1, ..args.clone() };
        let mut group = compared(area, "purge of 10 k", args, largest, &[(smaller, NEAR_FLAT)], figure);
        let (figure, against) = (cost("gap_ms", "ms, longest gap"), Against::Limit(LONGEST_PAUSE_MS));
        group.rows.push(Compare { figure, ours: 0, against, target: Some(1.0) });
        group
    }));
    // A store in memory is filled in each run and never opened, and connecting to a server does not depend on its records.
    groups.extend(matches!(ours.home, Home::Disk(_)).then(|| {
        let args = Args { work: Work::Open, tasks: 1, ..args.clone() };
        let (figure, peers) = (cost("open_us", "us"), [(ours.holding(1), NEAR_FLAT)]);
        let mut group = compared(area, "open, first read", args, largest, &peers, figure);
        // Of a file that was closed, which takes no walk over the records.
        if ours == MMAP && area == Area::Scale {
            let against = Against::Limit(LONGEST_OPENING_US);
            group.rows.push(Compare { figure, ours: 0, against, target: Some(1.0) });
        }
        group
    }));
    groups
}

/// How long an operation may keep other tasks of its thread waiting.
const LONGEST_STALL_MS: f64 = 5.0;

/// The longest gap of a heartbeat beside each long operation, with default options.
fn stall() -> Vec<Group> {
    const GAPS: [Figure; 7] = [
        cost("walk_gap_ms", "ms, gap in a walk of 100 k"),
        cost("find_gap_ms", "ms, gap in find over 100 k"),
        cost("read_gap_ms", "ms, gap reading 8 MiB"),
        cost("write_gap_ms", "ms, gap writing 8 MiB"),
        cost("keys_gap_ms", "ms, gap with 8 k keys"),
        cost("bytes_gap_ms", "ms, gap with a session of 4 MiB"),
        cost("purge_gap_ms", "ms, gap in a purge of 10 k"),
    ];
    let group = |ours: Subject| {
        // A Redis server removes expired records itself.
        let gaps = if ours == REDIS { &GAPS[..6] } else { &GAPS[..] };
        let row = |figure: &Figure| Compare {
            figure: *figure,
            ours: 0,
            against: Against::Limit(LONGEST_STALL_MS),
            target: Some(1.0),
        };
        Group {
            area: Area::Stall,
            label: "longest stall".into(),
            args: Args { work: Work::Stall, tasks: 1, ..Args::default() },
            subjects: vec![ours],
            rows: gaps.iter().map(row).collect(),
        }
    };
    [MEMORY, MMAP, SQLITE, FILE, SLED, DELEGATE, REDIS, POSTGRES_DEFAULT].map(group).into()
}

/// How long a purge may block other tasks of the runtime at a time.
const LONGEST_PAUSE_MS: f64 = 10.0;

/// A peer and the target ratio.
type Peer = (Subject, Option<f64>);

fn touch(area: Area, ours: Subject, tasks: usize, durability: Durability, target: Option<f64>) -> Group {
    let args = Args { work: Work::Touch, tasks, durability, ..Args::default() };
    rates(area, "touch", args, ours, &[(ours.doing(Work::Store, "its own store"), target)])
}

fn rates(area: Area, label: &str, args: Args, ours: Subject, peers: &[Peer]) -> Group {
    compared(area, label, args, ours, peers, RATE)
}

/// Compares one figure of ours with each peer.
fn compared(area: Area, label: &str, args: Args, ours: Subject, peers: &[Peer], figure: Figure) -> Group {
    let row = |(place, (_, target)): (usize, &Peer)| Compare {
        figure,
        ours: 0,
        against: Against::Subject(place + 1),
        target: *target,
    };
    Group {
        area,
        label: label.into(),
        args,
        subjects: std::iter::once(ours).chain(peers.iter().map(|(subject, _)| *subject)).collect(),
        rows: peers.iter().enumerate().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_compares_a_subject_with_its_earlier_build() {
        let groups = against_before(groups());
        assert!(groups.len() > 30, "found only {} groups", groups.len());
        for row in groups.iter().flat_map(|group| group.rows.iter().map(move |row| (group, row))) {
            let (group, Compare { ours, against: Against::Subject(before), .. }) = row else {
                panic!("a row without an earlier build: {row:?}");
            };
            assert_eq!(group.subjects[*before], group.subjects[*ours].before());
        }
    }
}
