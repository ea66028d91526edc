//! Input requests of a server, and the responses of the client (`basic/patterns/mrtr`).

use crate::lenient::decode_value;
use crate::object::object;
use crate::{
    ClientCapabilities, CreateMessageRequestParams, ElicitRequestParams, ElicitationCapability,
    IncludeContext, JsonObject, JsonValue, ListRootsRequestParams, SamplingCapability, ordered,
};
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A request for input by the server. There are exactly three methods
/// (`basic/patterns/mrtr#inputrequests`); any other one fails to decode.
#[derive(Clone, Debug, PartialEq)]
pub enum InputRequest {
    /// `elicitation/create`: asks the user.
    Elicit(ElicitRequestParams),
    /// `sampling/createMessage`: asks the client's model. Deprecated by SEP-2577.
    CreateMessage(Box<CreateMessageRequestParams>),
    /// `roots/list`: asks for the directories and files to work on. Deprecated by SEP-2577.
    ListRoots(ListRootsRequestParams),
}

impl InputRequest {
    /// Returns the method on the wire.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Elicit(_) => "elicitation/create",
            Self::CreateMessage(_) => "sampling/createMessage",
            Self::ListRoots(_) => "roots/list",
        }
    }

    /// Returns the capability that a client must have declared to be sent this request
    /// (`basic/patterns/mrtr#server-requirements`): the mode of the elicitation, `sampling` with
    /// `tools` or `context` if the request uses them, or `roots`.
    #[must_use]
    pub fn required_capability(&self) -> ClientCapabilities {
        let mut required = ClientCapabilities::new();
        match self {
            Self::Elicit(ElicitRequestParams::Form(_)) => {
                required.elicitation =
                    Some(ElicitationCapability::new().with_form(JsonObject::new()));
            }
            Self::Elicit(ElicitRequestParams::Url(_)) => {
                required.elicitation =
                    Some(ElicitationCapability::new().with_url(JsonObject::new()));
            }
            Self::CreateMessage(params) => {
                let mut sampling = SamplingCapability::new();
                sampling.tools = params.uses_tools().then(JsonObject::new);
                let context = params
                    .include_context
                    .is_some_and(|context| context != IncludeContext::None);
                sampling.context = context.then(JsonObject::new);
                required.sampling = Some(sampling);
            }
            Self::ListRoots(_) => required.roots = Some(JsonObject::new()),
        }
        required
    }

    /// Returns whether this request may be sent to a client with these `capabilities`.
    #[must_use]
    pub fn is_supported_by(&self, capabilities: &ClientCapabilities) -> bool {
        self.required_capability()
            .missing_from(capabilities)
            .is_none()
    }
}

impl<P: Into<ElicitRequestParams>> From<P> for InputRequest {
    fn from(params: P) -> Self {
        Self::Elicit(params.into())
    }
}

impl From<CreateMessageRequestParams> for InputRequest {
    fn from(params: CreateMessageRequestParams) -> Self {
        Self::CreateMessage(Box::new(params))
    }
}

impl From<ListRootsRequestParams> for InputRequest {
    fn from(params: ListRootsRequestParams) -> Self {
        Self::ListRoots(params)
    }
}

impl Serialize for InputRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("InputRequest", 2)?;
        object.serialize_field("method", self.method())?;
        match self {
            Self::Elicit(params) => object.serialize_field("params", params)?,
            Self::CreateMessage(params) => object.serialize_field("params", params)?,
            Self::ListRoots(params) => object.serialize_field("params", params)?,
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for InputRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The parameters are buffered, since `method` may come after them.
        #[derive(Deserialize)]
        struct Request {
            method: String,
            params: Option<JsonValue>,
        }
        let Request { method, params } = Request::deserialize(deserializer)?;
        let decoded = match (method.as_str(), params) {
            ("elicitation/create", Some(params)) => decode_value(params).map(Self::Elicit),
            ("sampling/createMessage", Some(params)) => {
                decode_value(params).map(Self::CreateMessage)
            }
            ("roots/list", Some(params)) => decode_value(params).map(Self::ListRoots),
            ("roots/list", None) => Ok(Self::ListRoots(ListRootsRequestParams::default())),
            ("elicitation/create" | "sampling/createMessage", None) => {
                return Err(D::Error::missing_field("params"));
            }
            _ => {
                const METHODS: &[&str] =
                    &["elicitation/create", "sampling/createMessage", "roots/list"];
                return Err(D::Error::unknown_variant(&method, METHODS));
            }
        };
        decoded.map_err(D::Error::custom)
    }
}

/// The input requests of a server by key, in the server's order. A duplicate key fails to decode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputRequests(Vec<(String, InputRequest)>);

