//! Each codec with many types: a value that `insert` accepts is read back equal. The outcomes are `CODECS.md`.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt::{Debug, Write as _};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use session_conformance::testing::MapDriver as Map;
use session_manager::{Codec, ErrorKind, Session, Sessions};

/// The places of a type where serde reads it from an intermediate form.
#[derive(Debug, Serialize, Deserialize)]
struct Buffered<T> {
    tagged: Tagged<T>,
    untagged: Untagged<T>,
    flat: Flat<T>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged<T> {
    Other { no: u8 },
    One { it: T },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged<T> {
    Other { no: u8 },
    One(T),
}

#[derive(Debug, Serialize, Deserialize)]
struct Flat<T> {
    id: u8,
    #[serde(flatten)]
    inner: Inner<T>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Inner<T> {
    it: T,
}

impl<T> Buffered<T> {
    fn new(make: fn() -> T) -> Self {
        Self {
            tagged: Tagged::One { it: make() },
            untagged: Untagged::One(make()),
            flat: Flat { id: 1, inner: Inner { it: make() } },
        }
    }

    /// Three values of each of the two.
    fn same(&self, other: &Self, same: fn(&T, &T) -> bool) -> bool {
        let (Tagged::One { it: a }, Tagged::One { it: b }) = (&self.tagged, &other.tagged) else {
            return false;
        };
        let (Untagged::One(c), Untagged::One(d)) = (&self.untagged, &other.untagged) else { return false };
        same(a, b)
            && same(c, d)
            && same(&self.flat.inner.it, &other.flat.inner.it)
            && self.flat.id == other.flat.id
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Yes,
    Checked,
    Refused,
}

/// Inserts the value and reads it in each way. Panics if an accepted value is not read back equal.
fn outcome<T>(
    session: &Session,
    what: &str,
    codec: Codec,
    make: &dyn Fn() -> T,
    same: &dyn Fn(&T, &T) -> bool,
) -> Cell
where
    T: Serialize + DeserializeOwned + 'static,
{
    let value = make();
    let cell = match session.insert_as("value", &value, codec) {
        Ok(()) => Cell::Yes,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Encode, "{what}");
            assert!(error.to_string().contains(": "), "{what}: {error}");
            assert!(!session.contains("value").unwrap(), "{what}");
            match session.insert_checked("value", &value, Some(codec)) {
                Ok(()) => Cell::Checked,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Encode, "{what}");
                    assert!(!session.contains("value").unwrap(), "{what}");
                    return Cell::Refused;
                }
            }
        }
    };
    let read = session.get::<T>("value").unwrap_or_else(|e| panic!("{what} with {codec:?}: {e}"));
    assert!(same(&read.unwrap(), &value), "{what} with {codec:?} is another value");
    let updated = session.update("value", |value: Option<T>| value.unwrap());
    assert!(same(&updated.unwrap_or_else(|e| panic!("{what} with {codec:?}: {e}")), &value), "{what}");
    assert!(same(&session.take::<T>("value").unwrap().unwrap(), &value), "{what} with {codec:?}");
    cell
}

struct Row {
    name: &'static str,
    cells: [Cell; 5],
}

struct Table {
    sessions: [(Codec, Session); 3],
    rows: Vec<Row>,
}

impl Table {
    fn add<T>(&mut self, name: &'static str, make: fn() -> T, same: fn(&T, &T) -> bool)
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        let [message_pack, json, bincode] = &self.sessions;
        let plain = |(codec, session): &(Codec, Session)| outcome(session, name, *codec, &make, &same);
        let buffered = |(codec, session): &(Codec, Session)| {
            let what = format!("buffered {name}");
            outcome(session, &what, *codec, &|| Buffered::new(make), &|a: &Buffered<T>, b| a.same(b, same))
        };
        // No type with an intermediate form is read from bincode.
        assert!(buffered(bincode) == Cell::Refused, "{name}");
        let cells =
            [plain(message_pack), buffered(message_pack), plain(json), buffered(json), plain(bincode)];
        self.rows.push(Row { name, cells });
    }

    fn text(&self) -> String {
        let mut text = String::from(HEAD);
        for Row { name, cells } in &self.rows {
            write!(text, "| `{name}` |").unwrap();
            for cell in cells {
                let cell = match cell {
                    Cell::Yes => "yes",
                    Cell::Checked => "checked",
                    Cell::Refused => "refused",
                };
                write!(text, " {cell} |").unwrap();
            }
            text.push('\n');
        }
        text
    }
}

