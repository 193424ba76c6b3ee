//! Signatures and seals of damaged content, as the old systems make them. No value of an IV or a salt matters here.

use ::aes::Aes256;
use ::cbc::cipher::block_padding::Pkcs7;
use ::cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _, StreamCipher as _};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, Payload};
use hmac::{KeyInit, Mac};

pub(crate) const NONCE: [u8; 12] = [5; 12];
pub(crate) const IV: [u8; 16] = [7; 16];

pub(crate) fn hmac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn sha1(text: &[u8]) -> Vec<u8> {
    <sha1::Sha1 as sha1::Digest>::digest(text).to_vec()
}

pub(crate) fn sha256(text: &[u8]) -> Vec<u8> {
    <sha2::Sha256 as sha2::Digest>::digest(text).to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn pbkdf2_sha1(secret: &[u8], salt: &str, rounds: u32, length: usize) -> Vec<u8> {
    let mut key = vec![0; length];
    pbkdf2::pbkdf2_hmac::<sha1::Sha1>(secret, salt.as_bytes(), rounds, &mut key);
    key
}

pub(crate) fn pbkdf2_sha256(secret: &[u8], salt: &str, rounds: u32, length: usize) -> Vec<u8> {
    let mut key = vec![0; length];
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(secret, salt.as_bytes(), rounds, &mut key);
    key
}

pub(crate) fn cbc(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let cipher = ::cbc::Encryptor::<Aes256>::new_from_slices(key, &IV).expect("32 bytes");
    cipher.encrypt_padded_vec::<Pkcs7>(plain)
}

pub(crate) fn ctr(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut sealed = plain.to_vec();
    let mut cipher = ::ctr::Ctr128BE::<Aes256>::new_from_slices(key, &IV).expect("32 bytes");
    cipher.apply_keystream(&mut sealed);
    sealed
}

/// The sealed bytes and the tag.
pub(crate) fn gcm(key: &[u8], plain: &[u8], about: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let cipher = <Aes256Gcm as aes_gcm::aead::KeyInit>::new_from_slice(key).expect("32 bytes");
    let payload = Payload { msg: plain, aad: about };
    let mut sealed = cipher.encrypt((&NONCE).into(), payload).expect("a short text");
    let tag = sealed.split_off(sealed.len() - 16);
    (sealed, tag)
}
