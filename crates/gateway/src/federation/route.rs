//! Calls that go to one upstream of several.

use super::Federation;
use crate::upstream::{SEPARATOR, Upstream, split};
use carryall_proto::{Call, Outcome, Reply};
use carryall_types::{ErrorObject, JsonObject, JsonValue, Method, RawJson, code};

impl Federation {
    /// `tools/call` and `prompts/get`: the name says where to, and is all that is rewritten. The
    /// transport mirrors it into `Mcp-Name` anew
    /// (`basic/transports/streamable-http#request-metadata`).
    pub(super) async fn by_name(&self, mut call: Call) -> Result<Reply, ErrorObject> {
        let what = if *call.method() == Method::ToolsCall {
            "tool"
        } else {
            "prompt"
        };
        let name = call
            .name()
            .map(str::to_owned)
            .ok_or_else(|| ErrorObject::invalid_params("\"name\" must be a string"))?;
        let (upstream, name) = self.resolve(what, &name)?;
        call.set_param("name", &RawJson::from(&JsonValue::from(name)));
        upstream
            .exchange(call)
            .await
            .map_err(|fault| fault.to_error())
    }

    /// `resources/read`: the URI says nothing about where to; lists do.
    pub(super) async fn read(&self, call: Call) -> Result<Reply, ErrorObject> {
        let uri = call.name().map(str::to_owned);
        let uri = uri.ok_or_else(|| ErrorObject::invalid_params("\"uri\" must be a string"))?;
        self.by_uri(&uri, call, "Resource not found").await
    }

    /// `completion/complete`: where the prompt or template is.
    pub(super) async fn complete(&self, mut call: Call) -> Result<Reply, ErrorObject> {
        let reference: Option<JsonObject> = call
            .params()
            .get("ref")
            .and_then(|reference| reference.decode().ok());
        let mut reference =
            reference.ok_or_else(|| ErrorObject::invalid_params("\"ref\" must be an object"))?;
        let text = |member: &str| {
            reference
                .get(member)
                .and_then(JsonValue::as_str)
                .map(str::to_owned)
        };
        match (text("type").as_deref(), text("name"), text("uri")) {
            (Some("ref/prompt"), Some(name), _) => {
                let (upstream, name) = self.resolve("prompt", &name)?;
                reference.insert("name".into(), name.into());
                call.set_param("ref", &RawJson::from(&JsonValue::Object(reference)));
                upstream
                    .exchange(call)
                    .await
                    .map_err(|fault| fault.to_error())
            }
            (Some("ref/resource"), _, Some(uri)) => {
                self.by_uri(&uri, call, "Resource template not found").await
            }
            _ => Err(ErrorObject::invalid_params(
                "\"ref\" must be a ref/prompt with a name or a ref/resource with a uri",
            )),
        }
    }

    fn resolve<'a>(&self, what: &str, name: &'a str) -> Result<(&Upstream, &'a str), ErrorObject> {
        let found = split(name).and_then(|(upstream, rest)| Some((self.upstream(upstream)?, rest)));
        found.ok_or_else(|| {
            let names: Vec<_> = self
                .upstreams
                .iter()
                .map(|upstream| format!("{}{SEPARATOR}", upstream.name()))
                .collect();
            ErrorObject::invalid_params(format!(
                "Unknown {what}: {name:?} begins with none of {}",
                names.join(", ")
            ))
        })
    }

    /// Asks the upstreams that claim the URI, the closest claim first, until one has it. All of
    /// this may be repeated without harm. If nobody claims it, or those who do say that they do not
    /// have it, the lists are fetched again, unless that was done just now. An upstream that does
    /// not claim it is never asked.
    async fn by_uri(&self, uri: &str, call: Call, not_found: &str) -> Result<Reply, ErrorObject> {
        let (mut asked, mut unknown) = (Vec::new(), None);
        for refreshed in [false, true] {
            if refreshed {
                self.refresh_resources(&call).await;
            }
            let mut claims = self.resources.claims(uri);
            if claims.is_empty() && refreshed {
                claims.extend(self.resources.owner_of_scheme(uri));
            }
            for at in claims {
                if asked.contains(&at) {
                    continue;
                }
                asked.push(at);
                let reply = self.upstreams[at]
                    .exchange(call.clone())
                    .await
                    .map_err(|fault| fault.to_error())?;
                if !says_unknown(&reply) {
                    return Ok(reply);
                }
                unknown.get_or_insert(reply);
            }
        }
        // An upstream that cannot be listed may be the one that has it.
        if let Some(error) = self.resources.failure() {
            return Err(error);
        }
        let data = RawJson::from(&serde_json::json!({ "uri": uri }));
        unknown.ok_or_else(|| ErrorObject::invalid_params(not_found).with_data(data))
    }
}

fn says_unknown(reply: &Reply) -> bool {
    let Reply::Once(response) = reply else {
        return false;
    };
    let Outcome::Error(error) = &response.outcome else {
        return false;
    };
    matches!(
        error.code,
        code::INVALID_PARAMS | code::LEGACY_RESOURCE_NOT_FOUND | code::METHOD_NOT_FOUND
    )
}
