//! Routes calls to one of several upstreams.

use super::Federation;
use crate::upstream::{SEPARATOR, Upstream, split};
use carryall_proto::{Call, Outcome, Reply};
use carryall_types::{ErrorObject, JsonObject, JsonValue, Method, RawJson, code};

impl Federation {
    /// Routes `tools/call` and `prompts/get` by the prefix of the name, the only member that is
    /// rewritten. The transport mirrors the new name into `Mcp-Name`
    /// (`basic/transports/streamable-http#request-metadata`).
    pub(super) async fn by_name(&self, mut call: Call) -> Result<Reply, ErrorObject> {
        let kind = if *call.method() == Method::ToolsCall {
            "tool"
        } else {
            "prompt"
        };
        let name = call
            .name()
            .map(str::to_owned)
            .ok_or_else(|| ErrorObject::invalid_params("\"name\" must be a string"))?;
        let (upstream, name) = self.resolve(kind, &name)?;
        call.set_param("name", &RawJson::from(&JsonValue::from(name)));
        exchange(upstream, call).await
    }

    /// Routes `resources/read` by the index of listed resources.
    pub(super) async fn read(&self, call: Call) -> Result<Reply, ErrorObject> {
        let uri = call.name().map(str::to_owned);
        let uri = uri.ok_or_else(|| ErrorObject::invalid_params("\"uri\" must be a string"))?;
        self.by_uri(&uri, call, "Resource not found").await
    }

    /// Routes `completion/complete` to the upstream of the prompt or template.
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
                exchange(upstream, call).await
            }
            (Some("ref/resource"), _, Some(uri)) => {
                self.by_uri(&uri, call, "Resource template not found").await
            }
            _ => Err(ErrorObject::invalid_params(
                "\"ref\" must be a ref/prompt with a name or a ref/resource with a uri",
            )),
        }
    }

    /// Splits a prefixed name into its upstream and the upstream's own name.
    fn resolve<'a>(&self, kind: &str, name: &'a str) -> Result<(&Upstream, &'a str), ErrorObject> {
        let resolved =
            split(name).and_then(|(upstream, rest)| Some((self.upstream(upstream)?, rest)));
        resolved.ok_or_else(|| {
            let prefixes: Vec<_> = self
                .upstreams
                .iter()
                .map(|upstream| format!("{}{SEPARATOR}", upstream.name()))
                .collect();
            ErrorObject::invalid_params(format!(
                "Unknown {kind}: {name:?} begins with none of {}",
                prefixes.join(", ")
            ))
        })
    }

    /// Sends a call to the upstreams that claim `uri`, the closest match first, until one knows it;
    /// such calls only read, so that is safe. If none claims it, or none knows it, the resources
    /// are listed again, unless that was done recently. Other upstreams never receive the URI.
    async fn by_uri(&self, uri: &str, call: Call, not_found: &str) -> Result<Reply, ErrorObject> {
        let (mut tried, mut unknown) = (Vec::new(), None);
        for refreshed in [false, true] {
            if refreshed {
                self.refresh_resources(&call).await;
            }
            let mut claims = self.resources.claims(uri);
            if claims.is_empty() && refreshed {
                claims.extend(self.resources.owner_of_scheme(uri));
            }
            for position in claims {
                if tried.contains(&position) {
                    continue;
                }
                tried.push(position);
                let reply = exchange(&self.upstreams[position], call.clone()).await?;
                if !is_unknown(&reply) {
                    return Ok(reply);
                }
                unknown.get_or_insert(reply);
            }
        }
        // An upstream that could not be listed may have the resource.
        if let Some(error) = self.resources.failure() {
            return Err(error);
        }
        let data = RawJson::from(&serde_json::json!({ "uri": uri }));
        unknown.ok_or_else(|| ErrorObject::invalid_params(not_found).with_data(data))
    }
}

async fn exchange(upstream: &Upstream, call: Call) -> Result<Reply, ErrorObject> {
    let reply = upstream.exchange(call).await;
    reply.map_err(|error| error.to_error())
}

/// Returns whether the upstream does not know the URI.
fn is_unknown(reply: &Reply) -> bool {
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
