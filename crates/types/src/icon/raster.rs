//! Size and number of frames, read from the headers of PNG, JPEG and WebP.
//!
//! Every step takes at least one byte and `get` takes the place of indexing, so that any input ends
//! in a header or in `None`, in time proportional to its length.

/// The first eight bytes of every PNG.
pub(super) const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What the limits apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The largest width and height that anything in the file claims.
    pub(super) size: (u32, u32),
    /// The number of frames, 1 for a still image.
    pub(super) frames: u32,
}

/// PNG: `IHDR` first; `acTL` and `fcTL` make it an animation.
///
/// A decoder may believe the count in `acTL` or the frames it finds, so the larger of the two
/// counts.
pub(super) fn png(bytes: &[u8]) -> Option<Header> {
    let mut rest = bytes.strip_prefix(PNG_SIGNATURE)?;
    let mut size = None;
    let (mut announced, mut found) = (0, 0_u32);
    while !rest.is_empty() {
        let length = usize::try_from(be32(rest, 0)?).ok()?;
        let kind = rest.get(4..8)?;
        let data = rest.get(8..8_usize.checked_add(length)?)?;
        match kind {
            b"IHDR" if size.is_none() && length == 13 => {
                size = Some((be32(data, 0)?, be32(data, 4)?))
            }
            // Nothing else may come first, and there is one of it.
            b"IHDR" => return None,
            _ if size.is_none() => return None,
            b"acTL" => announced = announced.max(be32(data, 0)?),
            b"fcTL" => found = found.saturating_add(1),
            b"IEND" => {
                return size.map(|size| Header {
                    size,
                    frames: announced.max(found).max(1),
                });
            }
            _ => {}
        }
        // Length, type and checksum are four bytes each.
        rest = rest.get(length.checked_add(12)?..)?;
    }
    None
}

/// JPEG: the one start-of-frame segment, which precedes the first scan.
pub(super) fn jpeg(bytes: &[u8]) -> Option<Header> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    let mut size = None;
    loop {
        rest = rest.strip_prefix(&[0xff])?;
        let (&marker, after) = rest.split_first()?;
        match marker {
            // A fill byte: the next 0xff may already belong to the marker.
            0xff => continue,
            // Markers without a segment: TEM and the restarts.
            0x01 | 0xd0..=0xd7 => {
                rest = after;
                continue;
            }
            // Start of scan: the image data begins.
            0xda => return size.map(|size| Header { size, frames: 1 }),
            // End of image before any scan, a second start, or no marker at all.
            0x00 | 0xd8 | 0xd9 => return None,
            _ => {}
        }
        let length = usize::from(be16(after, 0)?);
        let segment = after.get(2..length)?;
        // SOF0 to SOF15, without the tables DHT, JPG and DAC that lie among them.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            if size.is_some() {
                return None;
            }
            size = Some((u32::from(be16(segment, 3)?), u32::from(be16(segment, 1)?)));
        }
        rest = after.get(length..)?;
    }
}

/// WebP: `VP8 `, `VP8L`, or `VP8X` followed by the chunks of an extended file.
pub(super) fn webp(bytes: &[u8]) -> Option<Header> {
    if !bytes.starts_with(b"RIFF") || bytes.get(8..12)? != b"WEBP" {
        return None;
    }
    let mut header = Header {
        size: (0, 0),
        frames: 0,
    };
    webp_chunks(bytes.get(12..)?, &mut header, false)?;
    header.frames = header.frames.max(1);
    (header.size != (0, 0)).then_some(header)
}

/// Walks chunks; those inside of an animation frame are images only, so that there is one level of
/// nesting.
fn webp_chunks(mut rest: &[u8], header: &mut Header, in_frame: bool) -> Option<()> {
    while rest.len() >= 8 {
        let length = usize::try_from(le32(rest, 4)?).ok()?;
        let data = rest.get(8..8_usize.checked_add(length)?)?;
        match rest.get(..4)? {
            b"VP8 " => grow(header, vp8_size(data)?),
            b"VP8L" => grow(header, vp8l_size(data)?),
            b"VP8X" if !in_frame => grow(
                header,
                (
                    le24(data, 4)?.checked_add(1)?,
                    le24(data, 7)?.checked_add(1)?,
                ),
            ),
            b"ANMF" if !in_frame => {
                header.frames = header.frames.saturating_add(1);
                grow(
                    header,
                    (
                        le24(data, 6)?.checked_add(1)?,
                        le24(data, 9)?.checked_add(1)?,
                    ),
                );
                webp_chunks(data.get(16..)?, header, true)?;
            }
            _ => {}
        }
        // Chunks are padded to an even length; the padding of the last one may be missing.
        let padded = length.checked_add(length % 2)?.checked_add(8)?;
        rest = rest.get(padded..).unwrap_or_default();
    }
    Some(())
}

fn grow(header: &mut Header, (width, height): (u32, u32)) {
    header.size = (header.size.0.max(width), header.size.1.max(height));
}

/// A lossy bitstream: three bytes of frame tag, the start code, then 14 bits each.
fn vp8_size(data: &[u8]) -> Option<(u32, u32)> {
    if data.get(3..6)? != [0x9d, 0x01, 0x2a] {
        return None;
    }
    Some((
        u32::from(le16(data, 6)? & 0x3fff),
        u32::from(le16(data, 8)? & 0x3fff),
    ))
}

/// A lossless bitstream: a signature byte, then width and height less one, 14 bits each.
fn vp8l_size(data: &[u8]) -> Option<(u32, u32)> {
    if data.first() != Some(&0x2f) {
        return None;
    }
    let bits = le32(data, 1)?;
    Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[a, b, c]: [u8; 3]| u32::from_le_bytes([a, b, c, 0]))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}
