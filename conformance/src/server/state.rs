//! `requestState`: what a call has learned so far, sealed so that only the same request of the same caller brings it
//! back, and only for a while (`basic/patterns/mrtr#server-requirements-basic-workflow`).

use carryall::Ctx;
use carryall::proto::Principal;
use carryall::proto::seal::{Key, Keyring, NONCE_BYTES};
use carryall::server::Failure;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PURPOSE: &str = "request-state";

/// Long enough for somebody to fill in a form.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// Which request a state belongs to. The fixtures that keep state take no arguments, which their schemas enforce, so
/// the method and the name say everything about the request.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) name: &'static str,
}

/// Seals and opens states, with a key that lives as long as this process: the suite talks to one replica.
pub(crate) struct States(Keyring);

impl States {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self(Keyring::new(Key::new(1, secret))))
    }

    /// The state as the client may see it.
    pub(crate) fn seal(&self, ctx: &Ctx, request: Request, state: &impl Serialize) -> Result<String, Failure> {
        self.seal_at(now(), ctx.principal(), request, state)
    }

    /// The state that this round brings back, or `None` when it brings none.
    ///
    /// # Errors
    /// `-32602` when this server has not sealed it for this request and caller, or not recently.
    pub(crate) fn open<T: DeserializeOwned>(&self, ctx: &Ctx, request: Request) -> Result<Option<T>, Failure> {
        match ctx.request_state()? {
            Some(token) => self.open_at(now(), ctx.principal(), request, &token).map(Some),
            None => Ok(None),
        }
    }

    fn seal_at(
        &self,
        now: u64,
        caller: Option<&Principal>,
        request: Request,
        state: &impl Serialize,
    ) -> Result<String, Failure> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let state = serde_json::to_vec(state)?;
        Ok(self.0.seal(PURPOSE, &binding(caller, request)?, now + LIFETIME.as_secs(), nonce, &state)?)
    }

    fn open_at<T: DeserializeOwned>(
        &self,
        now: u64,
        caller: Option<&Principal>,
        request: Request,
        token: &str,
    ) -> Result<T, Failure> {
        let opened = self.0.open(PURPOSE, &binding(caller, request)?, now, token);
        let state = opened.map_err(|_| Failure::invalid_params("Invalid requestState"))?;
        Ok(serde_json::from_slice(&state)?)
    }
}

/// JSON, because no two different requests look the same in it.
fn binding(caller: Option<&Principal>, request: Request) -> Result<Vec<u8>, serde_json::Error> {
    let caller = caller.map(|caller| (&caller.issuer, &caller.subject, &caller.client));
    serde_json::to_vec(&(caller, request.method, request.name))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Request = Request { method: "tools/call", name: "a" };

    fn caller(subject: &str) -> Principal {
        Principal { issuer: "https://issuer.test".into(), subject: subject.into(), client: None, scopes: Vec::new() }
    }

    fn opens(states: &States, at: u64, caller: Option<&Principal>, request: Request, token: &str) -> bool {
        states.open_at::<u8>(at, caller, request, token).is_ok()
    }

    #[test]
    fn a_state_comes_back_to_the_same_caller_and_request_before_it_expires() {
        let states = States::new().unwrap();
        let alice = caller("alice");
        let token = states.seal_at(1000, Some(&alice), TOOL, &7).unwrap();
        assert_eq!(states.open_at::<u8>(1599, Some(&alice), TOOL, &token).unwrap(), 7);
        assert!(!opens(&states, 1600, Some(&alice), TOOL, &token), "expired");
        assert!(!opens(&states, 1000, Some(&caller("bob")), TOOL, &token), "another caller");
        assert!(!opens(&states, 1000, None, TOOL, &token), "an anonymous caller");
        for request in [Request { name: "b", ..TOOL }, Request { method: "prompts/get", ..TOOL }] {
            assert!(!opens(&states, 1000, Some(&alice), request, &token), "another request");
        }
    }

    #[test]
    fn an_altered_state_and_one_of_another_server_are_invalid_params() {
        let states = States::new().unwrap();
        let token = states.seal_at(0, None, TOOL, &7).unwrap();
        assert!(opens(&states, 0, None, TOOL, &token));
        let altered = states.open_at::<u8>(0, None, TOOL, &format!("{token}-TAMPERED")).unwrap_err();
        assert!(altered.to_string().contains("requestState"), "{altered}");
        assert!(!opens(&States::new().unwrap(), 0, None, TOOL, &token));
    }

    #[test]
    fn the_same_state_never_looks_the_same() {
        let states = States::new().unwrap();
        let seal = || states.seal_at(0, None, TOOL, &7).unwrap();
        assert_ne!(seal(), seal());
    }
}
