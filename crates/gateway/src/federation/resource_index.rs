//! Maps resource URIs to the upstreams that list them.
//!
//! A URI is only ever sent to an upstream that claims it, by listing the URI itself or a template
//! that it fits. Offering it to all of them would tell each what the others hold, and an upstream
//! that answers everything would answer for all.

use carryall_proto::sync::Mutex;
use carryall_types::ErrorObject;
use std::collections::HashSet;
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::time::Instant;

/// Bounds for each upstream, so that a long list of one cannot displace the entries of another.
const MAX_URIS: usize = 8 * 1024;
const MAX_TEMPLATES: usize = 256;
const MAX_SCHEMES: usize = 64;
const MAX_BYTES: usize = 1024 * 1024;
/// Longer URIs and templates are not indexed.
const MAX_URI: usize = 2048;

/// A complete listing is not fetched again before this time has passed, whatever URIs callers make
/// up.
const FRESH: Duration = Duration::from_secs(10);
/// The same for an upstream that could not be listed.
const RETRY: Duration = Duration::from_secs(1);

/// Schemes that belong to no particular server, so that listing one such URI claims no other.
const GENERIC_SCHEMES: [&str; 6] = ["http", "https", "file", "data", "urn", "about"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A URI as it stands.
    Resource,
    /// A template (RFC 6570).
    Template,
}

/// What each upstream lists. Upstreams are named by their position in the federation.
#[derive(Debug)]
pub(super) struct ResourceIndex {
    listings: Mutex<Vec<Listing>>,
    /// Held while lists are fetched, so that concurrent misses fetch them once.
    pub(super) refreshing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    uris: HashSet<Box<str>>,
    templates: Vec<Box<str>>,
    schemes: HashSet<Box<str>>,
    bytes: usize,
    status: Status,
}

#[derive(Clone, Debug, Default)]
enum Status {
    /// Nothing, or only the pages that callers happened to list.
    #[default]
    Partial,
    Complete {
        since: Instant,
    },
    /// The upstream could not be listed. What was known of it before still holds.
    Failed {
        since: Instant,
        error: ErrorObject,
    },
}

