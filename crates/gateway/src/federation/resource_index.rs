//! Maps resource URIs to the upstreams that list them.
//!
//! A URI is only sent to upstreams that claim it, by listing the URI itself or a template that it
//! matches. Sending it to all would reveal to each what the others have, and an upstream that
//! answers everything would answer for all.

use carryall_proto::sync::Mutex;
use carryall_types::ErrorObject;
use std::collections::HashSet;
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::time::Instant;

/// The bounds for each upstream, so that a long list of one cannot displace entries of another.
const MAX_URIS: usize = 8 * 1024;
const MAX_TEMPLATES: usize = 256;
const MAX_SCHEMES: usize = 64;
const MAX_BYTES: usize = 1024 * 1024;
/// The longest URI or template that is indexed, in bytes.
const MAX_URI: usize = 2048;

/// The least time between two listings of an upstream, whatever URIs callers request.
const MIN_AGE: Duration = Duration::from_secs(10);
/// The same after a listing that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Schemes that many servers use, so that listing one such URI claims no other.
const GENERIC_SCHEMES: [&str; 6] = ["http", "https", "file", "data", "urn", "about"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// A URI.
    Resource,
    /// A URI template (RFC 6570).
    Template,
}

/// The resources that each upstream lists. Upstreams are identified by their position.
#[derive(Debug)]
pub(super) struct ResourceIndex {
    upstreams: Mutex<Vec<ListedResources>>,
    /// Locked while lists are fetched, so that concurrent misses fetch them once.
    pub(super) refreshing: tokio::sync::Mutex<()>,
}

/// The resources of one upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct ListedResources {
    uris: HashSet<Box<str>>,
    templates: Vec<Box<str>>,
    schemes: HashSet<Box<str>>,
    bytes: usize,
    status: ListingStatus,
}

#[derive(Clone, Debug, Default)]
enum ListingStatus {
    /// Only pages that callers happened to list.
    #[default]
    Partial,
    Complete {
        since: Instant,
    },
    /// The last listing failed; earlier entries are kept.
    Failed {
        since: Instant,
        error: ErrorObject,
    },
}

