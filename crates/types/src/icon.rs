//! What a client checks before it shows an icon of a server (`basic/index#icons`).
//!
//! An icon is text and bytes from somebody else: the address may lead to a third party or into the
//! local network, the type may be a lie, the image may be a bomb or a program. [`IconPolicy`]
//! decides about the address before anything is fetched ([`IconPolicy::check`],
//! [`IconPolicy::plan`]) and about the bytes before anything is decoded
//! ([`IconPolicy::check_bytes`]). It does neither of the two itself.

mod raster;
mod svg;

use crate::Icon;
use crate::weburl::WebUrl;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Icons are fetched without cookies, `Authorization` or any other credential of the user, the
/// client or the MCP connection (`basic/index#icons`). A [`FetchPlan`] therefore names every header
/// there is to send.
pub const FETCH_WITHOUT_CREDENTIALS: bool = true;

/// The `Accept` header of an icon fetch.
const ACCEPT: &str = "image/png, image/jpeg, image/webp";
const ACCEPT_WITH_SVG: &str = "image/png, image/jpeg, image/webp, image/svg+xml";

/// Which icons a client puts up with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IconPolicy {
    /// The most bytes an icon may have.
    pub max_bytes: usize,
    /// The most pixels an icon may have on each side.
    pub max_side: u32,
    /// The most frames an animated icon may have.
    pub max_frames: u32,
    /// Whether SVG is accepted, without scripts, foreign content and references to the outside.
    pub allow_svg: bool,
    /// Origins, such as `https://cdn.example.com`, that may serve icons beside the server itself.
    pub trusted_origins: Vec<String>,
}

impl Default for IconPolicy {
    fn default() -> Self {
        Self {
            max_bytes: 256 * 1024,
            max_side: 1024,
            max_frames: 60,
            allow_svg: false,
            trusted_origins: Vec::new(),
        }
    }
}

/// A type of image that can be an icon. The list is closed: whatever is not on it is refused, GIF
/// included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IconKind {
    /// `image/png`, animated or not.
    Png,
    /// `image/jpeg`, also called `image/jpg`.
    Jpeg,
    /// `image/webp`, animated or not.
    Webp,
    /// `image/svg+xml`.
    Svg,
}

impl IconKind {
    /// The kind that a MIME type stands for. Parameters and upper case make no difference.
    #[must_use]
    pub fn from_mime(mime: &str) -> Option<Self> {
        let essence = mime.split(';').next().unwrap_or_default().trim();
        let kinds = [
            ("image/png", Self::Png),
            ("image/jpeg", Self::Jpeg),
            ("image/jpg", Self::Jpeg),
            ("image/webp", Self::Webp),
            ("image/svg+xml", Self::Svg),
        ];
        kinds
            .into_iter()
            .find(|(name, _)| essence.eq_ignore_ascii_case(name))
            .map(|(_, kind)| kind)
    }

    /// The MIME type.
    #[must_use]
    pub fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Svg => "image/svg+xml",
        }
    }

    /// The kind that `bytes` begin like, whatever anybody says they are.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(raster::PNG_SIGNATURE) {
            Some(Self::Png)
        } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Self::Webp)
        } else if svg::looks_like_svg(bytes) {
            Some(Self::Svg)
        } else {
            None
        }
    }
}

/// What the header of an image says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IconFacts {
    /// The type of the image, found in its bytes.
    pub kind: IconKind,
    /// Width and height in pixels; `None` for SVG, which has no size of its own.
    pub size: Option<(u32, u32)>,
    /// The number of frames; 1 unless animated.
    pub frames: u32,
}

/// Why an icon is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IconProblem {
    /// The address is neither `https:` nor `data:`.
    Scheme,
    /// The address is malformed; says how.
    Address(String),
    /// The address belongs neither to the server nor to a trusted origin.
    Origin,
    /// The declared MIME type is not one of an icon.
    MimeType(String),
    /// The bytes are of none of the types an icon may have.
    UnknownKind,
    /// The bytes are of another type than declared.
    Mismatch {
        /// The type that was declared.
        declared: IconKind,
        /// The type that the bytes have.
        found: IconKind,
    },
    /// The image has too many bytes.
    TooManyBytes,
    /// The image has too many pixels on a side.
    TooLarge {
        /// Width and height in pixels.
        size: (u32, u32),
    },
    /// The image has too many frames.
    TooManyFrames(u32),
    /// The image cannot be read far enough to know its size.
    Malformed,
    /// The policy does not allow SVG.
    SvgNotAllowed,
    /// The SVG contains something that could do more than draw; says what.
    UnsafeSvg(String),
}