const HEAD: &str = "\
The outcome for each type and codec:

- yes: `insert` accepts the value, and it is read back equal.
- checked: `insert` fails with `Encode`. `insert_checked` and `update` decode the value once and accept it.
- refused: all of them fail with `Encode`.

*Buffered* is the same type inside an internally tagged enum, an untagged enum and a flattened field. bincode reads none of
these three.

| type | MessagePack | buffered | JSON | buffered | bincode |
|---|---|---|---|---|---|
";

/// A row of each type: its name, a value of it, and optionally how two are compared.
macro_rules! rows {
    ($table:ident: $($name:literal: $type:ty = $value:expr $(, by $same:expr)?;)*) => {
        $(rows!(@ $table, $name, $type, $value $(, $same)?);)*
    };
    (@ $table:ident, $name:literal, $type:ty, $value:expr) => {
        $table.add::<$type>($name, || $value, |a, b| a == b)
    };
    (@ $table:ident, $name:literal, $type:ty, $value:expr, $same:expr) => {
        $table.add::<$type>($name, || $value, $same)
    };
}

mod foreign;

/// For types that have no equality, and for NaN.
fn looks<T: Debug>(a: &T, b: &T) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

async fn session(codec: Codec) -> (Codec, Session) {
    let sessions = Sessions::builder(Map::new(super::clock())).codec(codec).build().unwrap();
    (codec, sessions.load(None).await.unwrap())
}

#[tokio::test]
async fn accepted_values_of_every_type_are_read_back() {
    let sessions =
        [session(Codec::MessagePack).await, session(Codec::Json).await, session(Codec::Bincode).await];
    let mut table = Table { sessions, rows: Vec::new() };
    numbers(&mut table);
    text(&mut table);
    collections(&mut table);
    options(&mut table);
    std_types(&mut table);
    shapes(&mut table);
    foreign::rows(&mut table);
    assert!(table.rows.len() >= 100);
    let text = table.text();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CODECS.md");
    let documented = std::fs::read_to_string(path).unwrap();
    if text != documented {
        let new = std::env::temp_dir().join("CODECS.md");
        std::fs::write(&new, &text).unwrap();
        panic!("CODECS.md is out of date: copy {} to {path}", new.display());
    }
}

fn numbers(table: &mut Table) {
    use std::num::{NonZeroI64, NonZeroU8, NonZeroU128, Saturating, Wrapping};
    use std::sync::atomic::{AtomicBool, AtomicI64};
    rows! { table:
        "bool": bool = true;
        "i8": i8 = i8::MIN;
        "i16": i16 = i16::MIN;
        "i32": i32 = i32::MIN;
        "i64": i64 = i64::MIN;
        "isize": isize = isize::MIN;
        "u8": u8 = u8::MAX;
        "u16": u16 = u16::MAX;
        "u32": u32 = u32::MAX;
        "u64": u64 = u64::MAX;
        "usize": usize = usize::MAX;
        "i128": i128 = i128::MIN;
        "u128": u128 = u128::MAX;
        "u128, small": u128 = 7;
        "f32": f32 = 0.1;
        "f32::MAX": f32 = f32::MAX;
        "f64": f64 = 0.1 + 0.2;
        "f64::MIN_POSITIVE": f64 = f64::MIN_POSITIVE;
        "f64, many digits": f64 = -1.234_567_890_123_456_8e-300;
        "-0.0": f64 = -0.0, by looks;
        "f32::NAN": f32 = f32::NAN, by looks;
        "f64::NAN": f64 = f64::NAN, by looks;
        "f64::INFINITY": f64 = f64::INFINITY;
        "f32::NEG_INFINITY": f32 = f32::NEG_INFINITY;
        "NonZeroU8": NonZeroU8 = NonZeroU8::MAX;
        "NonZeroI64": NonZeroI64 = NonZeroI64::MIN;
        "NonZeroU128": NonZeroU128 = NonZeroU128::MAX;
        "Wrapping<u32>": Wrapping<u32> = Wrapping(u32::MAX);
        "Saturating<i16>": Saturating<i16> = Saturating(i16::MIN);
        "AtomicBool": AtomicBool = AtomicBool::new(true), by looks;
        "AtomicI64": AtomicI64 = AtomicI64::new(i64::MIN), by looks;
    }
}

