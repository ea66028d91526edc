//! Maps resource URIs to the upstreams that list them.
//!
//! An upstream claims a URI if it lists the URI itself or a template that the URI matches. A URI is
//! only sent to upstreams that claim it. Sent to all upstreams, it would reveal to each what the
//! others offer, and an upstream that accepts any URI would answer for resources of the others.

use carryall_proto::sync::Mutex;
use carryall_types::ErrorObject;
use std::collections::HashSet;
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::time::Instant;

// Bounds for each upstream, so that a long list of one does not displace entries of another.

const MAX_URIS: usize = 8 * 1024;
const MAX_TEMPLATES: usize = 256;
const MAX_SCHEMES: usize = 64;
const MAX_BYTES: usize = 1024 * 1024;
/// The length of the longest URI or template that is indexed, in bytes.
const MAX_URI_LENGTH: usize = 2048;

/// Minimum time between two refreshes of an upstream, however many unknown URIs callers request.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// Minimum time between a failed refresh and the next.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Schemes that many servers use. Listing one such URI says nothing about other URIs of the scheme.
const GENERIC_SCHEMES: [&str; 6] = ["http", "https", "file", "data", "urn", "about"];

/// The resources that each upstream lists. Upstreams are identified by their position in the
/// configuration.
#[derive(Debug)]
pub(super) struct ResourceIndex {
    upstreams: Mutex<Vec<ListedResources>>,
    /// Held during a refresh, so that concurrent callers share one.
    pub(super) refreshing: tokio::sync::Mutex<()>,
}

