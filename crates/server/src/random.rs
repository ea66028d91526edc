//! Random bytes, and names that cannot be guessed.

use getrandom::Error;

/// The bytes of a name.
const NAME_BYTES: usize = 20;
/// The length of a name, in characters.
pub(crate) const NAME_LENGTH: usize = NAME_BYTES * 2;

/// Returns random bytes, for a nonce or a key.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Returns 160 random bits as hexadecimal digits.
pub(crate) fn name() -> Result<String, Error> {
    Ok(bytes::<NAME_BYTES>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