fn text(table: &mut Table) {
    use std::borrow::Cow;
    rows! { table:
        "char": char = '\u{10ffff}';
        "char, NUL": char = '\0';
        "String": String = "お茶 \0 \u{feff} \"'\\".into();
        "String, empty": String = String::new();
        "Box<str>": Box<str> = "tea".into();
        "Cow<str>": Cow<'static, str> = "tea".into();
        "CString": std::ffi::CString = c"caf\xc3".into();
        "OsString": std::ffi::OsString = "tea".into();
        "PathBuf": std::path::PathBuf = "/tmp/ü".into();
        "Box<Path>": Box<std::path::Path> = std::path::Path::new("a/b").into();
    }
}

fn collections(table: &mut Table) {
    rows! { table:
        "Vec<u8>": Vec<u8> = (0..=255).collect();
        "Vec<u8>, empty": Vec<u8> = Vec::new();
        "Vec<i64>": Vec<i64> = vec![i64::MIN, 0, i64::MAX];
        "Vec<String>": Vec<String> = vec![String::new(), "a".into()];
        "Vec<Option<u8>>": Vec<Option<u8>> = vec![None, Some(0), None];
        "Vec<()>": Vec<()> = vec![(), ()];
        "Vec<u128>": Vec<u128> = vec![u128::MAX];
        "Vec<f64>, NaN inside": Vec<f64> = vec![0.5, f64::NAN], by looks;
        "VecDeque<u16>": VecDeque<u16> = [1, 2].into();
        "LinkedList<u16>": LinkedList<u16> = [1, 2].into();
        "BinaryHeap<u16>": BinaryHeap<u16> = [1, 2].into(), by |a, b| a.clone().into_sorted_vec() == b.clone().into_sorted_vec();
        "[u8; 0]": [u8; 0] = [];
        "[u8; 32]": [u8; 32] = [255; 32];
        "[f32; 2]": [f32; 2] = [1.0, -0.5];
        "(u8,)": (u8,) = (7,);
        "(u8, String, f64)": (u8, String, f64) = (1, "a".into(), 2.0);
        "Box<[u8]>": Box<[u8]> = [1, 2].into();
        "BTreeMap<String, i64>": BTreeMap<String, i64> = [(String::new(), 1), ("b".into(), 2)].into();
        "HashMap<String, Vec<u8>>": HashMap<String, Vec<u8>> = [("a".into(), vec![1])].into();
        "BTreeMap<char, bool>": BTreeMap<char, bool> = [('ü', true)].into();
        "BTreeMap<u64, String>": BTreeMap<u64, String> = [(u64::MAX, "a".into())].into();
        "HashMap<i32, ()>": HashMap<i32, ()> = [(-1, ())].into();
        "BTreeMap<bool, u8>": BTreeMap<bool, u8> = [(true, 1)].into();
        "BTreeMap<u128, u8>": BTreeMap<u128, u8> = [(u128::MAX, 1)].into();
        "BTreeMap<(u8, u8), u8>": BTreeMap<(u8, u8), u8> = [((1, 2), 3)].into();
        "BTreeMap<Option<u8>, u8>": BTreeMap<Option<u8>, u8> = [(None, 1), (Some(2), 3)].into();
        "BTreeMap<Plain, u8>": BTreeMap<Plain, u8> = [(Plain::B, 1)].into();
        "BTreeMap<String, u8>, empty": BTreeMap<String, u8> = BTreeMap::new();
        "BTreeSet<String>": BTreeSet<String> = ["a".into(), "b".into()].into();
        "HashSet<i32>": HashSet<i32> = [1, -1].into();
    }
}