impl fmt::Display for IconProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("the icon address is neither https: nor data:"),
            Self::Address(how) => write!(f, "the icon address is malformed: {how}"),
            Self::Origin => f.write_str("the icon is not served by the origin of the server"),
            Self::MimeType(mime) => write!(f, "{mime:?} is not a type of icon"),
            Self::UnknownKind => f.write_str("the bytes are not those of a known type of icon"),
            Self::Mismatch { declared, found } => {
                write!(
                    f,
                    "declared as {}, but the bytes are {}",
                    declared.mime(),
                    found.mime()
                )
            }
            Self::TooManyBytes => f.write_str("the icon has too many bytes"),
            Self::TooLarge {
                size: (width, height),
            } => write!(f, "{width}x{height} pixels are too many for an icon"),
            Self::TooManyFrames(frames) => write!(f, "{frames} frames are too many for an icon"),
            Self::Malformed => f.write_str("the image is malformed"),
            Self::SvgNotAllowed => f.write_str("SVG icons are not allowed"),
            Self::UnsafeSvg(what) => write!(f, "the SVG may do more than draw: {what}"),
        }
    }
}

impl std::error::Error for IconProblem {}

/// Everything that is to be sent to fetch one icon; see [`FETCH_WITHOUT_CREDENTIALS`].
///
/// Send these headers and no others, from a client without a cookie jar. Stop reading after
/// `max_bytes`. Do not follow redirects on your own: ask [`Self::redirect`] about each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPlan {
    /// The address.
    pub url: String,
    /// Every header, which is `accept` alone.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The most bytes to read.
    pub max_bytes: usize,
}

impl FetchPlan {
    /// The plan for the absolute address `to` that the fetch was redirected to.
    ///
    /// # Errors
    /// [`IconProblem::Origin`] when the redirect changes the scheme or the origin.
    pub fn redirect(&self, to: &str) -> Result<Self, IconProblem> {
        if !redirect_allowed(&self.url, to) {
            return Err(IconProblem::Origin);
        }
        Ok(Self {
            url: to.to_owned(),
            ..self.clone()
        })
    }
}

/// Whether a fetch of `from` may go on to the absolute address `to`: `https` both, and one origin
/// (`basic/index#icons`).
#[must_use]
pub fn redirect_allowed(from: &str, to: &str) -> bool {
    match (WebUrl::parse(from), WebUrl::parse(to)) {
        (Ok(from), Ok(to)) => from.secure && from == to,
        _ => false,
    }
}

impl IconPolicy {
    /// Checks the address and the declared type of an icon, before anything is fetched.
    ///
    /// `server_origin` is the address of the server, or any address on its origin. A server without
    /// one (over stdio, say) has no origin that an icon could share, so that `data:` and trusted
    /// origins remain.
    ///
    /// # Errors
    /// The first reason to refuse the icon.
    pub fn check(&self, icon: &Icon, server_origin: Option<&str>) -> Result<(), IconProblem> {
        if let Some(mime) = &icon.mime_type {
            self.kind_of(mime)?;
        }
        if has_scheme(&icon.src, "data:") {
            let (mime, encoded) = self.split_data(&icon.src)?;
            if let (Some(mime), Some(declared)) = (mime, &icon.mime_type) {
                let (found, declared) = (self.kind_of(mime)?, self.kind_of(declared)?);
                if found != declared {
                    return Err(IconProblem::Mismatch { declared, found });
                }
            }
            return mime
                .map_or(Ok(()), |mime| self.kind_of(mime).map(drop))
                .and(check_base64_len(encoded, self.max_bytes));
        }
        if !has_scheme(&icon.src, "https:") {
            return Err(IconProblem::Scheme);
        }
        let url = WebUrl::parse(&icon.src).map_err(|how| IconProblem::Address(how.to_string()))?;
        let origins = server_origin
            .into_iter()
            .chain(self.trusted_origins.iter().map(String::as_str));
        let same = origins
            .filter_map(|origin| WebUrl::parse(origin).ok())
            .any(|origin| origin == url);
        if same {
            Ok(())
        } else {
            Err(IconProblem::Origin)
        }
    }

    /// How to fetch an icon, once [`Self::check`] accepts it. `None` for a `data:` icon, which
    /// holds its bytes; see [`Self::decode_data`].
    ///
    /// # Errors
    /// The first reason to refuse the icon.
    pub fn plan(
        &self,
        icon: &Icon,
        server_origin: Option<&str>,
    ) -> Result<Option<FetchPlan>, IconProblem> {
        self.check(icon, server_origin)?;
        if has_scheme(&icon.src, "data:") {
            return Ok(None);
        }
        let accept = if self.allow_svg {
            ACCEPT_WITH_SVG
        } else {
            ACCEPT
        };
        Ok(Some(FetchPlan {
            url: icon.src.clone(),
            headers: vec![("accept", accept)],
            max_bytes: self.max_bytes,
        }))
    }

