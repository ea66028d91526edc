//! Whose resource a URI is. Learned from lists, never relied upon: an upstream that is asked for what it does not have
//! says so, and then the others are asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// What is known of more than these is forgotten, oldest first.
const MAX_KNOWN: usize = 16 * 1024;
const MAX_TEMPLATES: usize = 1024;
/// Longer URIs are not noted.
const MAX_URI: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A URI as it stands.
    Resource,
    /// A template (RFC 6570).
    Template,
}

#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    resources: HashMap<Box<str>, Arc<str>>,
    /// In the order in which they were learned.
    order: VecDeque<Box<str>>,
    /// Template and owner.
    templates: VecDeque<(Box<str>, Arc<str>)>,
}

impl Owners {
    /// The first upstream that lists a URI keeps it, so that the answer does not depend on who listed last.
    pub(super) fn learn(&self, kind: Kind, uri: &str, upstream: &str) {
        if uri.len() > MAX_URI {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Kind::Resource => known.learn_resource(uri, upstream),
            Kind::Template => known.learn_template(uri, upstream),
        }
    }

    /// A reply has shown whose the URI is.
    pub(super) fn correct(&self, uri: &str, upstream: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.resources.get_mut(uri) {
            Some(owner) if **owner != *upstream => *owner = upstream.into(),
            Some(_) => {}
            None if uri.len() <= MAX_URI => known.learn_resource(uri, upstream),
            None => {}
        }
    }

    /// The likely owners of a URI, the likeliest first.
    pub(super) fn of(&self, uri: &str) -> Vec<Arc<str>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let exact = known.resources.get(uri).cloned();
        let mut by_template: Vec<_> = known
            .templates
            .iter()
            .filter(|(template, _)| **template == *uri || uri.starts_with(literal(template)))
            .map(|(template, owner)| (literal(template).len(), Arc::clone(owner)))
            .collect();
        by_template.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        exact.into_iter().chain(by_template.into_iter().map(|(_, owner)| owner)).collect()
    }
}

impl Known {
    fn learn_resource(&mut self, uri: &str, upstream: &str) {
        if self.resources.contains_key(uri) {
            return;
        }
        if self.order.len() >= MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.resources.remove(&oldest);
        }
        self.resources.insert(uri.into(), upstream.into());
        self.order.push_back(uri.into());
    }

    fn learn_template(&mut self, template: &str, upstream: &str) {
        if self.templates.iter().any(|(known, _)| **known == *template) {
            return;
        }
        if self.templates.len() >= MAX_TEMPLATES {
            self.templates.pop_front();
        }
        self.templates.push_back((template.into(), upstream.into()));
    }
}

/// What stands before the first expression of a template.
fn literal(template: &str) -> &str {
    template.split('{').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(owners: &Owners, uri: &str) -> Vec<String> {
        owners.of(uri).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_likeliest_owner_comes_first() {
        let owners = Owners::default();
        owners.learn(Kind::Template, "file:///{path}", "files");
        owners.learn(Kind::Template, "file:///logs/{day}", "logs");
        owners.learn(Kind::Resource, "file:///logs/today", "today");
        assert_eq!(of(&owners, "file:///logs/today"), ["today", "logs", "files"]);
        assert_eq!(of(&owners, "file:///logs/{day}"), ["logs", "files"], "completion names the template");
        assert_eq!(of(&owners, "file:///x"), ["files"]);
        assert!(of(&owners, "http://x/").is_empty());
    }

    #[test]
    fn the_first_to_list_a_uri_keeps_it_until_a_reply_shows_better() {
        let owners = Owners::default();
        owners.learn(Kind::Resource, "a:x", "one");
        owners.learn(Kind::Resource, "a:x", "two");
        assert_eq!(of(&owners, "a:x"), ["one"]);
        owners.correct("a:x", "two");
        assert_eq!(of(&owners, "a:x"), ["two"]);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let owners = Owners::default();
        for number in 0..MAX_KNOWN + 10 {
            owners.learn(Kind::Resource, &format!("a:{number}"), "one");
            owners.learn(Kind::Template, &format!("b{number}:{{x}}"), "one");
        }
        owners.learn(Kind::Resource, &"x".repeat(MAX_URI + 1), "one");
        let known = owners.0.lock().unwrap();
        assert_eq!(
            (known.resources.len(), known.order.len(), known.templates.len()),
            (MAX_KNOWN, MAX_KNOWN, MAX_TEMPLATES)
        );
        assert!(!known.resources.contains_key("a:0") && known.resources.contains_key("a:10"));
    }
}
