//! Typed reads.
#![allow(clippy::unwrap_used, reason = "a value that cannot be read fails the test")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::Sample;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use session_handover::{Bounds, ErrorKind, Typing, Value, node, perl, php, ruby};

fn strict<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    value.deserialize_into(Typing::Strict).map_err(|error| error.to_string())
}

fn lenient<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    value.deserialize_into(Typing::Lenient).map_err(|error| error.to_string())
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.map(|(key, value)| (text(key), value)).to_vec())
}

fn php(serialized: &str) -> Value {
    php::serialize::read(serialized.as_bytes(), &Bounds::default()).unwrap()
}

#[derive(Debug, Deserialize, PartialEq)]
enum Role {
    Guest,
    Member(u8),
    Pair(u8, String),
    Staff { level: u8 },
}

#[derive(Debug, Deserialize, PartialEq)]
struct Login {
    user: String,
    #[serde(default)]
    number: Option<i64>,
    #[serde(default)]
    roles: Vec<Role>,
}

#[test]
fn integers_are_read_from_text_only_if_asked() {
    for (value, integer, parsed) in [
        (Value::Int(-7), Some(-7), Some(-7)),
        (Value::Shared(1, Box::new(Value::Int(7))), Some(7), Some(7)),
        (text("7"), None, Some(7)),
        (Value::Shared(1, Box::new(text("-7"))), None, Some(-7)),
        (text("7.0"), None, None),
        (text(" 7"), None, None),
        (text("9223372036854775808"), None, None),
        (Value::Float(7.0), None, None),
        (Value::Null, None, None),
    ] {
        assert_eq!((value.as_integer(), value.parse_integer()), (integer, parsed), "{value:?}");
    }
}

#[test]
fn numbers_are_read_as_any_type_that_holds_them() {
    assert_eq!(strict::<u8>(&Value::Int(255)), Ok(255));
    assert_eq!(strict::<i8>(&Value::Int(255)), Err("expected i8, found an integer that does not fit".into()));
    assert_eq!(strict::<f64>(&Value::Int(3)), Ok(3.0));
    assert_eq!(strict::<f32>(&Value::Float(1.5)), Ok(1.5));
    assert_eq!(strict::<i64>(&Value::Float(3.0)), Err("expected i64, found a float".into()));
    assert!(strict::<f64>(&Value::Float(f64::NAN)).unwrap().is_nan());
    let big = |digits: &str| Value::BigInt(digits.into());
    assert_eq!(strict::<u64>(&big("18446744073709551615")), Ok(u64::MAX));
    assert_eq!(strict::<i128>(&big("-18446744073709551616")), Ok(-(1 << 64)));
    assert_eq!(strict::<u128>(&big(&u128::MAX.to_string())), Ok(u128::MAX));
    assert_eq!(strict::<f64>(&big("100000000000000000000")), Ok(1e20));
    assert!(strict::<i64>(&big("18446744073709551615")).is_err());
    assert!(strict::<u128>(&big(&"9".repeat(50))).unwrap_err().contains("beyond 128 bits"));
    assert_eq!(strict::<f64>(&Value::Decimal("12.50".into())), Ok(12.5));
    assert_eq!(strict::<u8>(&Value::Decimal("12".into())), Ok(12));
    assert!(strict::<u8>(&Value::Decimal("12.5".into())).is_err());
    assert_eq!(strict::<String>(&Value::Decimal("12.50".into())), Ok("12.50".into()));
    assert_eq!(strict::<bool>(&Value::Bool(true)), Ok(true));
    assert!(strict::<bool>(&Value::Int(1)).is_err());
}