impl ResourceIndex {
    pub(super) fn new(upstreams: usize) -> Self {
        Self {
            listings: Mutex::new(vec![Listing::default(); upstreams]),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    /// Adds an entry of a list that a caller asked for.
    pub(super) fn add(&self, upstream: usize, kind: Kind, uri: &str) {
        if let Some(listing) = self.lock().get_mut(upstream) {
            listing.add(kind, uri);
        }
    }

    /// Sets what an upstream lists. After an error its earlier entries stay.
    pub(super) fn set(&self, upstream: usize, listed: Result<Listing, ErrorObject>) {
        let since = Instant::now();
        let mut listings = self.lock();
        let Some(listing) = listings.get_mut(upstream) else {
            return;
        };
        match listed {
            Ok(listed) => {
                *listing = Listing {
                    status: Status::Complete { since },
                    ..listed
                }
            }
            Err(error) => listing.status = Status::Failed { since, error },
        }
    }

    /// The upstreams whose listings are missing or old enough to be fetched again.
    pub(super) fn due(&self) -> Vec<usize> {
        let is_due = |listing: &Listing| match &listing.status {
            Status::Partial => true,
            Status::Complete { since } => since.elapsed() >= FRESH,
            Status::Failed { since, .. } => since.elapsed() >= RETRY,
        };
        self.lock()
            .iter()
            .enumerate()
            .filter(|(_, listing)| is_due(listing))
            .map(|(at, _)| at)
            .collect()
    }

    /// The upstreams that claim `uri`, or list it as a template: the exact entries first, in the
    /// order of the upstreams, then those whose templates it fits, the most specific template
    /// first.
    pub(super) fn claims(&self, uri: &str) -> Vec<usize> {
        let listings = self.lock();
        let mut claims: Vec<(usize, Specificity)> = listings
            .iter()
            .enumerate()
            .filter_map(|(at, listing)| Some((at, listing.claim(uri)?)))
            .collect();
        // Stable: among equals the order of the upstreams decides, which is the operator's.
        claims.sort_by_key(|(_, specificity)| std::cmp::Reverse(*specificity));
        claims.into_iter().map(|(at, _)| at).collect()
    }

    /// The upstream whose own scheme the URI has: the only one that lists anything of that scheme.
    /// `None` while any upstream is not listed, since that one might list it too.
    pub(super) fn owner_of_scheme(&self, uri: &str) -> Option<usize> {
        let scheme = scheme(uri).filter(|scheme| !GENERIC_SCHEMES.contains(&&**scheme))?;
        let listings = self.lock();
        if !listings
            .iter()
            .all(|listing| matches!(listing.status, Status::Complete { .. }))
        {
            return None;
        }
        let mut owners = listings
            .iter()
            .enumerate()
            .filter(|(_, listing)| listing.schemes.contains(&*scheme));
        match (owners.next(), owners.next()) {
            (Some((at, _)), None) => Some(at),
            _ => None,
        }
    }

    /// Why an upstream could not be listed, if there is one: it may be the one that has what nobody
    /// else claims.
    pub(super) fn failure(&self) -> Option<ErrorObject> {
        self.lock()
            .iter()
            .find_map(|listing| match &listing.status {
                Status::Failed { error, .. } => Some(error.clone()),
                Status::Partial | Status::Complete { .. } => None,
            })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listing>> {
        self.listings.lock()
    }
}

/// How closely an upstream's entry describes a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    /// By a template with this much literal text before its first expression, and in all.
    Template(usize, usize),
    Exact,
}

impl Listing {
    pub(super) fn add(&mut self, kind: Kind, uri: &str) {
        if uri.len() > MAX_URI || self.bytes.saturating_add(uri.len()) > MAX_BYTES {
            return;
        }
        let added = match kind {
            Kind::Resource => self.uris.len() < MAX_URIS && self.uris.insert(uri.into()),
            Kind::Template if self.templates.len() >= MAX_TEMPLATES => false,
            Kind::Template if self.templates.iter().any(|known| **known == *uri) => false,
            Kind::Template => {
                self.templates.push(uri.into());
                true
            }
        };
        if !added {
            return;
        }
        self.bytes += uri.len();
        if let Some(scheme) = scheme(uri)
            && self.schemes.len() < MAX_SCHEMES
        {
            self.schemes.insert(scheme);
        }
    }

    /// Whether nothing more is taken up, so that further pages need not be fetched.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
            || (self.uris.len() >= MAX_URIS && self.templates.len() >= MAX_TEMPLATES)
    }

    fn claim(&self, uri: &str) -> Option<Specificity> {
        if self.uris.contains(uri) || self.templates.iter().any(|template| **template == *uri) {
            return Some(Specificity::Exact);
        }
        self.templates
            .iter()
            .filter_map(|template| fits(template, uri))
            .max()
    }
}

/// Whether a URI may be an expansion of a template: all literal text occurs in it, in order. What
/// stands for the expressions is not looked at, because servers differ in what they let expressions
/// match; the upstream decides.
///
/// A template without a literal scheme, such as `{+uri}`, claims the URIs of everybody and so
/// claims none here.
fn fits(template: &str, uri: &str) -> Option<Specificity> {
    let (prefix, mut rest) = template.split_once('{')?;
    scheme(prefix)?;
    let mut tail = uri.strip_prefix(prefix)?;
    let mut literal = prefix.len();
    loop {
        let after = &rest[rest.find('}')? + 1..];
        match after.split_once('{') {
            None => {
                return tail
                    .ends_with(after)
                    .then_some(Specificity::Template(prefix.len(), literal + after.len()));
            }
            Some((text, expression)) => {
                tail = &tail[tail.find(text)? + text.len()..];
                literal += text.len();
                rest = expression;
            }
        }
    }
}

/// The scheme of a URI in lower case (RFC 3986, section 3.1).
fn scheme(uri: &str) -> Option<Box<str>> {
    let (scheme, _) = uri.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    valid.then(|| scheme.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(entries: &[(Kind, &str)]) -> Listing {
        let mut listing = Listing::default();
        entries
            .iter()
            .for_each(|(kind, uri)| listing.add(*kind, uri));
        listing
    }

    fn index(upstreams: &[&[(Kind, &str)]]) -> ResourceIndex {
        let index = ResourceIndex::new(upstreams.len());
        upstreams
            .iter()
            .enumerate()
            .for_each(|(at, entries)| index.set(at, Ok(listing(entries))));
        index
    }

    const R: Kind = Kind::Resource;
    const T: Kind = Kind::Template;

    #[tokio::test]
    async fn an_exact_entry_comes_first_and_then_the_most_specific_template() {
        let index = index(&[
            &[(T, "file:///{path}")],
            &[(T, "file:///logs/{day}")],
            &[(R, "file:///logs/today")],
            &[(T, "file:///logs/{day}/{hour}.txt")],
        ]);
        assert_eq!(index.claims("file:///logs/today"), [2, 1, 0]);
        assert_eq!(
            index.claims("file:///logs/{day}"),
            [1, 0],
            "completion names the template"
        );
        assert_eq!(index.claims("file:///logs/1/2.txt"), [3, 1, 0]);
        assert_eq!(index.claims("file:///x"), [0]);
        assert!(index.claims("http://x/").is_empty());
    }

    #[tokio::test]
    async fn of_upstreams_with_equal_claims_the_first_configured_one_comes_first() {
        let index = ResourceIndex::new(2);
        index.add(1, R, "a:x");
        index.add(0, R, "a:x");
        assert_eq!(index.claims("a:x"), [0, 1]);
    }

    #[tokio::test]
    async fn a_template_for_everything_claims_nothing() {
        let index = index(&[
            &[(T, "{+uri}"), (T, "{scheme}://{+rest}"), (T, "x{+rest}")],
            &[(R, "b:1")],
        ]);
        assert_eq!(index.claims("b:1"), [1]);
        assert!(index.claims("b:2").is_empty());
        assert!(index.claims("xyz:2").is_empty());
    }

    #[tokio::test]
    async fn a_scheme_belongs_to_the_only_upstream_that_lists_it() {
        let index = index(&[
            &[(R, "Notes:1"), (R, "https://a/1"), (R, "both:1")],
            &[(T, "both:{x}")],
            &[],
        ]);
        assert_eq!(index.owner_of_scheme("notes:other"), Some(0));
        assert_eq!(index.owner_of_scheme("both:2"), None);
        assert_eq!(
            index.owner_of_scheme("https://a/2"),
            None,
            "anybody may list web pages"
        );
        index.set(2, Err(ErrorObject::internal()));
        assert_eq!(
            index.owner_of_scheme("notes:other"),
            None,
            "the one that is not listed may have it as well"
        );
    }

    #[tokio::test]
    async fn one_upstream_cannot_displace_the_entries_of_another() {
        let index = index(&[&[(R, "a:1")], &[]]);
        for number in 0..MAX_URIS + 10 {
            index.add(1, R, &format!("b:{number}"));
            index.add(1, T, &format!("c{number}:{{x}}"));
        }
        index.add(1, R, &format!("d:{}", "x".repeat(MAX_URI)));
        assert_eq!(index.claims("a:1"), [0]);
        let listings = index.lock();
        let Listing {
            uris,
            templates,
            schemes,
            bytes,
            ..
        } = &listings[1];
        assert_eq!(
            (uris.len(), templates.len(), schemes.len()),
            (MAX_URIS, MAX_TEMPLATES, MAX_SCHEMES)
        );
        assert!(*bytes <= MAX_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn lists_are_fetched_again_when_they_are_old() {
        let index = ResourceIndex::new(2);
        assert_eq!(index.due(), [0, 1]);
        index.set(0, Ok(Listing::default()));
        index.set(1, Err(ErrorObject::internal()));
        assert!(index.due().is_empty());
        tokio::time::advance(RETRY).await;
        assert_eq!(index.due(), [1]);
        tokio::time::advance(FRESH).await;
        assert_eq!(index.due(), [0, 1]);
    }

    #[test]
    fn literal_text_of_a_template_occurs_in_order() {
        let fits = |template: &str, uri: &str| fits(template, uri).is_some();
        for (template, uri) in [
            ("a:{x}", "a:"),
            ("a:{x}", "a:1/2"),
            ("a:{x}/b/{y}", "a:1/b/2"),
            ("a:{x}.txt", "a:x.txt.txt"),
            ("a:x{?q,r}", "a:x"),
            ("a:{x}{y}", "a:1"),
        ] {
            assert!(fits(template, uri), "{template} {uri}");
        }
        for (template, uri) in [
            ("a:{x}/b/{y}", "a:1/c/2"),
            ("a:{x}.txt", "a:x.md"),
            ("a:1", "a:1"),
            ("a:{x", "a:1"),
            ("a:b{x}b", "a:b"),
        ] {
            assert!(!fits(template, uri), "{template} {uri}");
        }
    }
}
