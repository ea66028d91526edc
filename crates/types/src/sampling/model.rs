//! Model preferences.

use super::plain;
use crate::JsonObject;
use serde::{Deserialize, Serialize};

/// A server's preferences about the model. Always advisory: the client chooses.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelPreferences {
    /// Hints about models, in order of preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<Vec<ModelHint>>,
    /// How much low cost matters, from 0 to 1.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "plain"
    )]
    pub cost_priority: Option<f64>,
    /// How much low latency matters, from 0 to 1.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "plain"
    )]
    pub speed_priority: Option<f64>,
    /// How much capability matters, from 0 to 1.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "plain"
    )]
    pub intelligence_priority: Option<f64>,
    /// Members that this revision does not define.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ModelPreferences {
    /// Creates empty preferences.
    #[deprecated(
        note = "SEP-2577: sampling is deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; call the provider of the model directly"
    )]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the preferences with one more hint, of lower preference than the existing ones.
    #[must_use]
    pub fn with_hint(mut self, name: impl Into<String>) -> Self {
        let hint = ModelHint {
            name: Some(name.into()),
            extra: JsonObject::new(),
        };
        self.hints.get_or_insert_default().push(hint);
        self
    }

    /// Returns the preferences with a priority for low cost.
    #[must_use]
    pub fn with_cost_priority(mut self, priority: f64) -> Self {
        self.cost_priority = Some(priority);
        self
    }

    /// Returns the preferences with a priority for low latency.
    #[must_use]
    pub fn with_speed_priority(mut self, priority: f64) -> Self {
        self.speed_priority = Some(priority);
        self
    }

    /// Returns the preferences with a priority for capability.
    #[must_use]
    pub fn with_intelligence_priority(mut self, priority: f64) -> Self {
        self.intelligence_priority = Some(priority);
        self
    }

    /// Returns the first of `models` that matches the first matching hint: an earlier hint takes
    /// precedence over a later one, whatever the order of `models` (`client/sampling#model-hints`).
    /// `None` if no hint matches.
    ///
    /// Order `models` by the priorities, since the first one wins among several matches of a hint.
    pub fn pick<'m, I>(&self, models: I) -> Option<&'m str>
    where
        I: IntoIterator<Item = &'m str, IntoIter: Clone>,
    {
        let models = models.into_iter();
        self.hints
            .iter()
            .flatten()
            .find_map(|hint| models.clone().find(|model| hint.matches(model)))
    }

    /// Checks that all priorities are between 0 and 1.
    ///
    /// # Errors
    /// A message that names the first priority out of range.
    pub fn validate(&self) -> Result<(), String> {
        let priorities = [
            ("costPriority", self.cost_priority),
            ("speedPriority", self.speed_priority),
            ("intelligencePriority", self.intelligence_priority),
        ];
        for (name, priority) in priorities {
            if let Some(value) = priority
                && !(0.0..=1.0).contains(&value)
            {
                return Err(format!("{name} is {value}, not between 0 and 1"));
            }
        }
        Ok(())
    }
}

/// A hint about which model to use.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelHint {
    /// A substring of the name of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Members whose meaning is up to the client.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ModelHint {
    /// Creates a hint by name.
    #[deprecated(
        note = "SEP-2577: sampling is deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; call the provider of the model directly"
    )]
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            extra: JsonObject::new(),
        }
    }

    /// Returns whether `model` contains the name of the hint. An absent or empty name matches
    /// nothing.
    #[must_use]
    pub fn matches(&self, model: &str) -> bool {
        self.name
            .as_deref()
            .is_some_and(|name| !name.is_empty() && model.contains(name))
    }
}
