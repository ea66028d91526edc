//! What a call has learned in its rounds so far.

use super::sealer::Sealer;
use crate::call::handler_error::HandlerError;
use carryall_proto::Call;
use carryall_types::{InputRequest, InputResponses, JsonObject, JsonValue};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What travels from round to round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// RoundAnswers by the key of their question.
    #[serde(rename = "a", default, skip_serializing_if = "JsonObject::is_empty")]
    answers: JsonObject,
    /// Outcomes by the key of their step.
    #[serde(rename = "s", default, skip_serializing_if = "JsonObject::is_empty")]
    steps: JsonObject,
}

impl Record {
    pub(crate) fn answer(&self, key: &str) -> Option<&JsonValue> {
        self.answers.get(key)
    }

    /// Notes an answer; the first one to a question stays.
    pub(crate) fn answered(&mut self, key: String, answer: JsonValue) {
        self.answers.entry(key).or_insert(answer);
    }

    /// Notes the outcome of a step.
    pub(crate) fn done(&mut self, key: &str, outcome: JsonValue) {
        self.steps.insert(key.to_owned(), outcome);
    }
}

/// The record of a call, read when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Option<Pages>>);

/// The record while the handler runs.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    record: Record,
    /// What this round brings, asked for or not.
    given: JsonObject,
    /// How often each question has been met in this round: the same one may be asked again.
    met: HashMap<String, u32>,
}

/// A journal that has been read.
pub(crate) struct Opened<'a>(&'a Journal);

impl Journal {
    /// What is known of a call from its beginning on.
    pub(crate) fn known(record: Record) -> Self {
        Self(Mutex::new(Some(Pages {
            record,
            given: JsonObject::new(),
            met: HashMap::new(),
        })))
    }

    /// Reads what the request brings, unless that has been done.
    ///
    /// # Errors
    /// When its state or its answers are malformed, or the state is not this server's.
    pub(crate) fn open(
        &self,
        call: &Call,
        sealer: &Sealer,
        responses: impl FnOnce() -> Result<InputResponses, HandlerError>,
        state: impl FnOnce() -> Result<Option<String>, HandlerError>,
    ) -> Result<Opened<'_>, HandlerError> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.is_none() {
            let record = match state()? {
                Some(token) => sealer.open(call, &token)?,
                None => Record::default(),
            };
            *pages = Some(Pages {
                record,
                given: responses()?.0,
                met: HashMap::new(),
            });
        }
        drop(pages);
        Ok(Opened(self))
    }
}

impl Opened<'_> {
    /// What is known so far, to be kept elsewhere.
    pub(crate) fn to_keep(&self) -> Record {
        self.with(|pages| pages.record.clone())
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Pages) -> T) -> T {
        let mut pages = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(pages.get_or_insert_default())
    }
}

impl Pages {
    /// The keys of questions: their name, or what they ask.
    pub(crate) fn keys_of(&mut self, name: Option<&str>, requests: &[InputRequest]) -> Vec<String> {
        let mut keys = Vec::with_capacity(requests.len());
        for (at, request) in requests.iter().enumerate() {
            keys.push(match name {
                Some(name) if requests.len() == 1 => name.to_owned(),
                Some(name) => format!("{name}-{}", at + 1),
                None => self.key_by_content(request),
            });
        }
        keys
    }

    fn key_by_content(&mut self, request: &InputRequest) -> String {
        let content = serde_json::to_vec(request).unwrap_or_default();
        let key = format!("ask-{:016x}", fingerprint(&content));
        let times = self.met.entry(key.clone()).or_default();
        *times += 1;
        if *times == 1 {
            key
        } else {
            format!("{key}-{times}")
        }
    }

    /// The answer to a question, from an earlier round or from this one. Only what is asked for
    /// gets into the record: the client may send whatever it likes.
    pub(crate) fn answer(&mut self, key: &str) -> Option<&JsonValue> {
        if !self.record.answers.contains_key(key)
            && let Some(answer) = self.given.shift_remove(key)
        {
            self.answered(key.to_owned(), answer);
        }
        self.record.answer(key)
    }

    pub(crate) fn answered(&mut self, key: String, answer: JsonValue) {
        self.record.answered(key, answer);
    }

    pub(crate) fn step(&self, key: &str) -> Option<&JsonValue> {
        self.record.steps.get(key)
    }

    pub(crate) fn record(&mut self, key: &str, outcome: JsonValue) {
        self.record.done(key, outcome);
    }

    /// What travels with the next questions.
    pub(crate) fn to_carry(&self) -> &Record {
        &self.record
    }
}

/// FNV-1a: the same on every replica, whatever it was built with. Nothing depends on it being hard
/// to meet: whoever answers one question may answer the other.
fn fingerprint(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
