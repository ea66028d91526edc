//! What nobody can guess.

use getrandom::Error;

/// Bytes of a name.
const NAME_BYTES: usize = 20;
/// How long a name is, in characters.
pub(crate) const NAME_LENGTH: usize = NAME_BYTES * 2;

/// Random bytes, for a nonce or a key.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// 160 bits in hexadecimal digits: the name of something that only its owner knows.
pub(crate) fn name() -> Result<String, Error> {
    Ok(bytes::<NAME_BYTES>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
