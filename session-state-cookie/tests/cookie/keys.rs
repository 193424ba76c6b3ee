//! Key material.

use session_state_cookie::{ConfigError, KeyError, KeyRing, SecretKey};

use super::*;

/// Bytes that look random, and are the same in each run.
fn bytes(seed: u8, len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(seed) << 32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn weak_material_is_refused_by_reason() {
    let error = |bytes: &[u8]| SecretKey::from_bytes(bytes).unwrap_err();
    assert_eq!(error(&bytes(1, 31)), KeyError::Length { len: 31 });
    assert_eq!(error(&bytes(1, 1_025)), KeyError::Length { len: 1_025 });
    assert_eq!(error(b"correct horse battery staple correct horse"), KeyError::Text);
    assert_eq!(error("0123456789abcdef".repeat(4).as_bytes()), KeyError::Text, "hexadecimal was not decoded");
    for text in [
        "correct horse battery stäple correct",
        "пароль для всех сеансов",
        "令牌令牌令牌令牌令牌令牌",
        "k\n\tk\r\u{a0}a key of four or more lines",
    ] {
        assert_eq!(error(text.as_bytes()), KeyError::Text, "{text}");
    }
    assert_eq!(error(&[0; 32]), KeyError::NotRandom);
    assert_eq!(error(&bytes(1, 8).repeat(8)), KeyError::NotRandom, "repeated");
    assert_eq!(error(&(0..64).collect::<Vec<_>>()), KeyError::NotRandom, "counted");
    assert_eq!(error(&(0..64).map(|n| n * 3).collect::<Vec<u8>>()), KeyError::NotRandom, "counted by threes");
    let with_zeros = |count: usize| {
        let mut bytes = bytes(6, 64);
        assert!(!bytes.contains(&0));
        (0..count).for_each(|at| bytes[at * 7 % 64] = 0);
        bytes
    };
    assert_eq!(error(&with_zeros(17)), KeyError::NotRandom, "more than a quarter");
    assert!(SecretKey::from_bytes(&with_zeros(16)).is_ok());
    for len in [32, 33, 64, 1_024] {
        assert!(SecretKey::from_bytes(&bytes(2, len)).is_ok(), "{len}");
    }
}

/// The checks refuse once in 10^10 keys what a generator makes.
#[test]
fn random_keys_are_accepted_and_survive_text() {
    for _ in 0..20_000 {
        let key = SecretKey::generate().unwrap();
        assert_eq!(SecretKey::from_text(&key.to_text()), Ok(key));
    }
    for text in ["", "session-key-1:", "session-key-2:AAAA", "session-key-1:a=b", "AAAA"] {
        let error = SecretKey::from_text(text).unwrap_err();
        assert!(matches!(error, KeyError::Encoding | KeyError::Length { .. }), "{text}: {error}");
    }
}

#[test]
fn ring_comes_from_a_file_of_lines_or_bytes() {
    let keys: Vec<_> = (0..3).map(|_| SecretKey::generate().unwrap()).collect();
    let lines: Vec<_> = keys.iter().map(|key| key.to_text().to_string()).collect();
    let directory = std::env::temp_dir().join(format!("session-keys-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("keys");
    let read = |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        KeyRing::from_file(&file)
    };
    let text = format!("# newest\n{}\n\n  {}\r\n{}", lines[0], lines[1], lines[2]);
    assert_eq!(read(text.as_bytes()).unwrap().len(), 3);
    assert_eq!(read(&bytes(3, 32)).unwrap().len(), 1);
    assert_eq!(read(b"").unwrap_err(), KeyError::Length { len: 0 });
    assert_eq!(read(b"a passphrase that a person typed by hand").unwrap_err(), KeyError::Text);
    assert_eq!(read(format!("{0}\n{0}", lines[0]).as_bytes()).unwrap_err(), KeyError::Duplicate);
    assert_eq!(read(format!("{}\nno key", lines[0]).as_bytes()).unwrap_err(), KeyError::Encoding);
    for text in [
        &*lines[0],
        &lines.join("\r\n"),
        "a passphrase",
        "un mot de passe très long",
        "пароль для всех",
        "令牌。令牌令牌令牌令牌令牌",
    ] {
        let units = || "\u{feff}".encode_utf16().chain(text.encode_utf16());
        for file in [
            units().flat_map(u16::to_le_bytes).collect(),
            units().flat_map(u16::to_be_bytes).collect::<Vec<_>>(),
        ] {
            assert_eq!(read(&file).unwrap_err(), KeyError::Utf16, "{text}");
        }
    }
    // A random key may begin like a byte order mark.
    for mark in [[0xff, 0xfe], [0xfe, 0xff]] {
        assert_eq!(read(&[&mark[..], &bytes(7, 62)].concat()).unwrap().len(), 1);
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(KeyRing::from_file(&file).unwrap_err(), KeyError::Io(std::io::ErrorKind::NotFound));
    assert_eq!(KeyRing::from_text("# nothing\n").unwrap_err(), KeyError::Empty);
    let mut ring = KeyRing::new(SecretKey::generate().unwrap());
    for _ in 1..KeyRing::MAX_KEYS {
        ring = ring.and_older(SecretKey::generate().unwrap()).unwrap();
    }
    assert_eq!(ring.and_older(SecretKey::generate().unwrap()).unwrap_err(), KeyError::TooMany);
}

#[test]
fn signed_id_is_written_and_read_by_each_key_of_the_ring() {
    let [old, new] = [bytes(4, 32), bytes(5, 32)].map(|bytes| SecretKey::from_bytes(&bytes).unwrap());
    let state = |ring: &KeyRing| CookieConfig::new().build_signed(ring).unwrap();
    let only_old = KeyRing::new(old.clone());
    let both = KeyRing::new(new.clone()).and_older(old).unwrap();
    let header = written(&state(&only_old), None);
    let value = header.strip_prefix("__Host-session=").unwrap().strip_suffix(DEFAULTS).unwrap();
    assert_eq!((&value[..33], value.len()), (&*format!("{SEVENS}."), 55));
    let read = |ring: &KeyRing| {
        let found = state(ring).read(&with_cookies([format!("__Host-session={value}")]));
        (found.iter().copied().collect::<Vec<_>>(), found.malformed())
    };
    assert_eq!(read(&only_old), (vec![id(7)], 0));
    assert_eq!(read(&both), (vec![id(7)], 0));
    assert_eq!(read(&KeyRing::new(new.clone())), (vec![], 1), "a removed key revokes");
    assert_ne!(written(&state(&both), None), header, "the newest key signs");
    assert_eq!(written(&state(&both), None), written(&state(&KeyRing::new(new)), None));
    assert_eq!(erased(&state(&both)), format!("__Host-session={DEFAULTS}{GONE}"));
}

#[test]
fn name_of_a_signed_id_leaves_space_for_its_value() {
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    let config = |len| CookieConfig::new().name("n".repeat(len)).build_signed(&ring);
    let longest = 4_096 - 55;
    let line = written(&config(longest).unwrap(), None);
    assert_eq!(line.split(';').next().unwrap().len(), 4_096 + "=".len());
    assert_eq!(config(longest + 1).unwrap_err(), ConfigError::TooLarge { len: 4_097 });
}

/// A header of 8 KiB has space for a hundred values, and each signature costs a hash per key.
#[test]
fn signatures_of_the_first_four_values_are_checked() {
    let state = CookieConfig::new().build_signed(&KeyRing::new(SecretKey::generate().unwrap())).unwrap();
    let genuine = written(&state, None).split(';').next().unwrap().to_owned();
    let forged = format!("__Host-session={SEVENS}.{}", "A".repeat(22));
    let read = |cookies: &[&str]| {
        let (one, several) = (with_cookies([cookies.join("; ")]), with_cookies(cookies.iter().copied()));
        let [one, several] = [one, several].map(|request| {
            let found = state.read(&request);
            (found.iter().count(), found.malformed())
        });
        assert_eq!(one, several, "each in a header of its own");
        one
    };
    assert_eq!(read(&[&forged, "a=b", &forged, &forged, "a=b", &genuine]), (1, 3));
    assert_eq!(read(&[&forged, &forged, &forged, &forged, &genuine]), (0, 5));
    assert_eq!(read(&[&*genuine; 100]), (1, 96));
}

#[test]
fn former_cookie_names_a_session_only_if_a_key_signed_its_id() {
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    let old = || CookieConfig::new().name("sid").secure(false);
    let value_of = |state: &CookieState| {
        let mut response = HeaderMap::new();
        state.write(&id(7), None, Persistence::Configured, NOW, &mut response).unwrap();
        set_cookies(&response)[0].split_once(';').unwrap().0.split_once('=').unwrap().1.to_owned()
    };
    let signed = value_of(&old().build_signed(&ring).unwrap());
    let other = value_of(&old().build_signed(&KeyRing::new(SecretKey::generate().unwrap())).unwrap());
    let (plain, own) = (value_of(&old().build().unwrap()), CookieConfig::new().build_signed(&ring).unwrap());
    let state = CookieConfig::new().former(old()).build_signed(&ring).unwrap();
    for (cookies, found) in [
        (format!("sid={signed}"), 1),
        (format!("sid={plain}"), 0),
        (format!("sid={other}"), 0),
        (format!("__Host-session={}; sid={plain}", value_of(&own)), 1),
        // A signature is valid for the name of its cookie only.
        (format!("__Host-session={signed}"), 0),
        (format!("sid={}", value_of(&own)), 0),
    ] {
        let candidates = state.read(&with_cookies([cookies.as_str()]));
        assert_eq!(candidates.iter().count(), found, "{cookies}");
    }
    // A request costs at most four verifications over all names.
    let many = format!("__Host-session=a; __Host-session=b; sid=c; sid=d; sid={signed}");
    let candidates = state.read(&with_cookies([many.as_str()]));
    assert_eq!((candidates.iter().count(), candidates.malformed()), (0, 5));
}
