//! The image and the sound of the demo.

use carryall::types::{Icon, ImageContent};

/// A small image of a bag.
pub(super) const LOGO: &[u8] = include_bytes!("../../assets/logo.png");

/// Returns the logo as an icon in a `data:` URI.
pub(super) fn icon() -> Icon {
    let encoded = ImageContent::from_bytes(LOGO, "image/png").data;
    Icon::new(format!("data:image/png;base64,{encoded}"))
        .with_mime_type("image/png")
        .with_sizes(vec!["32x32".into()])
}

/// Returns 0.2 s of a 440 Hz tone as WAV, mono, 8 bits.
pub(super) fn tone() -> Vec<u8> {
    const RATE: u32 = 8_000;
    const SAMPLES: u32 = RATE / 5;
    let mut wav = Vec::with_capacity(44 + SAMPLES as usize);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + SAMPLES).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    wav.extend_from_slice(&1_u16.to_le_bytes()); // PCM
    wav.extend_from_slice(&1_u16.to_le_bytes()); // one channel
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(&1_u16.to_le_bytes()); // bytes in a frame
    wav.extend_from_slice(&8_u16.to_le_bytes()); // bits in a sample
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&SAMPLES.to_le_bytes());
    wav.extend((0..SAMPLES).map(|i| {
        let phase = f64::from(i) * 440.0 * std::f64::consts::TAU / f64::from(RATE);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let sample = (128.0 + 60.0 * phase.sin()) as u8;
        sample
    }));
    wav
}
