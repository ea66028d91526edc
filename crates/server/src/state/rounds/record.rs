//! What a call carries from round to round.

use carryall_types::{JsonObject, JsonValue};
use serde::{Deserialize, Serialize};

/// The answers and outcomes of a call so far. Travels in `requestState`, or stays with the task.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RoundRecord {
    /// Answers by the key of their question.
    #[serde(rename = "a", default, skip_serializing_if = "JsonObject::is_empty")]
    answers: JsonObject,
    /// Outcomes by the key of their step.
    #[serde(rename = "s", default, skip_serializing_if = "JsonObject::is_empty")]
    steps: JsonObject,
}

impl RoundRecord {
    pub(crate) fn answer(&self, key: &str) -> Option<&JsonValue> {
        self.answers.get(key)
    }

    /// Records an answer. The first answer to a question stays.
    pub(crate) fn record_answer(&mut self, key: String, answer: JsonValue) {
        self.answers.entry(key).or_insert(answer);
    }

    pub(crate) fn step(&self, key: &str) -> Option<&JsonValue> {
        self.steps.get(key)
    }

    /// Records the outcome of a step.
    pub(crate) fn record_step(&mut self, key: &str, outcome: JsonValue) {
        self.steps.insert(key.to_owned(), outcome);
    }
}