    /// The bytes of a `data:` icon, checked with [`Self::check_bytes`].
    ///
    /// # Errors
    /// The first reason to refuse the icon; [`IconProblem::Scheme`] when it is not a `data:` icon.
    pub fn decode_data(&self, icon: &Icon) -> Result<(IconFacts, Vec<u8>), IconProblem> {
        self.check(icon, None)?;
        if !has_scheme(&icon.src, "data:") {
            return Err(IconProblem::Scheme);
        }
        let (mime, encoded) = self.split_data(&icon.src)?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| IconProblem::Address("not base64".to_owned()))?;
        let facts = self.check_bytes(mime.or(icon.mime_type.as_deref()), &bytes)?;
        Ok((facts, bytes))
    }

    /// Checks the bytes of an icon against the type that was declared for them, and against the
    /// limits.
    ///
    /// `declared_mime` is the type that the source gives or, where that is missing or generic, the
    /// one of [`Icon::mime_type`]; see [`declared_mime`]. It is advice: what counts is what the
    /// bytes are. Only headers are read, nothing is decoded.
    ///
    /// # Errors
    /// The first reason to refuse the icon.
    pub fn check_bytes(
        &self,
        declared_mime: Option<&str>,
        bytes: &[u8],
    ) -> Result<IconFacts, IconProblem> {
        if bytes.len() > self.max_bytes {
            return Err(IconProblem::TooManyBytes);
        }
        let declared = declared_mime.map(|mime| self.kind_of(mime)).transpose()?;
        let found = IconKind::sniff(bytes).ok_or(IconProblem::UnknownKind)?;
        if let Some(declared) = declared.filter(|declared| *declared != found) {
            return Err(IconProblem::Mismatch { declared, found });
        }
        let facts = match found {
            IconKind::Png => raster::png(bytes),
            IconKind::Jpeg => raster::jpeg(bytes),
            IconKind::Webp => raster::webp(bytes),
            IconKind::Svg if !self.allow_svg => return Err(IconProblem::SvgNotAllowed),
            IconKind::Svg => {
                svg::check(bytes).map_err(IconProblem::UnsafeSvg)?;
                return Ok(IconFacts {
                    kind: found,
                    size: None,
                    frames: 1,
                });
            }
        };
        let raster::Header { size, frames } = facts.ok_or(IconProblem::Malformed)?;
        if size.0 == 0 || size.1 == 0 {
            return Err(IconProblem::Malformed);
        }
        if size.0 > self.max_side || size.1 > self.max_side {
            return Err(IconProblem::TooLarge { size });
        }
        if frames > self.max_frames {
            return Err(IconProblem::TooManyFrames(frames));
        }
        Ok(IconFacts {
            kind: found,
            size: Some(size),
            frames,
        })
    }

    fn kind_of(&self, mime: &str) -> Result<IconKind, IconProblem> {
        match IconKind::from_mime(mime) {
            Some(IconKind::Svg) if !self.allow_svg => Err(IconProblem::SvgNotAllowed),
            Some(kind) => Ok(kind),
            // The text is bounded, since it ends up in messages.
            None => Err(IconProblem::MimeType(mime.chars().take(64).collect())),
        }
    }

    /// The MIME type and the base64 text of a `data:` URI. The schema has base64 only.
    fn split_data<'s>(&self, src: &'s str) -> Result<(Option<&'s str>, &'s str), IconProblem> {
        let malformed = |how: &str| IconProblem::Address(how.to_owned());
        let body = src.get("data:".len()..).unwrap_or_default();
        let (head, encoded) = body
            .split_once(',')
            .ok_or_else(|| malformed("a data: URI needs a comma"))?;
        let mime = match head.rsplit_once(';') {
            Some((mime, encoding)) if encoding.eq_ignore_ascii_case("base64") => mime,
            _ => return Err(malformed("a data: icon is base64")),
        };
        Ok((Some(mime).filter(|mime| !mime.is_empty()), encoded))
    }
}

/// The type that counts as declared: the one of the source, unless it is missing or generic
/// (schema `Icon.mimeType`).
#[must_use]
pub fn declared_mime<'a>(content_type: Option<&'a str>, icon: &'a Icon) -> Option<&'a str> {
    let generic = ["application/octet-stream", "binary/octet-stream"];
    content_type
        .filter(|mime| {
            let essence = mime.split(';').next().unwrap_or_default().trim();
            !essence.is_empty()
                && !generic
                    .iter()
                    .any(|name| essence.eq_ignore_ascii_case(name))
        })
        .or(icon.mime_type.as_deref())
}

fn has_scheme(src: &str, scheme: &str) -> bool {
    src.get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Four characters of base64 are at most three bytes.
fn check_base64_len(encoded: &str, max_bytes: usize) -> Result<(), IconProblem> {
    if encoded.len() / 4 * 3 > max_bytes.saturating_add(2) {
        Err(IconProblem::TooManyBytes)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
