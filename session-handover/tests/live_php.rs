//! Sessions of random values, written by a real PHP: read, and written back. Skipped where `php` cannot be started.

use std::collections::HashMap;
use std::process::Command;

use base64::Engine as _;
use session_handover::php::{igbinary, msgpack, session, session::Handler};
use session_handover::{Bounds, Object, Value, notation};

/// Prints lines: a session as `php_serialize`, `php`, `php_binary`, igbinary and msgpack, in base64; `-` where PHP cannot.
const PROGRAM: &str = r#"
enum Suit: string { case Hearts = "h"; case Spades = "s"; }
class Outer { private $x = 1; protected $y = 2; public $z = 3; }
class Inner extends Outer { private $x = "own"; }
class Own { function __serialize(): array { return ["a" => 1, 7 => [Suit::Spades]]; } function __unserialize(array $d): void {} }
class Old implements Serializable { function serialize() { return "{raw;}"; } function unserialize($text) {} }
function value($depth) {
    $floats = [0.1, 1e15, 1e16, 1e17, 123456789012345678.0, 1e-4, 1e-5, 1.5e-7, -0.0, INF, -INF, NAN, M_PI, 1/3, 1e300, 5e-324, -2.5];
    switch (mt_rand(0, $depth > 0 ? 12 : 5)) {
        case 0: return null;
        case 1: return (bool) mt_rand(0, 1);
        case 2: return mt_rand(0, 3) ? mt_rand(-1000000, 1000000) : [PHP_INT_MIN, PHP_INT_MAX, 0, -1][mt_rand(0, 3)];
        case 3: return $floats[mt_rand(0, count($floats) - 1)];
        case 4: return random_bytes(mt_rand(1, 5));
        case 5: return "t\u{f6}|x;\"}" . mt_rand(0, 9);
        case 6: $list = []; for ($i = mt_rand(0, 4); $i > 0; $i--) $list[] = value($depth - 1); return $list;
        case 7:
            $map = [];
            for ($i = mt_rand(0, 4); $i > 0; $i--) $map[mt_rand(0, 1) ? mt_rand(-3, 3) : "k" . mt_rand(0, 9)] = value($depth - 1);
            return $map;
        case 9: return mt_rand(0, 1) ? Suit::Hearts : Suit::Spades;
        case 10: return new Inner;
        case 11: return new Own;
        case 12: return $depth > 2 ? new Old : 0;
        case 8: $object = new stdClass; $object->a = value($depth - 1); $object->{"x y"} = value($depth - 1); return $object;
    }
}
// Lengths and counts at which igbinary changes its codes, and depth.
function border($n) {
    $sizes = [0, 9, 10, 99, 100, 127, 128, 255, 256, 32767, 32768, 65535, 65536];
    $size = $sizes[$n % count($sizes)];
    $deep = "\u{4e16}"; for ($i = 0; $i < 55; $i++) $deep = mt_rand(0, 1) ? [$deep] : ["k\u{e9}\u{1f600}" => $deep];
    $numbers = [$size, -$size, $size + 0.5, -$size - 1, $size * 65536, PHP_INT_MAX - $size, PHP_INT_MIN + $size];
    return [str_repeat('x', $size), str_repeat("\u{e9}", $size) => $numbers, 'deep' => $deep,
        'many' => $size ? array_fill(-1, min($size, 300), $size) : []];
}
for ($n = 0; $n < 400; $n++) {
    $all = ['first' => value(3), 'b c' => value(3)];
    if ($n % 5 == 1) $all['border'] = border(intdiv($n, 5));
    if ($n % 4 == 0) $all['same'] = &$all['first'];
    if ($n % 4 == 0 || $n % 8 == 1) {
        $all['object'] = new stdClass;
        $all['again'] = $all['object'];
        $all['inner'] = [$all['object'], value(2)];
    }
    $php = $binary = '';
    if ($n % 4) foreach ($all as $name => $value) {
        $php .= $name . '|' . serialize($value);
        $binary .= chr(strlen($name)) . $name . serialize($value);
    }
    // References count over the whole session, so these two are made of sessions without them.
    $plain = $n % 4 && !preg_match('/[OCEr]:/', $php);
    $pack = function_exists('igbinary_serialize') ? base64_encode(igbinary_serialize($all)) : '-';
    // The numbers that msgpack writes after a reference are too low, and it cannot write an enumeration.
    $is_exact = $n % 4 && !preg_match('/E:\d/', $php) && function_exists('msgpack_pack');
    $msgpack = $is_exact ? base64_encode(msgpack_pack($all)) : '-';
    echo base64_encode(serialize($all)), ' ', $plain ? base64_encode($php) : '-', ' ', $plain ? base64_encode($binary) : '-', ' ', $pack, ' ', $msgpack, "\n";
}
"#;

