//! Which model a server would like.

use super::plain;
use crate::JsonObject;
use serde::{Deserialize, Serialize};

/// What a server values in a model. Always advice: the client chooses.
///
/// Deprecated by SEP-2577; earliest removal: the first revision released on or after 2027-07-28.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelPreferences {
    /// Names of models, the most wanted first.
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
    /// Members that this revision does not name.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ModelPreferences {
    /// No preference yet.
    #[deprecated(
        note = "SEP-2577: sampling is deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; call the provider of the model directly"
    )]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same preferences with one more hint, less wanted than those before it.
    #[must_use]
    pub fn with_hint(mut self, name: impl Into<String>) -> Self {
        let hint = ModelHint {
            name: Some(name.into()),
            extra: JsonObject::new(),
        };
        self.hints.get_or_insert_default().push(hint);
        self
    }

    /// The same preferences with a priority for low cost.
    #[must_use]
    pub fn with_cost_priority(mut self, priority: f64) -> Self {
        self.cost_priority = Some(priority);
        self
    }

    /// The same preferences with a priority for low latency.
    #[must_use]
    pub fn with_speed_priority(mut self, priority: f64) -> Self {
        self.speed_priority = Some(priority);
        self
    }

    /// The same preferences with a priority for capability.
    #[must_use]
    pub fn with_intelligence_priority(mut self, priority: f64) -> Self {
        self.intelligence_priority = Some(priority);
        self
    }

    /// Of the models that a client has, the one that the hints ask for: the first hint that matches
    /// any model wins over every later hint, whatever the order of `models`
    /// (`client/sampling#model-hints`). Among several matches for that hint the earliest of
    /// `models` wins, so list them by the priorities first. `None` when no hint matches.
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

    /// Checks that every priority is between 0 and 1.
    ///
    /// # Errors
    /// Which priority is out of range.
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
    /// Part of the name of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Members that this revision leaves to the client.
    #[serde(flatten)]
    pub extra: JsonObject,
}

impl ModelHint {
    /// A hint by name.
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

    /// Whether `model` contains the hinted name. An absent or empty name says nothing and matches
    /// nothing.
    #[must_use]
    pub fn matches(&self, model: &str) -> bool {
        self.name
            .as_deref()
            .is_some_and(|name| !name.is_empty() && model.contains(name))
    }
}