impl ResourceIndex {
    pub(super) fn new(upstreams: usize) -> Self {
        Self {
            upstreams: Mutex::new(vec![ListedResources::default(); upstreams]),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    /// Adds an entry that a caller listed.
    pub(super) fn add(&self, upstream: usize, kind: EntryKind, uri: &str) {
        if let Some(listing) = self.lock().get_mut(upstream) {
            listing.add(kind, uri);
        }
    }

    /// Replaces the entries of an upstream. After an error its earlier entries are kept.
    pub(super) fn set(&self, upstream: usize, listed: Result<ListedResources, ErrorObject>) {
        let since = Instant::now();
        let mut listings = self.lock();
        let Some(listing) = listings.get_mut(upstream) else {
            return;
        };
        match listed {
            Ok(listed) => {
                *listing = ListedResources {
                    status: ListingStatus::Complete { since },
                    ..listed
                }
            }
            Err(error) => listing.status = ListingStatus::Failed { since, error },
        }
    }

    /// Returns the upstreams that are to be listed, because their entries are incomplete or old.
    pub(super) fn due(&self) -> Vec<usize> {
        let is_due = |listing: &ListedResources| match &listing.status {
            ListingStatus::Partial => true,
            ListingStatus::Complete { since } => since.elapsed() >= MIN_AGE,
            ListingStatus::Failed { since, .. } => since.elapsed() >= RETRY_AFTER,
        };
        self.lock()
            .iter()
            .enumerate()
            .filter(|(_, listing)| is_due(listing))
            .map(|(position, _)| position)
            .collect()
    }

    /// Returns the upstreams that claim `uri`, which may also be a template: first those that list
    /// it, in order, then those with a matching template, the most specific template first.
    pub(super) fn claims(&self, uri: &str) -> Vec<usize> {
        let listings = self.lock();
        let mut claims: Vec<(usize, Specificity)> = listings
            .iter()
            .enumerate()
            .filter_map(|(position, listing)| Some((position, listing.claim(uri)?)))
            .collect();
        // The sort is stable: equal claims keep the configured order.
        claims.sort_by_key(|(_, specificity)| std::cmp::Reverse(*specificity));
        claims.into_iter().map(|(position, _)| position).collect()
    }

    /// Returns the upstream that alone lists URIs of the same scheme. `None` while any upstream is
    /// not completely listed, since it might use the scheme too.
    pub(super) fn owner_of_scheme(&self, uri: &str) -> Option<usize> {
        let scheme = scheme(uri).filter(|scheme| !GENERIC_SCHEMES.contains(&&**scheme))?;
        let listings = self.lock();
        if !listings
            .iter()
            .all(|listing| matches!(listing.status, ListingStatus::Complete { .. }))
        {
            return None;
        }
        let mut owners = listings
            .iter()
            .enumerate()
            .filter(|(_, listing)| listing.schemes.contains(&*scheme));
        match (owners.next(), owners.next()) {
            (Some((position, _)), None) => Some(position),
            _ => None,
        }
    }

    /// Returns the error of an upstream whose listing failed, if any. That upstream may have what no
    /// other claims.
    pub(super) fn failure(&self) -> Option<ErrorObject> {
        self.lock()
            .iter()
            .find_map(|listing| match &listing.status {
                ListingStatus::Failed { error, .. } => Some(error.clone()),
                ListingStatus::Partial | ListingStatus::Complete { .. } => None,
            })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ListedResources>> {
        self.upstreams.lock()
    }
}

/// How specifically an entry describes a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    /// A template with this much literal text, in bytes, before its first expression and in all.
    Template(usize, usize),
    Exact,
}

impl ListedResources {
    pub(super) fn add(&mut self, kind: EntryKind, uri: &str) {
        if uri.len() > MAX_URI || self.bytes.saturating_add(uri.len()) > MAX_BYTES {
            return;
        }
        let added = match kind {
            EntryKind::Resource => self.uris.len() < MAX_URIS && self.uris.insert(uri.into()),
            EntryKind::Template if self.templates.len() >= MAX_TEMPLATES => false,
            EntryKind::Template if self.templates.iter().any(|known| **known == *uri) => false,
            EntryKind::Template => {
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

    /// Returns whether a bound is reached, so that further pages need not be fetched.
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
            .filter_map(|template| match_template(template, uri))
            .max()
    }
}

/// Returns how specifically a template describes a URI; `None` if the URI cannot be an expansion of
/// it. All literal text must occur in order. The text of expressions is not checked, because servers
/// differ in what they allow there.
///
/// A template without a literal scheme, such as `{+uri}`, would claim all URIs and so claims none.
fn match_template(template: &str, uri: &str) -> Option<Specificity> {
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

/// Returns the scheme of a URI in lower case (RFC 3986, section 3.1).
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

    fn listing(entries: &[(EntryKind, &str)]) -> ListedResources {
        let mut listing = ListedResources::default();
        entries
            .iter()
            .for_each(|(kind, uri)| listing.add(*kind, uri));
        listing
    }

    fn index(upstreams: &[&[(EntryKind, &str)]]) -> ResourceIndex {
        let index = ResourceIndex::new(upstreams.len());
        upstreams
            .iter()
            .enumerate()
            .for_each(|(at, entries)| index.set(at, Ok(listing(entries))));
        index
    }

    const R: EntryKind = EntryKind::Resource;
    const T: EntryKind = EntryKind::Template;

    #[tokio::test]
    async fn exact_entries_precede_templates_and_specific_templates_general_ones() {
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
    async fn equal_claims_keep_the_configured_order() {
        let index = ResourceIndex::new(2);
        index.add(1, R, "a:x");
        index.add(0, R, "a:x");
        assert_eq!(index.claims("a:x"), [0, 1]);
    }

    #[tokio::test]
    async fn a_template_without_a_scheme_claims_nothing() {
        let index = index(&[
            &[(T, "{+uri}"), (T, "{scheme}://{+rest}"), (T, "x{+rest}")],
            &[(R, "b:1")],
        ]);
        assert_eq!(index.claims("b:1"), [1]);
        assert!(index.claims("b:2").is_empty());
        assert!(index.claims("xyz:2").is_empty());
    }

    #[tokio::test]
    async fn a_scheme_belongs_to_the_only_upstream_that_uses_it() {
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
            "a generic scheme"
        );
        index.set(2, Err(ErrorObject::internal()));
        assert_eq!(
            index.owner_of_scheme("notes:other"),
            None,
            "an upstream that is not listed may use it too"
        );
    }

    #[tokio::test]
    async fn bounds_apply_to_each_upstream() {
        let index = index(&[&[(R, "a:1")], &[]]);
        for number in 0..MAX_URIS + 10 {
            index.add(1, R, &format!("b:{number}"));
            index.add(1, T, &format!("c{number}:{{x}}"));
        }
        index.add(1, R, &format!("d:{}", "x".repeat(MAX_URI)));
        assert_eq!(index.claims("a:1"), [0]);
        let listings = index.lock();
        let ListedResources {
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
    async fn upstreams_are_due_when_their_entries_are_old() {
        let index = ResourceIndex::new(2);
        assert_eq!(index.due(), [0, 1]);
        index.set(0, Ok(ListedResources::default()));
        index.set(1, Err(ErrorObject::internal()));
        assert!(index.due().is_empty());
        tokio::time::advance(RETRY_AFTER).await;
        assert_eq!(index.due(), [1]);
        tokio::time::advance(MIN_AGE).await;
        assert_eq!(index.due(), [0, 1]);
    }

    #[test]
    fn literal_text_of_a_template_must_occur_in_order() {
        let matches = |template: &str, uri: &str| match_template(template, uri).is_some();
        for (template, uri) in [
            ("a:{x}", "a:"),
            ("a:{x}", "a:1/2"),
            ("a:{x}/b/{y}", "a:1/b/2"),
            ("a:{x}.txt", "a:x.txt.txt"),
            ("a:x{?q,r}", "a:x"),
            ("a:{x}{y}", "a:1"),
        ] {
            assert!(matches(template, uri), "{template} {uri}");
        }
        for (template, uri) in [
            ("a:{x}/b/{y}", "a:1/c/2"),
            ("a:{x}.txt", "a:x.md"),
            ("a:1", "a:1"),
            ("a:{x", "a:1"),
            ("a:b{x}b", "a:b"),
        ] {
            assert!(!matches(template, uri), "{template} {uri}");
        }
    }
}