/// The notation of a value without circles, in which each value stands in all its places.
fn apart(value: &Value) -> String {
    let mut known = HashMap::new();
    notation::write(&copied(value, &mut known))
}

fn copied(value: &Value, known: &mut HashMap<u32, Value>) -> Value {
    match value {
        Value::Shared(name, of) => {
            let of = copied(of, known);
            known.insert(*name, of.clone());
            of
        }
        Value::Same(name) => known[name].clone(),
        Value::List(items) => Value::List(items.iter().map(|item| copied(item, known)).collect()),
        Value::Map(entries) => Value::Map(pairs(entries, known)),
        Value::Object(object) => match &object.1 {
            Object::Fields(fields) => {
                let fields = Value::Map(pairs(fields, known));
                Value::List(vec![Value::Text(object.0.clone().into()), fields])
            }
            Object::Raw(bytes) => {
                Value::List(vec![Value::Text(object.0.clone().into()), Value::Bytes(bytes.clone())])
            }
            other => panic!("{other:?}"),
        },
        other => other.clone(),
    }
}

fn pairs(entries: &[(Value, Value)], known: &mut HashMap<u32, Value>) -> Vec<(Value, Value)> {
    entries.iter().map(|(key, value)| (key.clone(), copied(value, known))).collect()
}

#[test]
fn sessions_of_a_real_php_are_read_and_written() {
    let output = match Command::new("php").args(["-d", "error_reporting=0", "-r", PROGRAM]).output() {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!(
                "\x1b[31mSKIPPED: php could not be started ({error}); Debian's package is php-cli\x1b[0m"
            );
            return;
        }
    };
    let text = String::from_utf8(output).unwrap();
    let (mut written, mut packed, mut in_msgpack) = (0, 0, 0);
    for line in text.lines() {
        let columns: Vec<_> = line.split(' ').collect();
        let bytes = |column: usize| {
            let text = Some(columns[column]).filter(|text| *text != "-");
            text.map(|text| base64::engine::general_purpose::STANDARD.decode(text).unwrap())
        };
        let whole = bytes(0).unwrap();
        let bounds = Bounds::default();
        let value = session::read(Handler::PhpSerialize, &whole, &bounds)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&whole)));
        if let Ok(again) = session::write(Handler::PhpSerialize, &value) {
            assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&whole));
            written += 1;
        }
        for (column, handler) in [(1, Handler::Php), (2, Handler::PhpBinary)] {
            if let Some(bytes) = bytes(column) {
                let same = session::read(handler, &bytes, &bounds).unwrap();
                assert_eq!(notation::write(&same), notation::write(&value));
                assert_eq!(session::write(handler, &same).unwrap(), bytes);
            }
        }
        if let Some(bytes) = bytes(3) {
            let same = igbinary::read_session(&bytes, &bounds).unwrap();
            // igbinary writes equal arrays once.
            assert_eq!(apart(&same), apart(&value), "{}", String::from_utf8_lossy(&whole));
            packed += 1;
        }
        if let Some(bytes) = bytes(4) {
            let same = msgpack::read_session(&bytes, &bounds).unwrap();
            assert_eq!(apart(&same), apart(&value), "{}", String::from_utf8_lossy(&whole));
            in_msgpack += 1;
        }
    }
    assert!(written > 60, "{written} of {} sessions were written", text.lines().count());
    eprintln!("{written} sessions written back, {packed} read as igbinary, {in_msgpack} as msgpack");
}
