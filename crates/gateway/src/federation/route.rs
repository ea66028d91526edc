//! Calls that go to one upstream of several.

use super::Federation;
use crate::upstream::{SEPARATOR, Upstream, split};
use carryall_proto::{Call, Outcome, Reply};
use carryall_types::{ErrorObject, JsonObject, JsonValue, Method, RawJson, code};

impl Federation {
    /// `tools/call` and `prompts/get`: the name says where to, and is all that is rewritten. The transport mirrors it
    /// into `Mcp-Name` anew (`basic/transports/streamable-http#request-metadata`).
    pub(super) async fn by_name(&self, mut call: Call) -> Result<Reply, ErrorObject> {
        let what = if call.method == Method::ToolsCall { "tool" } else { "prompt" };
        let name = call.name().ok_or_else(|| ErrorObject::invalid_params("\"name\" must be a string"))?;
        let (upstream, name) = self.resolve(what, &name)?;
        call.params = call.params.with("name", &RawJson::from(&JsonValue::from(name)));
        upstream.exchange(call).await.map_err(|fault| fault.to_error())
    }

    /// `resources/read`: the URI says nothing about where to; lists have.
    pub(super) async fn read(&self, call: Call) -> Result<Reply, ErrorObject> {
        let uri: Option<String> = call.params.get("uri").and_then(|uri| uri.decode().ok());
        let uri = uri.ok_or_else(|| ErrorObject::invalid_params("\"uri\" must be a string"))?;
        self.first_that_knows(&uri, call).await
    }

    /// `completion/complete`: where the prompt or template is.
    pub(super) async fn complete(&self, mut call: Call) -> Result<Reply, ErrorObject> {
        let reference: Option<JsonObject> = call.params.get("ref").and_then(|reference| reference.decode().ok());
        let mut reference = reference.ok_or_else(|| ErrorObject::invalid_params("\"ref\" must be an object"))?;
        let text = |member: &str| reference.get(member).and_then(JsonValue::as_str).map(str::to_owned);
        match (text("type").as_deref(), text("name"), text("uri")) {
            (Some("ref/prompt"), Some(name), _) => {
                let (upstream, name) = self.resolve("prompt", &name)?;
                reference.insert("name".into(), name.into());
                call.params = call.params.with("ref", &RawJson::from(&JsonValue::Object(reference)));
                upstream.exchange(call).await.map_err(|fault| fault.to_error())
            }
            (Some("ref/resource"), _, Some(uri)) => self.first_that_knows(&uri, call).await,
            _ => Err(ErrorObject::invalid_params(
                "\"ref\" must be a ref/prompt with a name or a ref/resource with a uri",
            )),
        }
    }

    fn resolve<'a>(&self, what: &str, name: &'a str) -> Result<(&Upstream, &'a str), ErrorObject> {
        let found = split(name).and_then(|(upstream, rest)| Some((self.upstream(upstream)?, rest)));
        found.ok_or_else(|| {
            let names: Vec<_> =
                self.upstreams.iter().map(|upstream| format!("{}{SEPARATOR}", upstream.name())).collect();
            ErrorObject::invalid_params(format!("Unknown {what}: {name:?} begins with none of {}", names.join(", ")))
        })
    }

    /// Asks the likely owners and then the others, one after the other, until one has it. All of this may be repeated
    /// without harm. If nobody has it, the answer is that of the first who said so.
    async fn first_that_knows(&self, uri: &str, call: Call) -> Result<Reply, ErrorObject> {
        let (mut unknown, mut failed) = (None, None);
        for upstream in self.in_order_for(uri) {
            match upstream.exchange(call.clone()).await {
                Ok(reply) if says_unknown(&reply) => drop(unknown.get_or_insert(reply)),
                Ok(reply) => {
                    self.owners.correct(uri, upstream.name());
                    return Ok(reply);
                }
                Err(fault) => drop(failed.get_or_insert(fault)),
            }
        }
        // An upstream that cannot be asked may be the one that has it.
        match (failed, unknown) {
            (Some(fault), _) => Err(fault.to_error()),
            (None, Some(reply)) => Ok(reply),
            (None, None) => Err(ErrorObject::method_not_found(call.method.as_str())),
        }
    }

    fn in_order_for(&self, uri: &str) -> Vec<&Upstream> {
        let mut order: Vec<&Upstream> = Vec::with_capacity(self.upstreams.len());
        let likely = self.owners.of(uri);
        let likely = likely.iter().filter_map(|name| self.upstream(name));
        for upstream in likely.chain(&self.upstreams) {
            if !order.iter().any(|known| known.name() == upstream.name()) {
                order.push(upstream);
            }
        }
        order
    }
}

fn says_unknown(reply: &Reply) -> bool {
    let Reply::Once(response) = reply else { return false };
    let Outcome::Error(error) = &response.outcome else { return false };
    matches!(error.code, code::INVALID_PARAMS | code::LEGACY_RESOURCE_NOT_FOUND | code::METHOD_NOT_FOUND)
}
