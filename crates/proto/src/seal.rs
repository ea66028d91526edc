//! Seals state that travels through clients: encrypted, authenticated, bound to its purpose and
//! owner, with an expiry (`basic/patterns/mrtr#server-requirements-basic-workflow`).
//!
//! A token is `c1.` and the Base64url of `key id (4) | nonce (24) | ciphertext`. The ciphertext
//! holds the expiry and the payload; purpose and binding are authenticated but not carried.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use std::fmt;
use std::str::FromStr;

/// The maximum length of a token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The length of a nonce, in bytes: long enough that random nonces do not collide.
pub const NONCE_BYTES: usize = 24;

const VERSION: &str = "c1.";
const KEY_ID_BYTES: usize = 4;
const EXPIRY_BYTES: usize = 8;
const TAG_BYTES: usize = 16;

/// A secret key and the number that identifies it on all replicas.
#[derive(Clone)]
pub struct SealingKey {
    id: u32,
    cipher: XChaCha20Poly1305,
}

impl SealingKey {
    /// Creates a key from 32 secret random bytes.
    #[must_use]
    pub fn new(id: u32, secret: [u8; 32]) -> Self {
        Self {
            id,
            cipher: XChaCha20Poly1305::new(&secret.into()),
        }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// The keys of all replicas: one seals, the older ones still open.
///
/// To rotate, first give the new key to every replica for opening, then let it seal, then drop the
/// old one when the last token under it has expired.
#[derive(Clone, Debug)]
pub struct Keyring {
    sealing: SealingKey,
    opening: Vec<SealingKey>,
}

/// The payload is too large for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTooLarge;

impl fmt::Display for TokenTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the state does not fit into a token of {MAX_TOKEN_BYTES} bytes"
        )
    }
}

impl std::error::Error for TokenTooLarge {}

/// The token could not be opened. The reason is withheld on purpose: tampered, expired, sealed for
/// another purpose, binding or by an unknown key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenError;

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token is not valid here")
    }
}

impl std::error::Error for OpenError {}

impl Keyring {
    /// Creates a keyring with one key, which seals and opens.
    #[must_use]
    pub fn new(sealing: SealingKey) -> Self {
        Self {
            sealing,
            opening: Vec::new(),
        }
    }

    /// Adds a key that opens tokens.
    #[must_use]
    pub fn with_opening(mut self, key: SealingKey) -> Self {
        self.opening.push(key);
        self
    }

    /// Seals `plaintext` until `expires_at` (seconds since the epoch). Only the same `purpose` and
    /// `binding` open it: a purpose is a constant of the caller ("request-state", "cursor"), a
    /// binding says whose it is and of which request. The nonce must be fresh random bytes.
    ///
    /// # Errors
    /// When the token would exceed [`MAX_TOKEN_BYTES`].
    pub fn seal(
        &self,
        purpose: &str,
        binding: &[u8],
        expires_at: u64,
        nonce: [u8; NONCE_BYTES],
        plaintext: &[u8],
    ) -> Result<String, TokenTooLarge> {
        let length = KEY_ID_BYTES + NONCE_BYTES + EXPIRY_BYTES + plaintext.len() + TAG_BYTES;
        if VERSION.len() + length.div_ceil(3) * 4 > MAX_TOKEN_BYTES {
            return Err(TokenTooLarge);
        }
        let mut inner = Vec::with_capacity(EXPIRY_BYTES + plaintext.len());
        inner.extend_from_slice(&expires_at.to_be_bytes());
        inner.extend_from_slice(plaintext);
        let key = &self.sealing;
        let aad = associated(key.id, purpose, binding);
        let sealed = key
            .cipher
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: &inner,
                    aad: &aad,
                },
            )
            .map_err(|_| TokenTooLarge)?;
        let mut raw = Vec::with_capacity(length);
        raw.extend_from_slice(&key.id.to_be_bytes());
        raw.extend_from_slice(&nonce);
        raw.extend_from_slice(&sealed);
        let mut token = String::from(VERSION);
        URL_SAFE_NO_PAD.encode_string(&raw, &mut token);
        Ok(token)
    }

    /// Opens a token at `now` (seconds since the epoch).
    ///
    /// # Errors
    /// [`OpenError`], whatever is wrong with it.
    pub fn open(
        &self,
        purpose: &str,
        binding: &[u8],
        now: u64,
        token: &str,
    ) -> Result<Vec<u8>, OpenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(OpenError);
        }
        let encoded = token.strip_prefix(VERSION).ok_or(OpenError)?;
        let raw = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| OpenError)?;
        let (id, rest) = raw.split_first_chunk::<KEY_ID_BYTES>().ok_or(OpenError)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
        let id = u32::from_be_bytes(*id);
        let aad = associated(id, purpose, binding);
        let inner = self
            .keys(id)
            .find_map(|key| {
                key.cipher
                    .decrypt(
                        &XNonce::from(*nonce),
                        Payload {
                            msg: sealed,
                            aad: &aad,
                        },
                    )
                    .ok()
            })
            .ok_or(OpenError)?;
        let (expiry, plaintext) = inner.split_first_chunk::<EXPIRY_BYTES>().ok_or(OpenError)?;
        if now >= u64::from_be_bytes(*expiry) {
            return Err(OpenError);
        }
        Ok(plaintext.to_vec())
    }

    /// Returns the keys with this number. Nearly always there is at most one; two operators may have
    /// chosen the same number.
    fn keys(&self, id: u32) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.sealing)
            .chain(&self.opening)
            .filter(move |key| key.id == id)
    }
}

