//! Pagination cursors (`server/utilities/pagination`).
//!
//! A cursor names the item of a sorted list after which the next page begins. It contains no offset,
//! so that inserting or removing other items does not affect it, and refers to no state, so that any
//! replica can continue.

use crate::seal::{Keyring, NONCE_BYTES, TokenTooLarge};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carryall_types::ErrorObject;
use std::fmt;

/// The maximum length of a cursor, in bytes.
pub const MAX_CURSOR_BYTES: usize = 8 * 1024;

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 4;
const PURPOSE: &str = "cursor";

/// A position in a sorted list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The method of the list, for example `tools/list`.
    pub list: Box<str>,
    /// The key of the item before the position.
    pub after: Box<str>,
}

/// The cursor was not issued by this server, or not for this list: `-32602`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCursor;

impl fmt::Display for InvalidCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid cursor")
    }
}

impl std::error::Error for InvalidCursor {}

impl From<InvalidCursor> for ErrorObject {
    fn from(bad: InvalidCursor) -> Self {
        Self::invalid_params(bad.to_string())
    }
}

impl Cursor {
    /// Creates the position behind the item `after` of the list that the method `list` returns.
    pub fn new(list: impl Into<Box<str>>, after: impl Into<Box<str>>) -> Self {
        Self {
            list: list.into(),
            after: after.into(),
        }
    }

    /// Encodes the cursor as text. The checksum detects accidents, such as a cursor of another
    /// server. A forged cursor only starts a page elsewhere in a list that the client may read
    /// anyway; where that matters, [`seal`](Self::seal) it.
    ///
    /// # Errors
    /// When the item's key is too long for a cursor.
    pub fn encode(&self) -> Result<String, TokenTooLarge> {
        let mut raw = Vec::with_capacity(1 + self.after.len() + CHECK_BYTES);
        raw.push(VERSION);
        raw.extend_from_slice(self.after.as_bytes());
        raw.extend_from_slice(&self.checksum());
        bounded(URL_SAFE_NO_PAD.encode(raw))
    }

    /// Decodes a cursor for `list`.
    ///
    /// # Errors
    /// When it was not encoded for the same list.
    pub fn decode(list: &str, text: &str) -> Result<Self, InvalidCursor> {
        if text.len() > MAX_CURSOR_BYTES {
            return Err(InvalidCursor);
        }
        let raw = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let (body, check) = raw.split_last_chunk::<CHECK_BYTES>().ok_or(InvalidCursor)?;
        let Some((&VERSION, after)) = body.split_first() else {
            return Err(InvalidCursor);
        };
        let cursor = Self::new(list, std::str::from_utf8(after).map_err(|_| InvalidCursor)?);
        if cursor.checksum() == *check {
            Ok(cursor)
        } else {
            Err(InvalidCursor)
        }
    }