fn options(table: &mut Table) {
    rows! { table:
        "()": () = ();
        "None::<u8>": Option<u8> = None;
        "Some(u8)": Option<u8> = Some(0);
        "Some(String)": Option<String> = Some(String::new());
        "Some(Some(u8))": Option<Option<u8>> = Some(Some(1));
        "Some(None::<u8>)": Option<Option<u8>> = Some(None);
        "Some(())": Option<()> = Some(());
        "Some(Unit), a unit struct": Option<Unit> = Some(Unit);
        "Some(Box(None::<u8>))": Option<Box<Option<u8>>> = Some(Box::new(None));
        "Some(Wrapper(None::<u8>))": Option<Wrapper<Option<u8>>> = Some(Wrapper(None));
        "Some(Some(None::<u8>))": Option<Option<Option<u8>>> = Some(Some(None));
        "Some(serde_json::Value::Null)": Option<serde_json::Value> = Some(serde_json::Value::Null);
        "Some(PhantomData<u8>)": Option<std::marker::PhantomData<u8>> = Some(std::marker::PhantomData);
        "Vec<Option<Option<u8>>>, one Some(None)": Vec<Option<Option<u8>>> = vec![None, Some(None)];
        "Some(Vec::<u8>::new())": Option<Vec<u8>> = Some(Vec::new());
        "Some(Plain), a unit variant": Option<Plain> = Some(Plain::A);
        "Some((None::<u8>,))": Option<(Option<u8>,)> = Some((None,));
        "Result<u8, String>": Result<u8, String> = Err("no".into());
        "Result<(), ()>": Result<(), ()> = Ok(());
        "Result<Option<u8>, u8>": Result<Option<u8>, u8> = Ok(None);
    }
}