/// The text of a keyring: a line `NUMBER HEX` for each key, of 64 hexadecimal digits. The first key
/// seals, all of them open. Empty lines and lines that begin with `#` do not count.
impl FromStr for Keyring {
    type Err = InvalidKeyring;

    fn from_str(text: &str) -> Result<Self, InvalidKeyring> {
        let lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim()));
        let mut keys = lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(at, line)| {
                let (id, secret) = line
                    .split_once(char::is_whitespace)
                    .ok_or(InvalidKeyring::Line(at))?;
                let id = id.parse().map_err(|_| InvalidKeyring::Line(at))?;
                Ok(SealingKey::new(
                    id,
                    secret_of(secret.trim()).ok_or(InvalidKeyring::Line(at))?,
                ))
            });
        let sealing = keys.next().ok_or(InvalidKeyring::Empty)??;
        keys.try_fold(Self::new(sealing), |ring, key| Ok(ring.with_opening(key?)))
    }
}

fn secret_of(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    let mut secret = [0; 32];
    if digits.len() != 2 * secret.len() {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(secret)
}

/// Why text is not a valid keyring. The text is not included, because it contains secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidKeyring {
    /// There is no key in it.
    Empty,
    /// This line, counted from 1, is not `NUMBER HEX` with 64 hexadecimal digits.
    Line(usize),
}

impl fmt::Display for InvalidKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the keyring contains no key"),
            Self::Line(at) => write!(
                f,
                "line {at} is not `NUMBER HEX` with 64 hexadecimal digits"
            ),
        }
    }
}

impl std::error::Error for InvalidKeyring {}

