//! Checks of the content that handlers return.

use crate::catalogue::uri::is_uri;
use carryall_types::{ContentBlock, ResourceContents};

/// Checks the encoding of images, audio and embedded bytes (`server/tools#tool-result`).
pub(crate) fn check<'a>(
    blocks: impl IntoIterator<Item = &'a ContentBlock>,
) -> Result<(), &'static str> {
    blocks.into_iter().try_for_each(|block| match block {
        ContentBlock::Image(image) => media(&image.data, &image.mime_type),
        ContentBlock::Audio(audio) => media(&audio.data, &audio.mime_type),
        ContentBlock::Resource(embedded) => check_contents([&embedded.resource]),
        _ => Ok(()),
    })
}

/// Checks the encoding of the contents of a resource (`server/resources#security-considerations`).
pub(crate) fn check_contents<'a>(
    contents: impl IntoIterator<Item = &'a ResourceContents>,
) -> Result<(), &'static str> {
    contents
        .into_iter()
        .try_for_each(|contents| match contents {
            ResourceContents::Blob(blob) if !is_base64(&blob.blob) => Err("a blob is not base64"),
            _ => Ok(()),
        })
}

/// As [`check`], and adds the MIME type that resources embedded in a prompt must have
/// (`server/prompts#embedded-resources`).
pub(crate) fn complete<'a>(
    blocks: impl IntoIterator<Item = &'a mut ContentBlock>,
) -> Result<(), &'static str> {
    blocks.into_iter().try_for_each(|block| {
        if let ContentBlock::Resource(embedded) = block {
            let (uri, mime_type, usual) = match &mut embedded.resource {
                ResourceContents::Text(text) => (&text.uri, &mut text.mime_type, "text/plain"),
                ResourceContents::Blob(blob) => {
                    (&blob.uri, &mut blob.mime_type, "application/octet-stream")
                }
            };
            if !is_uri(uri) {
                return Err("the URI of an embedded resource is not valid (RFC 3986)");
            }
            mime_type.get_or_insert_with(|| usual.to_owned());
        }
        check([&*block])
    })
}

fn media(data: &str, mime_type: &str) -> Result<(), &'static str> {
    if !is_base64(data) {
        return Err("the data of an image or audio block is not base64");
    }
    if is_mime_type(mime_type) {
        Ok(())
    } else {
        Err("the MIME type of an image or audio block is not valid")
    }
}

fn is_base64(text: &str) -> bool {
    let body = text
        .strip_suffix("==")
        .or_else(|| text.strip_suffix('='))
        .unwrap_or(text);
    text.len().is_multiple_of(4)
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// Whether this is `type/subtype`, with or without parameters (RFC 9110, section 8.3.1).
fn is_mime_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    essence
        .split_once('/')
        .is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_padding_and_the_standard_alphabet() {
        for good in ["", "AAAA", "AA==", "AAA=", "+/+/"] {
            assert!(is_base64(good), "{good}");
        }
        for bad in [
            "A",
            "AAA",
            "AA=A",
            "A===",
            "AAA-",
            "AA A",
            "AAA\n",
            "====",
            "data:image/png;base64,AAAA",
        ] {
            assert!(!is_base64(bad), "{bad}");
        }
    }

    #[test]
    fn mime_types_have_two_parts() {
        for good in [
            "image/png",
            "text/plain; charset=utf-8",
            "application/vnd.x+json",
        ] {
            assert!(is_mime_type(good), "{good}");
        }
        for bad in ["", "png", "/png", "image/", "image/p ng", "a/b/c", "; x=y"] {
            assert!(!is_mime_type(bad), "{bad}");
        }
    }
}