fn std_types(table: &mut Table) {
    use std::cell::{Cell, RefCell};
    use std::cmp::Reverse;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::ops::Bound;
    use std::sync::{Mutex, RwLock};
    use std::time::{Duration, SystemTime};
    rows! { table:
        "IpAddr, v4": IpAddr = [192, 0, 2, 1].into();
        "IpAddr, v6": IpAddr = Ipv6Addr::LOCALHOST.into();
        "Ipv4Addr": Ipv4Addr = Ipv4Addr::BROADCAST;
        "Ipv6Addr": Ipv6Addr = "2001:db8::1".parse().unwrap();
        "SocketAddr": SocketAddr = ([192, 0, 2, 1], 80).into();
        "SocketAddrV4": SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
        "SocketAddrV6": SocketAddrV6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0, 0);
        "HashMap<IpAddr, u32>": HashMap<IpAddr, u32> = [([192, 0, 2, 1].into(), 1)].into();
        "Duration": Duration = Duration::new(u64::MAX, 999_999_999);
        "SystemTime": SystemTime = SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 1);
        "Range<u8>": std::ops::Range<u8> = 1..2;
        "RangeInclusive<i64>": std::ops::RangeInclusive<i64> = -1..=2;
        "RangeFrom<u8>": std::ops::RangeFrom<u8> = 1..;
        "Bound<u8>": Bound<u8> = Bound::Excluded(1);
        "Bound<u8>::Unbounded": Bound<u8> = Bound::Unbounded;
        "PhantomData<u8>": std::marker::PhantomData<u8> = std::marker::PhantomData;
        "Reverse<u8>": Reverse<u8> = Reverse(1);
        "Box<u64>": Box<u64> = Box::new(1);
        "Cell<u8>": Cell<u8> = Cell::new(1);
        "RefCell<String>": RefCell<String> = RefCell::new("a".into());
        "Mutex<u8>": Mutex<u8> = Mutex::new(1), by looks;
        "RwLock<u8>": RwLock<u8> = RwLock::new(1), by looks;
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Plain {
    A,
    B,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapper<T>(T);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    inner: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u8, String);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Fields {
    first_name: String,
    #[serde(skip)]
    hidden: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<u8>,
    #[serde(with = "serde_bytes")]
    photo: Vec<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wide {
    number: u128,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Empty {}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    New(u8),
    NewUnit(()),
    NewNone(Option<u8>),
    Tuple(u8, f64),
    Struct { a: u8, b: Option<String> },
    Nested(Box<External>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    Unit,
    UnitStruct(Unit),
    New(Named),
    Map(BTreeMap<String, u8>),
    Struct { at: std::net::IpAddr, plain: Plain },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    kind: String,
    other: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    New(std::net::SocketAddr),
    Tuple(u8, Plain),
    Struct { wide: u128 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Unit,
    Number(f64),
    Bytes(serde_bytes::ByteBuf),
    List(Vec<Plain>),
    Address { at: std::net::IpAddr },
    UnitStruct { nothing: Unit, phantom: std::marker::PhantomData<u8> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Extra {
    id: u32,
    #[serde(flatten)]
    extra: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct MaybeFlat {
    id: u32,
    #[serde(flatten)]
    inner: Option<Inner1>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner1 {
    at: std::net::IpAddr,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FlatEnum {
    id: u32,
    #[serde(flatten)]
    kind: Internal,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Even(u32);

impl TryFrom<String> for Even {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Even> for String {
    fn from(even: Even) -> Self {
        even.0.to_string()
    }
}

impl Clone for Even {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    children: Vec<Tree>,
}

fn tree(depth: u8) -> Tree {
    Tree { children: if depth == 0 { Vec::new() } else { vec![tree(depth - 1)] } }
}

fn extra(key: &str) -> Extra {
    Extra { id: 1, extra: [(key.to_owned(), serde_json::json!({"a": [1, null, 0.5]}))].into() }
}

fn shapes(table: &mut Table) {
    rows! { table:
        "unit struct": Unit = Unit;
        "newtype struct": Wrapper<String> = Wrapper("a".into());
        "newtype struct of an option": Wrapper<Option<u8>> = Wrapper(None);
        "transparent struct": Transparent = Transparent { inner: "a".into() };
        "tuple struct": Pair = Pair(1, "a".into());
        "struct": Inner1 = Inner1 { at: [192, 0, 2, 1].into() };
        "struct without fields": Empty = Empty {};
        "struct, a field skipped": Fields = Fields { first_name: "a".into(), photo: vec![0, 255], ..Fields::default() };
        "struct, no field skipped": Fields = Fields { age: Some(1), ..Fields::default() };
        "struct with u128": Wide = Wide { number: u128::MAX };
        "struct through try_from and into": Even = Even(2);
        "struct, nested 60 times": Tree = tree(30);
        "struct, nested 200 times": Tree = tree(100);
        "enum, unit variant": External = External::Unit;
        "enum, newtype variant": External = External::New(1);
        "enum, newtype variant of ()": External = External::NewUnit(());
        "enum, newtype variant of None": External = External::NewNone(None);
        "enum, tuple variant": External = External::Tuple(1, 0.5);
        "enum, struct variant": External = External::Struct { a: 1, b: None };
        "enum, nested": External = External::Nested(Box::new(External::Unit));
        "internally tagged, unit": Internal = Internal::Unit;
        "internally tagged, unit struct": Internal = Internal::UnitStruct(Unit);
        "internally tagged, IpAddr": Internal = Internal::Struct { at: [192, 0, 2, 1].into(), plain: Plain::B };
        "internally tagged, map": Internal = Internal::Map([("a".into(), 1)].into());
        "internally tagged, map with the tag as a key": Internal = Internal::Map([("kind".into(), 1)].into());
        "internally tagged, struct with the tag as a field": Internal = Internal::New(Named { kind: "a".into(), other: 1 });
        "adjacently tagged, unit": Adjacent = Adjacent::Unit;
        "adjacently tagged, SocketAddr": Adjacent = Adjacent::New(([192, 0, 2, 1], 80).into());
        "adjacently tagged, tuple": Adjacent = Adjacent::Tuple(1, Plain::A);
        "adjacently tagged, u128": Adjacent = Adjacent::Struct { wide: u128::MAX };
        "untagged, unit": Loose = Loose::Unit;
        "untagged, number": Loose = Loose::Number(1.0);
        "untagged, list of enums": Loose = Loose::List(vec![Plain::A, Plain::B]);
        "untagged, IpAddr": Loose = Loose::Address { at: [192, 0, 2, 1].into() };
        "untagged, unit structs": Loose = Loose::UnitStruct { nothing: Unit, phantom: std::marker::PhantomData };
        "Some(untagged unit)": Option<Loose> = Some(Loose::Unit);
        "flattened map": Extra = extra("b");
        "flattened map with a field's name as a key": Extra = extra("id");
        "flattened option, None": MaybeFlat = MaybeFlat { id: 1, inner: None };
        "flattened option, Some": MaybeFlat = MaybeFlat { id: 1, inner: Some(Inner1 { at: [192, 0, 2, 1].into() }) };
        "flattened tagged enum": FlatEnum = FlatEnum { id: 1, kind: Internal::Struct { at: [192, 0, 2, 1].into(), plain: Plain::A } };
    }
}