#[test]
fn lenient_reads_take_numeric_text() {
    assert_eq!(lenient::<u32>(&text(" 7 ")), Ok(7));
    assert_eq!(lenient::<i64>(&text("-007")), Ok(-7));
    assert_eq!(lenient::<i64>(&text("1e3")), Ok(1000));
    assert_eq!(lenient::<i64>(&text("+5.0")), Ok(5));
    assert_eq!(lenient::<u64>(&text("18446744073709551615")), Ok(u64::MAX));
    assert_eq!(lenient::<i64>(&Value::Float(3.0)), Ok(3));
    assert_eq!(lenient::<f64>(&text("-.5e-1")), Ok(-0.05));
    assert_eq!(lenient::<String>(&Value::Int(7)), Ok("7".into()));
    assert_eq!(lenient::<String>(&Value::Float(1.5)), Ok("1.5".into()));
    assert_eq!(lenient::<String>(&Value::BigInt("9".repeat(30))), Ok("9".repeat(30)));
    for bad in ["", " ", "x", "12abc", "inf", "nan", "NaN", "0x10", "1_000", "--1", "1e999", "."] {
        assert_eq!(
            lenient::<f64>(&text(bad)),
            Err("expected f64, found text that is not a number".into()),
            "{bad}"
        );
        assert!(lenient::<i64>(&text(bad)).is_err(), "{bad}");
    }
    assert!(lenient::<i64>(&text("1.5")).is_err());
    assert!(lenient::<i64>(&Value::Float(1e300)).is_err());
    assert!(lenient::<u8>(&text("256")).is_err());
    assert!(lenient::<bool>(&text("1")).is_err());
    assert!(lenient::<Option<i64>>(&Value::Null).unwrap().is_none());
    // A strict read takes none of these.
    assert_eq!(strict::<u32>(&text("7")), Err("expected u32, found text".into()));
    assert_eq!(strict::<String>(&Value::Int(7)), Err("expected a string, found an integer".into()));
    assert_eq!(strict::<f64>(&text("1.5")), Err("expected f64, found text".into()));
}

#[test]
fn text_of_all_kinds_is_text() {
    for value in [
        text("x"),
        Value::Encoded { text: "x".into(), encoding: "ISO-8859-1".into() },
        Value::Time("x".into()),
        Value::Date("x".into()),
        Value::DateTime("x".into()),
        Value::TimeOfDay("x".into()),
        Value::Uuid("x".into()),
        Value::Decimal("x".into()),
        Value::Markup("x".into()),
        Value::Symbol("x".into()),
        Value::Class("x".into()),
        Value::Enum { class: "Suit".into(), case: "x".into() },
        Value::Ref(Box::new(text("x"))),
        Value::Shared(1, Box::new(text("x"))),
    ] {
        assert_eq!(strict::<String>(&value), Ok("x".into()), "{value:?}");
        assert_eq!(strict::<char>(&value), Ok('x'), "{value:?}");
        assert_eq!(value.deserialize_into::<&str>(Typing::Strict).unwrap(), "x");
    }
    assert_eq!(
        strict::<String>(&Value::Bytes(vec![0xff])),
        Err("expected a string, found bytes that are not text".into())
    );
    let units = Err("expected a string, found text with lone surrogates".into());
    assert_eq!(strict::<String>(&Value::Utf16(vec![0xd800])), units);
    assert_eq!(Value::Bytes(vec![1, 2]).deserialize_into::<&[u8]>(Typing::Strict).unwrap(), [1, 2]);
    assert_eq!(strict::<Vec<u8>>(&Value::Bytes(vec![1, 2])), Ok(vec![1, 2]));
    assert_eq!(strict::<()>(&Value::Null), Ok(()));
    let regex = Value::Regex { pattern: "a+".into(), flags: "i".into() };
    let members =
        BTreeMap::from([("pattern", "a+"), ("flags", "i")].map(|(name, text)| (name.into(), text.into())));
    assert_eq!(strict::<BTreeMap<String, String>>(&regex), Ok(members));
}

