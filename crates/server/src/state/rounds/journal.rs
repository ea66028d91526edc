//! The record of a call while its handler runs.

use super::record::RoundRecord;
use crate::call::handler_error::HandlerError;
use crate::state::sealer::Sealer;
use carryall_proto::Call;
use carryall_proto::sync::Mutex;
use carryall_types::{InputRequest, InputResponses, JsonObject, JsonValue};
use std::collections::HashMap;

/// The journal of a call, read from the request when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Option<JournalState>>);

#[derive(Debug, Default)]
pub(crate) struct JournalState {
    record: RoundRecord,
    /// The answers that this round brings, asked for or not.
    responses: JsonObject,
    /// How often each question was asked in this round: the same one may be asked again.
    asked: HashMap<String, u32>,
}

/// A journal that has been read.
pub(crate) struct OpenJournal<'a>(&'a Journal);

impl From<RoundRecord> for Journal {
    /// The journal of a call whose record was kept elsewhere, so that nothing is read.
    fn from(record: RoundRecord) -> Self {
        Self(Mutex::new(Some(JournalState {
            record,
            ..JournalState::default()
        })))
    }
}

impl Journal {
    /// Reads what the request brings, unless that was done before.
    ///
    /// # Errors
    /// `-32602`, when its answers or its state are malformed, or the state was not sealed for this
    /// request.
    pub(crate) fn open(
        &self,
        call: &Call,
        sealer: &Sealer,
        responses: impl FnOnce() -> Result<InputResponses, HandlerError>,
        request_state: impl FnOnce() -> Result<Option<String>, HandlerError>,
    ) -> Result<OpenJournal<'_>, HandlerError> {
        let mut state = self.0.lock();
        if state.is_none() {
            let record = match request_state()? {
                Some(token) => sealer.open(call, &token)?,
                None => RoundRecord::default(),
            };
            *state = Some(JournalState {
                record,
                responses: responses()?.0,
                asked: HashMap::new(),
            });
        }
        drop(state);
        Ok(OpenJournal(self))
    }
}

impl OpenJournal<'_> {
    pub(crate) fn to_record(&self) -> RoundRecord {
        self.with(|state| state.record.clone())
    }

    pub(crate) fn with<T>(&self, access: impl FnOnce(&mut JournalState) -> T) -> T {
        access(self.0.0.lock().get_or_insert_default())
    }
}

impl JournalState {
    /// Returns the keys of questions: their name, or a digest of what they ask.
    pub(crate) fn keys_of(&mut self, name: Option<&str>, requests: &[InputRequest]) -> Vec<String> {
        let mut keys = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            keys.push(match name {
                Some(name) if requests.len() == 1 => name.to_owned(),
                Some(name) => format!("{name}-{}", index + 1),
                None => self.key_by_content(request),
            });
        }
        keys
    }

    fn key_by_content(&mut self, request: &InputRequest) -> String {
        let content = serde_json::to_vec(request).unwrap_or_default();
        let key = format!("ask-{:016x}", fingerprint(&content));
        let times = self.asked.entry(key.clone()).or_default();
        *times += 1;
        if *times == 1 {
            key
        } else {
            format!("{key}-{times}")
        }
    }

    /// Returns the answer to a question, from an earlier round or from this one. Only answers that
    /// are asked for enter the record, since clients may send others.
    pub(crate) fn answer(&mut self, key: &str) -> Option<&JsonValue> {
        if self.record.answer(key).is_none()
            && let Some(answer) = self.responses.shift_remove(key)
        {
            self.record.record_answer(key.to_owned(), answer);
        }
        self.record.answer(key)
    }

    /// The record, which travels with the next questions.
    pub(crate) fn record(&mut self) -> &mut RoundRecord {
        &mut self.record
    }
}

/// FNV-1a, which is the same on replicas of every build. Collisions are harmless: whoever answers
/// one question of a call may answer the other.
fn fingerprint(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