impl ResourceIndex {
    pub(super) fn new(upstreams: usize) -> Self {
        Self {
            upstreams: Mutex::new(vec![ListedResources::default(); upstreams]),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    /// Adds an entry from a page that a caller listed.
    pub(super) fn add(&self, upstream: usize, kind: EntryKind, uri: &str) {
        if let Some(resources) = self.lock().get_mut(upstream) {
            resources.add(kind, uri);
        }
    }

    /// Records the outcome of a refresh: replaces the entries of the upstream, or after an error
    /// keeps its earlier entries.
    pub(super) fn set(&self, upstream: usize, listed: Result<ListedResources, ErrorObject>) {
        let since = Instant::now();
        let mut upstreams = self.lock();
        let Some(resources) = upstreams.get_mut(upstream) else {
            return;
        };
        match listed {
            Ok(listed) => {
                *resources = ListedResources {
                    status: ListingStatus::Complete { since },
                    ..listed
                }
            }
            Err(error) => resources.status = ListingStatus::Failed { since, error },
        }
    }

    /// Returns the upstreams to refresh, because their entries are incomplete or old.
    pub(super) fn due(&self) -> Vec<usize> {
        let is_due = |resources: &ListedResources| match &resources.status {
            ListingStatus::Partial => true,
            ListingStatus::Complete { since } => since.elapsed() >= REFRESH_INTERVAL,
            ListingStatus::Failed { since, .. } => since.elapsed() >= RETRY_AFTER,
        };
        self.lock()
            .iter()
            .enumerate()
            .filter(|(_, resources)| is_due(resources))
            .map(|(position, _)| position)
            .collect()
    }

    /// Returns the upstreams that claim `uri`: first those that list it, then those with a matching
    /// template, the most specific template first. Equal claims keep the configured order.
    ///
    /// `uri` may itself be a template, since a completion request names one.
    pub(super) fn claims(&self, uri: &str) -> Vec<usize> {
        let upstreams = self.lock();
        let mut claims: Vec<(usize, Specificity)> = upstreams
            .iter()
            .enumerate()
            .filter_map(|(position, resources)| Some((position, resources.claim(uri)?)))
            .collect();
        // A stable sort, which keeps the configured order.
        claims.sort_by_key(|(_, specificity)| std::cmp::Reverse(*specificity));
        claims.into_iter().map(|(position, _)| position).collect()
    }

    /// Returns the upstream that lists URIs of the same scheme as `uri`, if it is the only one.
    /// `None` unless the latest refresh of every upstream succeeded and none of its lists was cut
    /// off at a bound, since what was not listed may use the scheme too.
    pub(super) fn owner_of_scheme(&self, uri: &str) -> Option<usize> {
        let scheme = scheme(uri).filter(|scheme| !GENERIC_SCHEMES.contains(&&**scheme))?;
        let upstreams = self.lock();
        let is_whole = |resources: &ListedResources| {
            matches!(resources.status, ListingStatus::Complete { .. })
                && !resources.is_cut_off
                && !resources.is_full()
        };
        if !upstreams.iter().all(is_whole) {
            return None;
        }
        let mut owners = upstreams
            .iter()
            .enumerate()
            .filter(|(_, resources)| resources.schemes.contains(&*scheme));
        match (owners.next(), owners.next()) {
            (Some((position, _)), None) => Some(position),
            _ => None,
        }
    }

    /// Returns the error of an upstream whose last refresh failed, if any. A caller reports it
    /// instead of "not found", since that upstream may have the resource.
    pub(super) fn failure(&self) -> Option<ErrorObject> {
        self.lock()
            .iter()
            .find_map(|resources| match &resources.status {
                ListingStatus::Failed { error, .. } => Some(error.clone()),
                ListingStatus::Partial | ListingStatus::Complete { .. } => None,
            })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ListedResources>> {
        self.upstreams.lock()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// A URI.
    Resource,
    /// A URI template (RFC 6570).
    Template,
}

/// The resources of one upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct ListedResources {
    uris: HashSet<Box<str>>,
    templates: Vec<Box<str>>,
    schemes: HashSet<Box<str>>,
    bytes: usize,
    /// Whether an entry was left out because a bound was reached.
    is_cut_off: bool,
    status: ListingStatus,
}

#[derive(Clone, Debug, Default)]
enum ListingStatus {
    /// Never refreshed: the entries come from pages that callers listed.
    #[default]
    Partial,
    /// The last refresh succeeded.
    Complete { since: Instant },
    /// The last refresh failed; the entries are older.
    Failed { since: Instant, error: ErrorObject },
}

impl ListedResources {
    pub(super) fn add(&mut self, kind: EntryKind, uri: &str) {
        let count_reached = match kind {
            EntryKind::Resource => self.uris.len() >= MAX_URIS,
            EntryKind::Template => self.templates.len() >= MAX_TEMPLATES,
        };
        if uri.len() > MAX_URI_LENGTH
            || self.bytes.saturating_add(uri.len()) > MAX_BYTES
            || count_reached
        {
            self.is_cut_off = true;
            return;
        }
        let added = match kind {
            EntryKind::Resource => self.uris.insert(uri.into()),
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
        if let Some(scheme) = scheme(uri) {
            if self.schemes.len() < MAX_SCHEMES {
                self.schemes.insert(scheme);
            } else if !self.schemes.contains(&scheme) {
                self.is_cut_off = true;
            }
        }
    }

    /// Returns whether a bound is reached, so that fetching further pages has no use.
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

/// How specifically an entry describes a URI. Greater means more specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    /// A template, by the bytes of its literal text: those before its first expression, then all.
    Template {
        prefix: usize,
        literal: usize,
    },
    Exact,
}

/// Returns how specifically a template describes a URI, or `None` if the URI does not match it.
///
/// The literal parts of the template must occur in the URI in order. An expression matches any
/// text, because servers differ in what they allow there. A template without a literal scheme, such
/// as `{+uri}`, matches nothing; otherwise its upstream would claim all URIs.
fn match_template(template: &str, uri: &str) -> Option<Specificity> {
    let (prefix, mut template_rest) = template.split_once('{')?;
    scheme(prefix)?;
    let mut uri_rest = uri.strip_prefix(prefix)?;
    let mut literal = prefix.len();
    loop {
        let after_expression = &template_rest[template_rest.find('}')? + 1..];
        match after_expression.split_once('{') {
            Some((text, next_expression)) => {
                uri_rest = &uri_rest[uri_rest.find(text)? + text.len()..];
                literal += text.len();
                template_rest = next_expression;
            }
            None => {
                let suffix = after_expression;
                return uri_rest.ends_with(suffix).then_some(Specificity::Template {
                    prefix: prefix.len(),
                    literal: literal + suffix.len(),
                });
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

    fn listed(entries: &[(EntryKind, &str)]) -> ListedResources {
        let mut resources = ListedResources::default();
        for (kind, uri) in entries {
            resources.add(*kind, uri);
        }
        resources
    }

    fn index(upstreams: &[&[(EntryKind, &str)]]) -> ResourceIndex {
        let index = ResourceIndex::new(upstreams.len());
        for (position, entries) in upstreams.iter().enumerate() {
            index.set(position, Ok(listed(entries)));
        }
        index
    }

    const R: EntryKind = EntryKind::Resource;
    const T: EntryKind = EntryKind::Template;

    #[tokio::test]
    async fn exact_entries_come_first_then_templates_by_specificity() {
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
            "a completion request names the template"
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
    async fn a_scheme_has_no_owner_while_a_list_is_cut_off() {
        let long = format!("b:{}", "x".repeat(MAX_URI_LENGTH));
        let cut_off = index(&[&[(R, "a:1")], &[(R, &long)]]);
        assert_eq!(cut_off.owner_of_scheme("a:2"), None);
        let whole = index(&[&[(R, "a:1")], &[(R, "b:1")]]);
        assert_eq!(whole.owner_of_scheme("a:2"), Some(0));
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
            "the upstream that was not listed may use the scheme too"
        );
    }

    #[tokio::test]
    async fn bounds_apply_to_each_upstream() {
        let index = index(&[&[(R, "a:1")], &[]]);
        for number in 0..MAX_URIS + 10 {
            index.add(1, R, &format!("b:{number}"));
            index.add(1, T, &format!("c{number}:{{x}}"));
        }
        index.add(1, R, &format!("d:{}", "x".repeat(MAX_URI_LENGTH)));
        assert_eq!(index.claims("a:1"), [0]);
        let upstreams = index.lock();
        let ListedResources {
            uris,
            templates,
            schemes,
            bytes,
            ..
        } = &upstreams[1];
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
        tokio::time::advance(REFRESH_INTERVAL).await;
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