    /// Encodes the cursor as a sealed token, for lists whose keys are confidential or that differ
    /// between principals. `binding` identifies its owner.
    ///
    /// # Errors
    /// When the item's key is too long for a cursor.
    pub fn seal(
        &self,
        keyring: &Keyring,
        binding: &[u8],
        expires_at: u64,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<String, TokenTooLarge> {
        bounded(keyring.seal(
            PURPOSE,
            &bound(&self.list, binding),
            expires_at,
            nonce,
            self.after.as_bytes(),
        )?)
    }

    /// Opens a cursor that was [sealed](Self::seal) for the same list and binding.
    ///
    /// # Errors
    /// When the cursor is of another list, another principal, another keyring, expired or damaged.
    pub fn open(
        list: &str,
        keyring: &Keyring,
        binding: &[u8],
        now: u64,
        text: &str,
    ) -> Result<Self, InvalidCursor> {
        if text.len() > MAX_CURSOR_BYTES {
            return Err(InvalidCursor);
        }
        let after = keyring
            .open(PURPOSE, &bound(list, binding), now, text)
            .map_err(|_| InvalidCursor)?;
        String::from_utf8(after)
            .map(|after| Self::new(list, after))
            .map_err(|_| InvalidCursor)
    }

    /// FNV-1a over list and key, folded. It also ties the cursor to its list.
    fn checksum(&self) -> [u8; CHECK_BYTES] {
        let step =
            |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let start = [VERSION]
            .iter()
            .chain(self.list.as_bytes())
            .fold(0xcbf2_9ce4_8422_2325, step);
        let hash = [0].iter().chain(self.after.as_bytes()).fold(start, step);
        (((hash >> 32) ^ hash) as u32).to_be_bytes()
    }
}

fn bound(list: &str, binding: &[u8]) -> Vec<u8> {
    // No method has a NUL in its name, so the two parts cannot run into each other.
    [list.as_bytes(), b"\0", binding].concat()
}

fn bounded(text: String) -> Result<String, TokenTooLarge> {
    if text.len() > MAX_CURSOR_BYTES {
        Err(TokenTooLarge)
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::SealingKey;
    use proptest::prelude::*;

    fn cursor() -> Cursor {
        Cursor::new("tools/list", "add")
    }

    // spec: pagination-02
    #[test]
    fn a_cursor_names_an_item_and_so_survives_changes_of_the_list() {
        let text = cursor().encode().unwrap();
        let after = Cursor::decode("tools/list", &text).unwrap().after;
        let mut list = vec!["aaa", "add", "sub"];
        let rest = |list: &[&str]| list.iter().filter(|name| ***name > *after).count();
        assert_eq!(rest(&list), 1);
        list.insert(0, "a");
        assert_eq!(rest(&list), 1);
        list.retain(|name| *name != "add");
        assert_eq!(rest(&list), 1);
    }

    // spec: pagination-05
    #[test]
    fn anything_else_is_invalid_params() {
        let good = cursor().encode().unwrap();
        for bad in [
            "",
            "x",
            "====",
            "AQ",
            "not a cursor",
            "\u{e9}",
            &format!("{good}A"),
            &format!("{good}=="),
            &good[1..],
            &"A".repeat(MAX_CURSOR_BYTES + 4),
        ] {
            let error: ErrorObject = Cursor::decode("tools/list", bad).unwrap_err().into();
            assert_eq!(error.code, -32602, "{bad}");
        }
        assert_eq!(
            Cursor::decode("prompts/list", &good),
            Err(InvalidCursor),
            "another list"
        );
    }

    #[test]
    fn a_sealed_cursor_is_for_one_list_and_one_principal() {
        let ring = Keyring::new(SealingKey::new(1, [3; 32]));
        let text = cursor()
            .seal(&ring, b"alice", 10, [0; NONCE_BYTES])
            .unwrap();
        assert_eq!(
            Cursor::open("tools/list", &ring, b"alice", 9, &text),
            Ok(cursor())
        );
        assert_eq!(
            Cursor::open("tools/list", &ring, b"bob", 9, &text),
            Err(InvalidCursor)
        );
        assert_eq!(
            Cursor::open("prompts/list", &ring, b"alice", 9, &text),
            Err(InvalidCursor)
        );
        assert_eq!(
            Cursor::open("tools/list", &ring, b"alice", 10, &text),
            Err(InvalidCursor)
        );
        assert_eq!(Cursor::decode("tools/list", &text), Err(InvalidCursor));
        assert_eq!(
            Cursor::open(
                "tools/list",
                &ring,
                b"alice",
                9,
                &cursor().encode().unwrap()
            ),
            Err(InvalidCursor)
        );
    }

    #[test]
    fn size_is_bounded() {
        let long = Cursor::new("tools/list", "x".repeat(MAX_CURSOR_BYTES));
        assert!(long.encode().is_err());
        assert!(
            long.seal(
                &Keyring::new(SealingKey::new(1, [3; 32])),
                b"",
                1,
                [0; NONCE_BYTES]
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn every_key_comes_back(list in "[a-z/]{1,12}", after in "\\PC{0,40}") {
            let cursor = Cursor::new(list.clone(), after);
            prop_assert_eq!(Cursor::decode(&list, &cursor.encode().unwrap()), Ok(cursor));
        }

        #[test]
        fn accidents_are_noticed(at in 0usize..100, to in "[A-Za-z0-9_-]") {
            let good = cursor().encode().unwrap();
            let at = at % good.len();
            let mut bad = good.clone();
            bad.replace_range(at..=at, &to);
            prop_assert_eq!(Cursor::decode("tools/list", &bad).is_ok(), bad == good);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}|[A-Za-z0-9_-]{0,60}") {
            let _ = Cursor::decode("tools/list", &text);
        }
    }
}