#[test]
fn lists_maps_and_variants_are_read() {
    let numbers = vec![Value::Int(1), Value::Int(2)];
    for list in [Value::List(numbers.clone()), Value::Tuple(numbers.clone()), Value::Set(numbers.clone())] {
        assert_eq!(strict::<Vec<u8>>(&list), Ok(vec![1, 2]));
        assert_eq!(strict::<(u8, i64)>(&list), Ok((1, 2)));
        assert_eq!(strict::<BTreeSet<u8>>(&list), Ok(BTreeSet::from([1, 2])));
        assert_eq!(strict::<(u8,)>(&list), Err("list of 2 items is too long".into()));
        assert!(strict::<(u8, u8, u8)>(&list).is_err());
    }
    let defaulted =
        Value::MapWithDefault(vec![(Value::Symbol("user".into()), text("ada"))], Box::new(Value::Null));
    let login = Login { user: "ada".into(), number: None, roles: Vec::new() };
    assert_eq!(strict::<Login>(&defaulted), Ok(login));
    let roles = Value::List(vec![
        text("Guest"),
        map([("Member", Value::Int(3))]),
        map([("Pair", Value::List(vec![Value::Int(1), text("x")]))]),
        map([("Staff", map([("level", Value::Int(9))]))]),
        Value::Enum { class: "Role".into(), case: "Guest".into() },
        map([("Guest", Value::Null)]),
    ]);
    let login = strict::<Login>(&map([
        ("roles", roles),
        ("user", text("ada")),
        ("other", Value::Opaque("code".into())),
    ]));
    let expected = [
        Role::Guest,
        Role::Member(3),
        Role::Pair(1, "x".into()),
        Role::Staff { level: 9 },
        Role::Guest,
        Role::Guest,
    ];
    assert_eq!(login.unwrap().roles, expected);
    // The last value of a key counts.
    let twice = map([("user", text("old")), ("number", Value::Int(1)), ("user", text("new"))]);
    assert_eq!(strict::<Login>(&twice).unwrap().user, "new");
    assert_eq!(strict::<IgnoredAny>(&Value::Utf16(vec![0xd800])).map(drop), Ok(()));
}

#[test]
fn keys_are_numbers_or_text_as_the_type_asks() {
    let mixed = Value::Map(vec![(Value::Int(5), text("a")), (text("7"), text("b"))]);
    let texts = HashMap::from([("5".to_owned(), "a".to_owned()), ("7".to_owned(), "b".to_owned())]);
    assert_eq!(strict::<HashMap<String, String>>(&mixed), Ok(texts));
    let numbers = HashMap::from([(5, "a".to_owned()), (7, "b".to_owned())]);
    assert_eq!(strict::<HashMap<u32, String>>(&mixed), Ok(numbers));
    // An integer key is not the place of a field.
    let login = Value::Map(vec![(Value::Int(0), text("zero")), (text("user"), text("ada"))]);
    assert_eq!(strict::<Login>(&login).unwrap().user, "ada");
    assert!(strict::<Login>(&Value::Map(vec![(Value::Int(0), text("zero"))])).is_err());
    // PHP has one type for lists and maps.
    assert_eq!(lenient::<HashMap<String, u8>>(&php("a:0:{}")), Ok(HashMap::new()));
    assert_eq!(lenient::<Vec<u8>>(&Value::Map(Vec::new())), Ok(Vec::new()));
    assert!(strict::<HashMap<String, u8>>(&Value::List(Vec::new())).is_err());
    assert!(lenient::<HashMap<String, u8>>(&Value::List(vec![Value::Int(1)])).is_err());
}

#[test]
fn errors_name_the_path_and_hold_no_value() {
    let session = map([
        ("user", text("secret")),
        ("number", text("secret")),
        ("roles", Value::List(vec![text("Guest"), map([("Staff", map([("level", text("secret"))]))])])),
    ]);
    let error = session.deserialize_into::<Login>(Typing::Strict).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Type, Some("number")));
    assert_eq!(error.to_string(), "expected i64, found text at number");
    let only = map([("user", text("ada")), ("roles", session.get("roles").unwrap().clone())]);
    assert_eq!(strict::<Login>(&only), Err("expected u8, found text at roles[1].Staff.level".to_owned()));
    let other = map([("user", text("ada")), ("roles", Value::List(vec![text("secret")]))]);
    let message = strict::<Login>(&other).unwrap_err();
    assert_eq!(message, "expected one of Guest, Member, Pair, Staff, found another variant at roles[0]");
    assert_eq!(strict::<Login>(&map([])), Err("missing field `user`".to_owned()));
    assert_eq!(strict::<u8>(&text("secret")), Err("expected u8, found text".to_owned()));
    let root = text("secret").deserialize_into::<char>(Typing::Strict).unwrap_err();
    assert_eq!(root.path(), Some(""));
    assert!(!root.to_string().contains("secret"), "{root}");
    let long = map([("user", text("a")), (&"k".repeat(1000), Value::Null)]);
    assert!(strict::<HashMap<String, String>>(&long).unwrap_err().len() < 200);
    let damaged = node::express::read(b"{", &Bounds::default()).unwrap_err();
    assert_eq!(damaged.path(), None);
}

