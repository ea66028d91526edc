//! ServerRequests that wait for their client's answer.

use crate::message::Request;
use carryall_proto::sync::Mutex;
use carryall_proto::{Outcome, Response};
use carryall_types::{RawJson, RequestId};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use tokio::sync::oneshot;

/// How the ids of all questions begin.
const PREFIX: &str = "q-";
/// How long they are.
const ID_BYTES: usize = PREFIX.len() + 16;

/// More open questions than this are not asked, over all calls of one client.
const MAX_OPEN: usize = 1024;

/// The open questions of one client.
#[derive(Clone, Default)]
pub(crate) struct ServerRequests(Arc<Mutex<HashMap<String, oneshot::Sender<Outcome>>>>);

impl ServerRequests {
    /// Makes a question of it: what to send, and where the answer will be. `None` when too many are
    /// open.
    pub(crate) fn open(
        &self,
        method: &str,
        params: RawJson,
    ) -> Option<(Request, PendingServerRequest)> {
        // Ids of several replicas never meet, so an answer finds its question wherever it arrives.
        let mut random = [0; 8];
        getrandom::fill(&mut random).ok()?;
        let id = format!("{PREFIX}{:016x}", u64::from_le_bytes(random));
        let (sender, answer) = oneshot::channel();
        let mut open = self.lock();
        if open.len() >= MAX_OPEN {
            return None;
        }
        open.insert(id.clone(), sender);
        let request = Request {
            id: RequestId::String(id.as_str().into()),
            method: method.to_owned(),
            params,
        };
        Some((
            request,
            PendingServerRequest {
                id,
                answer,
                questions: self.clone(),
            },
        ))
    }

    /// Whether this could be the id of a question, of this replica or of another one.
    pub(crate) fn is_id(id: &RequestId) -> bool {
        matches!(id, RequestId::String(id) if id.len() == ID_BYTES && id.starts_with(PREFIX))
    }

    /// Hands an answer to who asked. `false` when nobody here did, or does any more.
    pub(crate) fn answer(&self, response: Response) -> bool {
        let RequestId::String(id) = &response.id else {
            return false;
        };
        let waiting = self.lock().remove(&**id);
        waiting.is_some_and(|waiting| waiting.send(response.outcome).is_ok())
    }

    /// Whether a question still waits for its answer.
    pub(crate) fn is_open(&self, id: &RequestId) -> bool {
        matches!(id, RequestId::String(id) if self.lock().contains_key(&**id))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Outcome>>> {
        self.0.lock()
    }
}

/// A question on its way. Dropping it withdraws it.
pub(crate) struct PendingServerRequest {
    id: String,
    answer: oneshot::Receiver<Outcome>,
    questions: ServerRequests,
}

impl PendingServerRequest {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The answer; `None` if there will be none. Cancel safe.
    pub(crate) async fn answer(&mut self) -> Option<Outcome> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for PendingServerRequest {
    fn drop(&mut self) {
        self.questions.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_finds_its_question_once() {
        let questions = ServerRequests::default();
        let (request, mut question) = questions.open("roots/list", RawJson::EMPTY_OBJECT).unwrap();
        assert!(ServerRequests::is_id(&request.id));
        let answer = Response::result(request.id.clone(), RawJson::EMPTY_OBJECT);
        assert!(questions.answer(answer.clone()));
        assert!(!questions.answer(answer));
        assert_eq!(
            question.answer().await,
            Some(Outcome::Result(RawJson::EMPTY_OBJECT))
        );
    }

    #[test]
    fn a_question_that_nobody_waits_for_is_no_question() {
        let questions = ServerRequests::default();
        let (request, question) = questions.open("roots/list", RawJson::EMPTY_OBJECT).unwrap();
        drop(question);
        assert!(!questions.answer(Response::result(request.id, RawJson::EMPTY_OBJECT)));
        assert!(!questions.answer(Response::result(1.into(), RawJson::EMPTY_OBJECT)));
        assert!(
            !ServerRequests::is_id(&1.into())
                && !ServerRequests::is_id(&RequestId::String("q-1".into()))
        );
    }

    #[test]
    fn open_questions_are_bounded() {
        let questions = ServerRequests::default();
        let open: Vec<_> = (0..MAX_OPEN)
            .map(|_| questions.open("roots/list", RawJson::EMPTY_OBJECT).unwrap())
            .collect();
        assert!(
            questions
                .open("roots/list", RawJson::EMPTY_OBJECT)
                .is_none()
        );
        drop(open);
        assert!(
            questions
                .open("roots/list", RawJson::EMPTY_OBJECT)
                .is_some()
        );
    }
}
