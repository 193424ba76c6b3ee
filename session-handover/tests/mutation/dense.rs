//! Input of 64 KiB with as many values as its format holds in so many bytes: the tree takes the most memory then.

use session_handover::perl::{dumper, storable, yaml};
use session_handover::php::{igbinary, msgpack as php_msgpack, serialize};
use session_handover::python::{flask_session, pickle};
use session_handover::ruby::{marshal, msgpack};
use session_handover::{Error, Value, node::express, rust::tower_sessions};

use crate::{bounds, limit, walk};

const COUNT: u16 = 60_000;

type Read = fn(&[u8]) -> Result<Value, Error>;

fn dense() -> Vec<(&'static str, Vec<u8>, Read)> {
    let count = usize::from(COUNT);
    let (big, little) = (COUNT.to_be_bytes(), COUNT.to_le_bytes());
    let items = |item: &[u8]| item.repeat(count / item.len());
    let number = |item: &[u8]| u16::try_from(count / item.len()).expect("a count");
    let (wide, high) = (u32::from(COUNT).to_be_bytes(), [0x02, little[0], little[1]]);
    let empty = number(b"[]").to_be_bytes();
    let lines = number(b"- a\n");
    vec![
        ("storable", [b"\x05\x0b\x02\0\0", &big[..], &items(b"\x05")].concat(), |input| {
            storable::read(input, &bounds())
        }),
        ("dumper", [b"$D = [", &items(b"1,")[..], b"1];;$D"].concat(), |input| {
            dumper::read(input, &bounds())
        }),
        ("yaml", [b"---\n", &b"- a\n".repeat(lines.into())[..]].concat(), |input| {
            yaml::read(input, &bounds())
        }),
        ("marshal", [b"\x04\x08[", &high[..], &items(b"0")].concat(), |input| {
            marshal::read(input, &bounds())
        }),
        ("MessagePack of Rails", [b"\xcc\x80\xdd", &wide[..], &items(b"\xc0")].concat(), |input| {
            msgpack::read(input, &bounds())
        }),
        ("pickle", [b"(", &items(b"N")[..], b"t."].concat(), |input| pickle::read(input, &bounds())),
        ("pickled lists", [b"(", &items(b"]")[..], b"t."].concat(), |input| pickle::read(input, &bounds())),
        ("msgpack of PHP", [b"\xdd", &wide[..], &items(b"\xc0")].concat(), |input| {
            php_msgpack::read(input, &bounds())
        }),
        ("lists in msgpack of PHP", [b"\xdd", &wide[..], &items(b"\x90")].concat(), |input| {
            php_msgpack::read(input, &bounds())
        }),
        (
            "igbinary",
            [b"\0\0\0\x02\x15", &number(b"kkk").to_be_bytes()[..], &igbinary_items()].concat(),
            |input| igbinary::read(input, &bounds()),
        ),
        ("PHP", php_items(), |input| serialize::read(input, &bounds())),
        ("JSON", [b"{\"a\":[", &items(b"1,")[..], b"1]}"].concat(), |input| express::read(input, &bounds())),
        ("JSON lists", [b"{\"a\":[", &b"[],".repeat(count / 3)[..], b"1]}"].concat(), |input| {
            express::read(input, &bounds())
        }),
        ("Flask-Session", [b"\x81\xa1a\xdc", &big[..], &items(b"\xc0")].concat(), |input| {
            flask_session::read(input, &bounds())
        }),
        (
            "record",
            [b"\x93\xc4\x10", &[0; 16][..], b"\x81\xa1a\xdc", &big, &items(b"\xc0"), &DATE].concat(),
            |input| tower_sessions::read(input, &bounds()).map(|record| record.value),
        ),
        (
            "lists in storable",
            [b"\x05\x0b\x02\0\0", &empty[..], &b"\x02\0\0\0\0".repeat(number(b"[]").into())].concat(),
            |input| storable::read(input, &bounds()),
        ),
    ]
}

/// Noon of a day in 2040.
const DATE: [u8; 12] = [0x99, 0xcd, 0x07, 0xf8, 15, 12, 0, 0, 0, 0, 0, 0];

fn igbinary_items() -> Vec<u8> {
    (0..COUNT / 3).flat_map(|key| [&[8][..], &key.to_be_bytes(), &[0]].concat()).collect()
}

fn php_items() -> Vec<u8> {
    let items: String = (0..5_000).map(|key| format!("i:{key};N;")).collect();
    format!("a:5000:{{{items}}}").into_bytes()
}

#[test]
fn dense_input_stays_within_the_limit() {
    for (format, input, read) in dense() {
        let value = read(&input);
        assert!(value.is_ok(), "{format}: {:?}", value.map(drop));
        drop(value);
        let used = allocation_counter::measure(|| walk(read(&input)));
        assert!(
            used.bytes_max <= limit(input.len()),
            "{format}: {} bytes for {}",
            used.bytes_max,
            input.len()
        );
    }
}