#[test]
fn values_that_are_met_again_are_read_in_each_place() {
    #[derive(Deserialize)]
    struct Pair {
        a: Vec<u8>,
        b: Vec<u8>,
    }
    let session = php(r#"a:2:{s:1:"a";a:1:{i:0;i:5;}s:1:"b";R:2;}"#);
    let pair: Pair = session.deserialize_into(php::TYPING).unwrap();
    assert_eq!((pair.a, pair.b), (vec![5], vec![5]));
    let lost = Value::List(vec![Value::Same(9)]);
    assert_eq!(strict::<Vec<u8>>(&lost), Err("value that is met again is missing at [0]".into()));
}

#[test]
fn circles_and_repeats_end() {
    #[derive(Debug, Deserialize)]
    struct Nest(#[allow(dead_code, reason = "only its size matters")] Vec<Nest>);
    let circle = Value::Shared(1, Box::new(Value::List(vec![Value::Same(1)])));
    let error = circle.deserialize_into::<Nest>(Typing::Strict).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::TooDeep, "value holds itself at [0]"));
    // Each level stands twice in the next one.
    let mut levels = vec![Value::Shared(0, Box::new(Value::List(Vec::new())))];
    for name in 1..40 {
        let twice = vec![Value::Same(name - 1), Value::Same(name - 1)];
        levels.push(Value::Shared(name, Box::new(Value::List(twice))));
    }
    let error = Value::List(levels).deserialize_into::<Nest>(Typing::Strict).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooMany);
    // A long text stands in many places.
    let long = Value::Shared(0, Box::new(text(&"x".repeat(100_000))));
    let many = [long].into_iter().chain((0..5_000).map(|_| Value::Same(0)));
    let error = Value::List(many.collect()).deserialize_into::<Vec<String>>(Typing::Strict).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    // A chain of names is deeper than the tree.
    let chain =
        (0..5_000).map(|name| Value::Shared(name, Box::new(Value::List(vec![Value::Same(name + 1)]))));
    let mut chain: Vec<Value> = chain.collect();
    chain.push(Value::Shared(5_000, Box::new(Value::List(Vec::new()))));
    let error = Value::List(chain).deserialize_into::<Nest>(Typing::Strict).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooDeep);
    let deep = (0..200).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    assert_eq!(deep.deserialize_into::<Nest>(Typing::Strict).unwrap_err().kind(), ErrorKind::TooDeep);
}

#[test]
fn objects_are_what_they_hold() {
    #[derive(Deserialize)]
    struct User {
        name: String,
    }
    let object = php(r#"O:4:"User":1:{s:4:"name";s:3:"ada";}"#);
    assert_eq!(object.deserialize_into::<User>(php::TYPING).unwrap().name, "ada");
    let raw = php(r#"C:1:"S":3:{abc}"#);
    assert_eq!(raw.deserialize_into::<&[u8]>(php::TYPING).unwrap(), b"abc");
    let sample = Sample::named("php", "objects-builtin");
    let builtin = php::session::read(php::session::Handler::Php, &sample.bytes, &Bounds::default()).unwrap();
    assert!(builtin.deserialize_into::<HashMap<String, IgnoredAny>>(php::TYPING).is_ok());
}

#[test]
fn sessions_of_the_samples_are_read() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Session {
        user: String,
        n: u8,
    }
    let alice = Session { user: "alice".into(), n: 3 };
    let sample = Sample::named("express", "json-basic");
    let value = node::express::read(&sample.bytes, &Bounds::default()).unwrap();
    assert_eq!(value.deserialize_into::<Session>(node::TYPING).unwrap(), alice);
    let sample = Sample::named("dancer2", "session");
    let value = perl::yaml::read(&sample.bytes, &Bounds::default()).unwrap();
    let all: HashMap<String, IgnoredAny> = value.deserialize_into(perl::TYPING).unwrap();
    assert!(!all.is_empty());
    assert_eq!(ruby::TYPING, Typing::Strict);
}
