//! A minimal valid image and recording.

use carryall::types::{AudioContent, ContentBlock, ImageContent};

/// A PNG of one red pixel.
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\
    \0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\
    \0\0\0\x0cIDAT\x78\xda\x63\xf8\xcf\xc0\0\0\x03\x01\x01\0\xf7\x03\x41\x43\
    \0\0\0\0IEND\xaeB`\x82";

/// A WAV of two silent samples: mono, 8 kHz, 16 bits.
pub(crate) const WAV: &[u8] = b"RIFF\x28\0\0\0WAVE\
    fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0\
    data\x04\0\0\0\0\0\0\0";

pub(crate) fn image() -> ContentBlock {
    ContentBlock::Image(ImageContent::from_bytes(PNG, "image/png"))
}

pub(crate) fn audio() -> ContentBlock {
    ContentBlock::Audio(AudioContent::from_bytes(WAV, "audio/wav"))
}
