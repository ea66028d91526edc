//! Resource URIs: syntax, templates, and files below a root.

use crate::call::ctx::Ctx;
use crate::call::extract::{FromInput, ViaInput};
use crate::call::handler_error::HandlerError;
use std::collections::HashMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// Whether this is an absolute URI (RFC 3986): a scheme, a colon, and no character that a URI must
/// encode (`server/resources#common-uri-schemes`).
pub(crate) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let starts_right = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let scheme_ok = scheme
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let bytes = rest.as_bytes();
    let rest_ok = bytes.iter().enumerate().all(|(i, &b)| match b {
        b'%' => bytes
            .get(i + 1..i + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
        _ => (0x21..=0x7e).contains(&b),
    });
    starts_right && scheme_ok && rest_ok
}

/// A URI template (RFC 6570), with the two expressions that can be matched unambiguously: `{name}` for
/// one path segment, and `{+name}` for any number of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UriTemplate(Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    Segment(String),
    Rest(String),
}

impl UriTemplate {
    pub(crate) fn parse(template: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                pieces.push(TemplatePart::Literal(rest[..open].to_owned()));
            } else if !pieces.is_empty() && !matches!(pieces.last(), Some(TemplatePart::Literal(_)))
            {
                return Err("two variables must have text between them".into());
            }
            let close = rest
                .find('}')
                .filter(|&close| close > open)
                .ok_or("unclosed '{'")?;
            let expression = &rest[open + 1..close];
            let (name, piece): (&str, fn(String) -> TemplatePart) =
                match expression.strip_prefix('+') {
                    Some(name) => (name, TemplatePart::Rest),
                    None => (expression, TemplatePart::Segment),
                };
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(format!(
                    "{{{expression}}} is not supported: use {{name}} or {{+name}}"
                ));
            }
            pieces.push(piece(name.to_owned()));
            rest = &rest[close + 1..];
        }
        if rest.contains('}') {
            return Err("unmatched '}'".into());
        }
        if !rest.is_empty() {
            pieces.push(TemplatePart::Literal(rest.to_owned()));
        }
        let template = Self(pieces);
        let mut names: Vec<&str> = template.variables().collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("duplicate variable {{{}}}", twice[0]));
        }
        Ok(template)
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            TemplatePart::Literal(_) => None,
            TemplatePart::Segment(name) | TemplatePart::Rest(name) => Some(name.as_str()),
        })
    }

    /// Returns the values of the variables, percent-decoded, if the URI is an expansion of the
    /// template.
    pub(crate) fn matches(&self, uri: &str) -> Option<UriVariables> {
        let mut values = HashMap::new();
        let mut rest = uri;
        let mut pieces = self.0.iter().peekable();
        while let Some(piece) = pieces.next() {
            let (name, whole) = match piece {
                TemplatePart::Literal(literal) => {
                    rest = rest.strip_prefix(literal.as_str())?;
                    continue;
                }
                TemplatePart::Segment(name) => (name, false),
                TemplatePart::Rest(name) => (name, true),
            };
            let end = match pieces.peek() {
                // `{+name}` ends at the last occurrence of the next literal, `{name}` at the first:
                // the only unambiguous choices.
                Some(TemplatePart::Literal(next)) if whole => rest.rfind(next.as_str())?,
                Some(TemplatePart::Literal(next)) => rest.find(next.as_str())?,
                _ => rest.len(),
            };
            let value = &rest[..end];
            if value.is_empty() || (!whole && value.contains('/')) {
                return None;
            }
            values.insert(name.clone(), percent_decode(value)?);
            rest = &rest[end..];
        }
        rest.is_empty().then_some(UriVariables(values))
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let hex = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
            out.push(u8::from_str_radix(hex, 16).ok()?);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8(out).ok()
}

/// The variables of a resource template: strings by name. The last parameter of its handler.
#[derive(Clone, Debug, Default)]
pub struct UriVariables(HashMap<String, String>);

impl FromInput<UriVariables, ViaInput> for UriVariables {
    async fn from_input(_: &Ctx, variables: Self) -> Result<Self, HandlerError> {
        Ok(variables)
    }
}