/// Returns the associated data of a token, each part prefixed with its length, so that different
/// parts never give the same data.
fn associated(id: u32, purpose: &str, binding: &[u8]) -> Vec<u8> {
    let mut aad = Vec::with_capacity(32 + purpose.len() + binding.len());
    aad.extend_from_slice(b"carryall");
    aad.extend_from_slice(VERSION.as_bytes());
    aad.extend_from_slice(&id.to_be_bytes());
    for part in [purpose.as_bytes(), binding] {
        aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
        aad.extend_from_slice(part);
    }
    aad
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

    fn ring(id: u32, secret: u8) -> Keyring {
        Keyring::new(SealingKey::new(id, [secret; 32]))
    }

    fn token() -> String {
        ring(1, 1)
            .seal("state", b"alice|tools/call", 100, NONCE, b"step 2")
            .unwrap()
    }

    // spec: mrtr-09
    #[test]
    fn a_token_opens_on_every_replica_with_the_key_and_hides_its_content() {
        assert!(token().starts_with("c1."));
        let raw = URL_SAFE_NO_PAD.decode(&token()[3..]).unwrap();
        assert!(!raw.windows(6).any(|window| window == b"step 2"));
        assert_eq!(
            ring(1, 1)
                .open("state", b"alice|tools/call", 99, &token())
                .unwrap(),
            b"step 2"
        );
    }

    // spec: mrtr-12, mrtr-14
    #[test]
    fn another_purpose_principal_or_request_does_not_open_it() {
        for (purpose, binding) in [
            ("cursor", &b"alice|tools/call"[..]),
            ("state", b"bob|tools/call"),
            ("state", b"alice|prompts/get"),
            ("statea", b"lice|tools/call"),
            ("state", b""),
        ] {
            assert_eq!(
                ring(1, 1).open(purpose, binding, 0, &token()),
                Err(OpenError)
            );
        }
    }

    // spec: mrtr-13
    #[test]
    fn it_expires() {
        assert!(
            ring(1, 1)
                .open("state", b"alice|tools/call", 99, &token())
                .is_ok()
        );
        for now in [100, 101, u64::MAX] {
            assert_eq!(
                ring(1, 1).open("state", b"alice|tools/call", now, &token()),
                Err(OpenError)
            );
        }
    }

    // spec: mrtr-08, mrtr-10
    #[test]
    fn tampered_foreign_and_malformed_tokens_are_refused() {
        let good = token();
        for bad in [
            "",
            "c1.",
            "c1",
            "c2.AAAA",
            "c1.AAAA",
            "c1.!!!!",
            &format!("{good}-TAMPERED"),
            &format!("{good}="),
            &good[3..],
            &good[..good.len() - 1],
        ] {
            assert_eq!(
                ring(1, 1).open("state", b"alice|tools/call", 0, bad),
                Err(OpenError),
                "{bad}"
            );
        }
        assert_eq!(
            ring(1, 2).open("state", b"alice|tools/call", 0, &good),
            Err(OpenError),
            "other secret"
        );
        assert_eq!(
            ring(2, 1).open("state", b"alice|tools/call", 0, &good),
            Err(OpenError),
            "other number"
        );
    }

    #[test]
    fn keys_rotate() {
        let rotated = ring(2, 2).with_opening(SealingKey::new(1, [1; 32]));
        assert!(
            rotated
                .open("state", b"alice|tools/call", 0, &token())
                .is_ok()
        );
        let new = rotated.seal("state", b"", 1, NONCE, b"x").unwrap();
        assert!(ring(2, 2).open("state", b"", 0, &new).is_ok());
        assert_eq!(ring(1, 1).open("state", b"", 0, &new), Err(OpenError));
    }

    #[test]
    fn a_keyring_is_read_from_text_and_errors_name_the_line_alone() {
        let line = |id: u32, byte: u8| format!("{id} {}\n", format!("{byte:02x}").repeat(32));
        let text = format!("# new first\n{}\n{}", line(2, 2), line(1, 1));
        let read: Keyring = text.parse().unwrap();
        assert!(
            read.open("state", b"alice|tools/call", 0, &token()).is_ok(),
            "the older key opens"
        );
        let sealed = read.seal("state", b"", 1, NONCE, b"x").unwrap();
        assert!(
            ring(2, 2).open("state", b"", 0, &sealed).is_ok(),
            "the first key seals"
        );
        assert_eq!(
            "# none\n".parse::<Keyring>().unwrap_err(),
            InvalidKeyring::Empty
        );
        for bad in [
            "1",
            "x 00",
            "1 00",
            &line(1, 1).replace("01", "0g"),
            &format!("{}00", line(1, 1).trim()),
        ] {
            assert_eq!(
                bad.parse::<Keyring>().unwrap_err(),
                InvalidKeyring::Line(1),
                "{bad}"
            );
        }
    }

    #[test]
    fn size_is_bounded_and_secrets_are_not_printed() {
        let largest = (MAX_TOKEN_BYTES - VERSION.len()) / 4 * 3
            - KEY_ID_BYTES
            - NONCE_BYTES
            - EXPIRY_BYTES
            - TAG_BYTES;
        let sealed = ring(1, 1)
            .seal("p", b"", 1, NONCE, &vec![0; largest])
            .unwrap();
        assert!(sealed.len() <= MAX_TOKEN_BYTES);
        assert_eq!(
            ring(1, 1).open("p", b"", 0, &sealed).unwrap().len(),
            largest
        );
        assert_eq!(
            ring(1, 1).seal("p", b"", 1, NONCE, &vec![0; largest + 3]),
            Err(TokenTooLarge)
        );
        assert_eq!(
            format!("{:?}", ring(9, 200)),
            "Keyring { sealing: SealingKey(9), opening: [] }"
        );
    }

    proptest! {
        #[test]
        fn one_changed_character_is_enough(at in 0usize..1000, to in "[A-Za-z0-9_.-]") {
            let good = token();
            let at = at % good.len();
            let mut bad = good.clone();
            bad.replace_range(at..=at, &to);
            prop_assert_eq!(ring(1, 1).open("state", b"alice|tools/call", 0, &bad).is_ok(), bad == good);
        }

        #[test]
        fn any_state_comes_back(state in proptest::collection::vec(any::<u8>(), 0..200), nonce: [u8; NONCE_BYTES], binding in "\\PC{0,20}") {
            let token = ring(1, 1).seal("s", binding.as_bytes(), 10, nonce, &state).unwrap();
            prop_assert_eq!(ring(1, 1).open("s", binding.as_bytes(), 0, &token), Ok(state));
        }
    }
}
