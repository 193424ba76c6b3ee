//! Nested values of all serde shapes with each codec: accepted values are read back equal, all others are `Encode`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use session_manager::{Codec, ErrorKind, Session};

/// A tree of serde's shapes.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Shape {
    Unit,
    Number(f64),
    Small(f32),
    Wide(i128),
    Text(String),
    Letter(char),
    Address(IpAddr),
    Maybe(Option<Box<Shape>>),
    Twice(Option<Option<u8>>),
    Nothing(Option<()>),
    List(Vec<Shape>),
    Pair(Box<Shape>, (u8, bool)),
    Keys(BTreeMap<i16, Shape>),
    Names(BTreeMap<String, Shape>),
    Tagged(Tagged),
    Adjacent(Box<Adjacent>),
    Loose(Loose),
    Flat {
        id: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, Shape>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Empty,
    Struct { at: IpAddr, inner: Box<Shape> },
    Map(BTreeMap<String, Shape>),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Empty,
    New(Shape),
    Struct { a: Shape, b: Option<u64> },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    List(Vec<Shape>),
    Struct { inner: Box<Shape> },
    Text(String),
}

fn shape() -> impl Strategy<Value = Shape> {
    let float = prop_oneof![4 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)];
    let leaf = prop_oneof![
        Just(Shape::Unit),
        float.prop_map(Shape::Number),
        any::<f32>().prop_map(Shape::Small),
        any::<i128>().prop_map(Shape::Wide),
        "\\PC{0,5}".prop_map(Shape::Text),
        any::<char>().prop_map(Shape::Letter),
        any::<IpAddr>().prop_map(Shape::Address),
        any::<Option<Option<u8>>>().prop_map(Shape::Twice),
        any::<Option<()>>().prop_map(Shape::Nothing),
        Just(Shape::Tagged(Tagged::Empty)),
        Just(Shape::Adjacent(Box::new(Adjacent::Empty))),
        "[a-z]{0,3}".prop_map(|text| Shape::Loose(Loose::Text(text))),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let names = prop::collection::btree_map("kind|id|[a-c]", inner.clone(), 0..3);
        let list = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            prop::option::of(boxed.clone()).prop_map(Shape::Maybe),
            list.clone().prop_map(Shape::List),
            (boxed.clone(), any::<(u8, bool)>()).prop_map(|(a, b)| Shape::Pair(a, b)),
            prop::collection::btree_map(any::<i16>(), inner.clone(), 0..3).prop_map(Shape::Keys),
            names.clone().prop_map(Shape::Names),
            (any::<IpAddr>(), boxed.clone())
                .prop_map(|(at, inner)| Shape::Tagged(Tagged::Struct { at, inner })),
            names.clone().prop_map(|map| Shape::Tagged(Tagged::Map(map))),
            inner.clone().prop_map(|it| Shape::Adjacent(Box::new(Adjacent::New(it)))),
            (inner, any::<Option<u64>>())
                .prop_map(|(a, b)| Shape::Adjacent(Box::new(Adjacent::Struct { a, b }))),
            list.prop_map(|list| Shape::Loose(Loose::List(list))),
            boxed.prop_map(|inner| Shape::Loose(Loose::Struct { inner })),
            (any::<u8>(), names).prop_map(|(id, rest)| Shape::Flat { id, rest }),
        ]
    })
}

/// Whether MessagePack refuses it even where it is decoded again. 128-bit integers are not asked for.
fn is_ambiguous(shape: &Shape) -> bool {
    let any = |map: &BTreeMap<String, Shape>, name| map.contains_key(name) || map.values().any(is_ambiguous);
    match shape {
        Shape::Twice(Some(None)) | Shape::Nothing(Some(())) => true,
        Shape::Maybe(Some(inner)) | Shape::Pair(inner, _) => is_ambiguous(inner),
        Shape::List(list) | Shape::Loose(Loose::List(list)) => list.iter().any(is_ambiguous),
        Shape::Keys(map) => map.values().any(is_ambiguous),
        Shape::Names(map) => map.values().any(is_ambiguous),
        Shape::Tagged(Tagged::Map(map)) => any(map, "kind"),
        Shape::Flat { rest, .. } => any(rest, "id"),
        Shape::Tagged(Tagged::Struct { inner, .. }) | Shape::Loose(Loose::Struct { inner }) => {
            is_ambiguous(inner)
        }
        Shape::Adjacent(inner) => match &**inner {
            Adjacent::New(it) | Adjacent::Struct { a: it, .. } => is_ambiguous(it),
            Adjacent::Empty => false,
        },
        _ => false,
    }
}

fn has_wide(text: &str) -> bool {
    text.contains("Wide(")
}

fn is_read_back(session: &Session, shape: &Shape, codec: Codec) -> Result<bool, TestCaseError> {
    let plain = session.insert_as("value", shape, codec);
    let checked = session.insert_checked("value", shape, Some(codec));
    for refused in [&plain, &checked].into_iter().filter_map(|answer| answer.as_ref().err()) {
        prop_assert_eq!(refused.kind(), ErrorKind::Encode);
    }
    prop_assert!(plain.is_err() || checked.is_ok());
    if checked.is_ok() {
        let read = session.get::<Shape>("value").unwrap();
        prop_assert_eq!(format!("{:?}", Some(shape)), format!("{read:?}"), "{:?}", codec);
    }
    Ok(plain.is_ok())
}

#[test]
fn accepted_shapes_are_read_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (_, sessions, _) = super::fresh();
    let session = runtime.block_on(sessions.load(None)).unwrap();
    proptest!(ProptestConfig::with_cases(2_000), |(shape in shape())| {
        let text = format!("{shape:?}");
        let accepted = is_read_back(&session, &shape, Codec::MessagePack)?;
        prop_assert_eq!(accepted, !is_ambiguous(&shape) && !has_wide(&text));
        let odd = ["Keys({", "NaN", "inf"].iter().any(|part| text.contains(part));
        let json = is_read_back(&session, &shape, Codec::Json)?;
        prop_assert!(json == accepted || odd && !json);
        prop_assert!(!is_read_back(&session, &shape, Codec::Bincode)?);
    });
}

#[test]
fn json_floats_are_read_back_to_the_last_bit() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (_, sessions, _) = super::fresh();
    let session = runtime.block_on(sessions.load(None)).unwrap();
    proptest!(ProptestConfig::with_cases(20_000), |(bits in any::<u64>(), small in any::<u32>())| {
        let (float, small) = (f64::from_bits(bits), f32::from_bits(small));
        prop_assume!(float.is_finite() && small.is_finite());
        session.insert_as("value", &(float, small), Codec::Json).unwrap();
        let read: (f64, f32) = session.get("value").unwrap().unwrap();
        prop_assert_eq!((read.0.to_bits(), read.1.to_bits()), (bits, small.to_bits()));
    });
}