impl InputRequests {
    /// Creates an empty collection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Inserts a request under `key`, which is unique (`basic/patterns/mrtr#inputrequests`).
    /// Returns the request that it replaces.
    pub fn insert(
        &mut self,
        key: impl Into<String>,
        request: impl Into<InputRequest>,
    ) -> Option<InputRequest> {
        let (key, request) = (key.into(), request.into());
        if let Some((_, slot)) = self.0.iter_mut().find(|(other, _)| *other == key) {
            return Some(std::mem::replace(slot, request));
        }
        self.0.push((key, request));
        None
    }

    /// Returns the collection with one more request.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, request: impl Into<InputRequest>) -> Self {
        self.insert(key, request);
        self
    }

    /// Returns the request under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&InputRequest> {
        self.0
            .iter()
            .find(|(other, _)| other == key)
            .map(|(_, request)| request)
    }

    /// Returns an iterator over the keys and requests, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &InputRequest)> {
        self.0.iter().map(|(key, request)| (key.as_str(), request))
    }

    /// Returns the number of requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for InputRequests {
    type Item = (String, InputRequest);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<String>, R: Into<InputRequest>> FromIterator<(K, R)> for InputRequests {
    fn from_iter<I: IntoIterator<Item = (K, R)>>(requests: I) -> Self {
        let mut collected = Self::new();
        for (key, request) in requests {
            collected.insert(key, request);
        }
        collected
    }
}

impl Serialize for InputRequests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ordered::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for InputRequests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ordered::deserialize(deserializer).map(Self)
    }
}

/// The client's responses to input requests, by the keys of the requests.
///
/// The responses remain JSON until [`Self::get_as`], because only the server knows the type behind
/// each key. Responses to unknown keys have to be ignored (`basic/patterns/mrtr#error-handling`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputResponses(pub JsonObject);

impl InputResponses {
    /// Creates an empty collection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Inserts the response to the request under `key`.
    ///
    /// # Errors
    /// When `answer` cannot be serialised as JSON.
    pub fn insert<T: Serialize>(
        &mut self,
        key: impl Into<String>,
        answer: &T,
    ) -> Result<(), serde_json::Error> {
        self.0.insert(key.into(), serde_json::to_value(answer)?);
        Ok(())
    }

    /// Decodes the response under `key`. Returns `None` if there is no response.
    ///
    /// # Errors
    /// When the response is not a `T`.
    #[must_use]
    pub fn get_as<T: DeserializeOwned>(&self, key: &str) -> Option<Result<T, serde_json::Error>> {
        self.0.get(key).map(T::deserialize)
    }

    /// Returns whether there is a response under `key`.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Returns the keys of the requests without a response, in the order of the requests.
    pub fn missing<'a>(&'a self, requests: &'a InputRequests) -> impl Iterator<Item = &'a str> {
        requests
            .iter()
            .map(|(key, _)| key)
            .filter(|key| !self.contains(key))
    }
}

impl From<JsonObject> for InputResponses {
    fn from(answers: JsonObject) -> Self {
        Self(answers)
    }
}

impl From<InputResponses> for JsonObject {
    fn from(responses: InputResponses) -> Self {
        responses.0
    }
}

object! {
    /// The result that asks the client for input before it repeats the request.
    ///
    /// `resultType` is not part of it: the code that writes or reads the envelope handles it.
    #[derive(Default)]
    pub struct InputRequiredResult {
        optional {
            /// The input that the client has to provide.
            input_requests / with_input_requests: InputRequests = "inputRequests",
            /// Opaque state that the client has to send back unchanged.
            request_state / with_request_state: String = "requestState",
            /// The `_meta` member.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}

impl InputRequiredResult {
    /// Checks that `inputRequests` or `requestState` is present
    /// (`basic/patterns/mrtr#inputrequiredresult`).
    ///
    /// # Errors
    /// When both are absent.
    pub fn check(&self) -> Result<(), String> {
        if self.input_requests.is_none() && self.request_state.is_none() {
            return Err("neither inputRequests nor requestState is present".to_owned());
        }
        Ok(())
    }

    /// Returns the capabilities that all requests together require of the client.
    #[must_use]
    pub fn required_capabilities(&self) -> ClientCapabilities {
        let mut all = ClientCapabilities::new();
        for (_, request) in self.input_requests.iter().flat_map(InputRequests::iter) {
            let one = request.required_capability();
            if let Some(elicitation) = one.elicitation {
                let merged = all.elicitation.get_or_insert_default();
                merged.form = merged.form.take().or(elicitation.form);
                merged.url = merged.url.take().or(elicitation.url);
            }
            if let Some(sampling) = one.sampling {
                let merged = all.sampling.get_or_insert_default();
                merged.tools = merged.tools.take().or(sampling.tools);
                merged.context = merged.context.take().or(sampling.context);
            }
            all.roots = all.roots.or(one.roots);
        }
        all
    }
}

#[cfg(test)]
mod tests;
