//! Reading `Cookie` headers, and its cost.

use super::*;

#[test]
fn ids_are_read_in_order_without_repeats() {
    let (one, two, three, four, five) = (text(1), text(2), text(3), text(4), text(5));
    let name = "__Host-session";
    assert_eq!(read::<&str>([]), (vec![], 0));
    assert_eq!(read([format!("{name}={one}")]), (vec![id(1)], 0));
    assert_eq!(read([format!("a=b; {name}={one}; c=d")]), (vec![id(1)], 0));
    assert_eq!(read([format!("a=b;\t  {name}={one};c;;=;")]), (vec![id(1)], 0));
    assert_eq!(read([format!("{name}={two}; {name}={one}; {name}={two}")]), (vec![id(2), id(1)], 0));
    assert_eq!(
        read([
            format!("{name}={five}"),
            format!("a=b; {name}={three}; {name}=; {name}={one}"),
            format!("{name}={two}; {name}={four}; {name}=x"),
        ]),
        (vec![id(5), id(3), id(1), id(2)], 2)
    );
}

#[test]
fn other_names_are_ignored() {
    let id = text(1);
    for other in [
        format!("__host-session={id}"),
        format!("session={id}"),
        format!("x__Host-session={id}"),
        format!("__Host-sessions={id}"),
        format!("__Host-session ={id}"),
        format!("a={id}; b=__Host-session={id}"),
        format!("=__Host-session={id}"),
        format!("\"__Host-session={id}"),
        format!("a=b, __Host-session={id}"),
        format!("\u{a0}__Host-session={id}"),
        format!("\u{2028}__Host-session={id}"),
        "__Host-session".to_owned(),
        String::new(),
    ] {
        assert_eq!(read([other.as_bytes()]), (vec![], 0), "{other:?}");
    }
}

#[test]
fn malformed_values_are_counted() {
    let id = text(1);
    for bad in [
        String::new(),
        "x".to_owned(),
        format!("\"{id}\""),
        format!(" {id}"),
        format!("{id} "),
        format!("{id}\t"),
        format!("{id}="),
        format!("{}+", &id[1..]),
        format!("{id}{id}"),
        format!("={id}"),
        format!("{}%3D", &id[3..]),
        "é".repeat(16),
        "A".repeat(100_000),
    ] {
        // The next pair ends the value, because HTTP trims the end of a header.
        let header = format!("__Host-session={bad}; a=b");
        assert_eq!(read([header.as_bytes()]), (vec![], 1), "{bad:?}");
    }
    assert_eq!(read([&b"__Host-session=\xff\xfe\x80; \xff=\xff"[..]]), (vec![], 1));
    let header = [&b"\xff=\xc3\x28; __Host-session="[..], id.as_bytes()].concat();
    assert_eq!(read([&header[..]]).0.len(), 1);
}

#[test]
fn reading_one_id_allocates_nothing_writing_once() {
    let state = CookieConfig::new().lifetime(Lifetime::FollowSession).expires(true).build().unwrap();
    let usual = with_cookies([format!("a=b; __Host-session={}; c=d", text(1))]);
    // A malformed id and a second one are counted in one box.
    let further = with_cookies([
        format!("a=b; __Host-session={}; __Host-session=x", text(1)),
        format!("c=d; __Host-session={}", text(2)),
    ]);
    for (request, ids, allocations) in [(usual, 1, 0), (further, 2, 1)] {
        let reading = allocation_counter::measure(|| {
            assert_eq!(state.read(&request).iter().count(), ids);
        });
        assert_eq!(reading.count_total, allocations);
    }

    let mut response = HeaderMap::with_capacity(4);
    let writing = allocation_counter::measure(|| {
        state.write(&id(7), in_seconds(7_200), Persistence::Configured, NOW, &mut response).unwrap();
    });
    assert_eq!(writing.count_total, 1);
    assert_eq!(set_cookies(&response).concat().len() as u64, writing.bytes_total);
}