impl UriVariables {
    /// Returns a variable, percent-decoded.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Parses a variable.
    ///
    /// # Errors
    /// `-32602` when the template has no such variable or its value does not parse.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<T, HandlerError>
    where
        T::Err: fmt::Display,
    {
        let text = self.text(name).ok_or_else(|| {
            HandlerError::invalid_params(format!("No variable {name} in the URI"))
        })?;
        text.parse().map_err(|error| {
            HandlerError::invalid_params(format!("Invalid {name} in the URI: {error}"))
        })
    }
}

/// A directory whose files are served as resources.
///
/// ```no_run
/// use carryall_server::{Contents, FileRoot, HandlerError, Resource, UriVariables};
///
/// let root = FileRoot::new("/srv/documents").unwrap();
/// let files = Resource::template("file:///{+path}", "documents", move |variables: UriVariables| {
///     let root = root.clone();
///     async move {
///         let file = root.resolve(variables.text("path").unwrap_or_default())?;
///         Ok::<_, HandlerError>(Contents::Bytes(tokio::fs::read(file).await?))
///     }
/// });
/// ```
#[derive(Clone, Debug)]
pub struct FileRoot(PathBuf);

impl FileRoot {
    /// Makes a root of a directory.
    ///
    /// # Errors
    /// When the directory does not exist.
    pub fn new(directory: impl AsRef<Path>) -> std::io::Result<Self> {
        directory.as_ref().canonicalize().map(Self)
    }

    /// Returns the path of a file below the root. Refuses `..`, absolute paths, and links that lead out
    /// of the root (`server/resources#security-considerations`).
    ///
    /// # Errors
    /// "Resource not found", both for files that do not exist and for files outside of the root, so
    /// that the file system cannot be probed.
    pub fn resolve(&self, relative: &str) -> Result<PathBuf, HandlerError> {
        let not_found = || HandlerError::resource_not_found(relative);
        let path = Path::new(relative);
        let plain = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !plain || relative.contains('\0') {
            return Err(not_found());
        }
        let file = self.0.join(path).canonicalize().map_err(|_| not_found())?;
        if file.starts_with(&self.0) {
            Ok(file)
        } else {
            Err(not_found())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: resources-09, resources-14
    #[test]
    fn uris_are_checked() {
        for good in [
            "file:///a%20b",
            "test://static-text",
            "urn:isbn:1",
            "a+b.c-1:x?y=z#w",
            "https://h/é".trim_end_matches('é'),
        ] {
            assert!(is_uri(good), "{good}");
        }
        for bad in [
            "",
            "no-scheme",
            "1a:x",
            "a b:c",
            "file:///a b",
            "file:///a%2",
            "x:\n",
            "x:{id}",
            "https://h/é",
            "x:\\",
        ] {
            assert!(!is_uri(bad), "{bad}");
        }
    }

    #[test]
    fn templates_match_their_expansions() {
        let template = UriTemplate::parse("test://template/{id}/data").unwrap();
        assert_eq!(
            template
                .matches("test://template/4%202/data")
                .unwrap()
                .text("id"),
            Some("4 2")
        );
        for other in [
            "test://template//data",
            "test://template/a/b/data",
            "test://template/1/data/x",
            "x",
        ] {
            assert!(template.matches(other).is_none(), "{other}");
        }
        let files = UriTemplate::parse("files://{+path}").unwrap();
        assert_eq!(
            files.matches("files://a/b.txt").unwrap().text("path"),
            Some("a/b.txt")
        );
        assert!(UriTemplate::parse("x://{a}{b}").is_err());
        assert!(UriTemplate::parse("x://{?q}").is_err());
        assert!(UriTemplate::parse("x://{a").is_err());
        assert!(UriTemplate::parse("x://{a}/{a}").is_err());
    }

    // spec: resources-17
    #[test]
    fn paths_stay_below_the_root() {
        let dir = std::env::temp_dir().join(format!("carryall-root-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("inside")).unwrap();
        std::fs::write(dir.join("inside/a.txt"), "a").unwrap();
        std::fs::write(dir.join("secret.txt"), "s").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.join("secret.txt"), dir.join("inside/link.txt")).unwrap();
        let root = FileRoot::new(dir.join("inside")).unwrap();
        assert!(root.resolve("a.txt").is_ok());
        for outside in [
            "../secret.txt",
            "/etc/passwd",
            "x/../../secret.txt",
            "link.txt",
            "a.txt\0",
            "./../secret.txt",
        ] {
            assert!(root.resolve(outside).is_err(), "{outside}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
