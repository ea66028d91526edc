//! [`Call`]: one request with everything needed to answer it.

use crate::json::decode_string;
use crate::{CallSource, Meta, Params, Principal};
use carryall_types::{Method, RawJson, RequestId};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One JSON-RPC request with everything needed to answer it. The response depends neither on
/// earlier requests nor on state of the connection (`basic/index#statelessness`).
///
/// [`params`](Self::params) contains `_meta` as text, and [`meta`](Self::meta) is the same `_meta`,
/// decoded. Every method that changes one of them updates the other.
///
/// The contents are boxed, because every layer moves the call into its future. `Debug` shows
/// neither parameters nor headers nor extensions, which hold arguments, credentials and task ids.
#[derive(Clone)]
pub struct Call(Box<Inner>);

#[derive(Clone)]
struct Inner {
    parts: CallParts,
    /// Derived from the method and the parameters.
    name: Option<CallName>,
}

/// The parts of a [`Call`], see [`Call::into_parts`].
#[derive(Clone)]
#[non_exhaustive]
pub struct CallParts {
    /// The id of the request.
    pub id: RequestId,
    /// The method.
    pub method: Method,
    /// The parameters, including `_meta`.
    pub params: Params,
    /// The decoded `_meta`.
    pub meta: Meta,
    /// The authenticated caller, if an authorization layer determined one.
    pub principal: Option<Arc<Principal>>,
    /// Where the call came from.
    pub source: CallSource,
    /// The HTTP headers of the request. `None` if it did not arrive over HTTP.
    pub headers: Option<http::HeaderMap>,
    /// Values that layers attach for inner layers and the handler.
    pub extensions: http::Extensions,
}

impl Call {
    /// Creates a call without principal, headers and extensions, from an unknown source. Sets the
    /// `_meta` member of `params` to `meta`.
    #[must_use]
    pub fn new(id: RequestId, method: Method, params: Params, meta: Meta) -> Self {
        let params = if params.get_str("_meta") == Some(meta.raw().as_str()) {
            params
        } else {
            params.with("_meta", meta.raw())
        };
        let name = CallName::find(&method, &params);
        Self::from_validated(id, method, params, meta, name)
    }

    /// Creates a call from validated parts: `meta` is the decoded `_meta` of `params`, and `name`
    /// was found in `params`.
    pub(crate) fn from_validated(
        id: RequestId,
        method: Method,
        params: Params,
        meta: Meta,
        name: Option<CallName>,
    ) -> Self {
        let parts = CallParts {
            id,
            method,
            params,
            meta,
            principal: None,
            source: CallSource::default(),
            headers: None,
            extensions: http::Extensions::new(),
        };
        Self(Box::new(Inner { parts, name }))
    }

    /// Creates another request on behalf of the same caller: with the same `_meta`, principal and
    /// source, but without headers and extensions.
    #[must_use]
    pub fn derive(&self, id: RequestId, method: Method, params: Params) -> Self {
        let mut call = Self::new(id, method, params, self.meta().clone());
        call.set_principal(self.shared_principal());
        call.set_source(self.source());
        call
    }

    /// Splits the call into its parts.
    #[must_use]
    pub fn into_parts(self) -> CallParts {
        self.0.parts
    }

    /// Returns the id of the request, which the response must repeat.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.0.parts.id
    }

    /// Replaces the id and returns the old one.
    pub fn replace_id(&mut self, id: RequestId) -> RequestId {
        std::mem::replace(&mut self.0.parts.id, id)
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0.parts.method
    }

    /// Returns the parameters, including `_meta`.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.0.parts.params
    }

    /// Sets one member of the parameters. Use [`set_meta`](Self::set_meta) for `_meta`, which this
    /// method leaves unchanged.
    ///
    /// # Panics
    /// In debug builds, when `name` is `_meta` or needs escapes.
    pub fn set_param(&mut self, name: &str, value: &RawJson) {
        debug_assert_ne!(name, "_meta", "use `set_meta` for `_meta`");
        if name != "_meta" {
            self.set_member(name, value);
        }
    }

    /// Returns the decoded `_meta`: version, client, capabilities, progress token, log level.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.0.parts.meta
    }

    /// Replaces `_meta`.
    pub fn set_meta(&mut self, meta: Meta) {
        self.set_member("_meta", meta.raw());
        self.0.parts.meta = meta;
    }

    /// Returns the value that the client repeats in the `Mcp-Name` header: the name of the tool or
    /// prompt, the URI of the resource, or the id of the task. `None` if the method has no such
    /// parameter, or it is missing or not a string.
    ///
    /// A task id is a bearer secret (`tasks#security-considerations`): for logs and traces use
    /// [`log_name`](Self::log_name).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        Some(self.0.name.as_ref()?.resolve(self.params()))
    }

    /// Returns [`name`](Self::name) as [`Bytes`](bytes::Bytes). Without a copy, as a slice of the
    /// parameters, unless the name contains escapes.
    #[must_use]
    pub fn name_bytes(&self) -> Option<bytes::Bytes> {
        Some(match self.0.name.as_ref()? {
            CallName::Plain(range) => {
                let text: bytes::Bytes = self.params().raw().clone().into_bytes();
                text.slice(range.clone())
            }
            CallName::Unescaped(name) => bytes::Bytes::copy_from_slice(name.as_bytes()),
        })
    }

    /// Returns [`name`](Self::name) for logs, traces and metrics, with a digest instead of a task
    /// id (see [`task::log_id`](crate::task::log_id)). The text is untrusted: log it as
    /// [`Printable`](crate::Printable).
    #[must_use]
    pub fn log_name(&self) -> Option<Cow<'_, str>> {
        let name = self.name()?;
        Some(if self.method().name_member() == Some("taskId") {
            Cow::Owned(crate::task::log_id(name))
        } else {
            Cow::Borrowed(name)
        })
    }

    /// Returns the authenticated caller, if an authorization layer determined one.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.parts.principal.as_deref()
    }

    /// Returns the authenticated caller as an [`Arc`].
    #[must_use]
    pub fn shared_principal(&self) -> Option<Arc<Principal>> {
        self.0.parts.principal.clone()
    }

    /// Sets the authenticated caller.
    pub fn set_principal(&mut self, principal: Option<Arc<Principal>>) {
        self.0.parts.principal = principal;
    }

    /// Returns where the call came from, as far as the transport can tell.
    #[must_use]
    pub fn source(&self) -> CallSource {
        self.0.parts.source
    }

    /// Sets where the call came from.
    pub fn set_source(&mut self, source: CallSource) {
        self.0.parts.source = source;
    }

    /// Returns the HTTP headers of the request. `None` if it did not arrive over HTTP.
    #[must_use]
    pub fn headers(&self) -> Option<&http::HeaderMap> {
        self.0.parts.headers.as_ref()
    }

    /// Returns the HTTP headers, mutably.
    pub fn headers_mut(&mut self) -> &mut Option<http::HeaderMap> {
        &mut self.0.parts.headers
    }

    /// Returns the values that layers attach for inner layers and the handler.
    #[must_use]
    pub fn extensions(&self) -> &http::Extensions {
        &self.0.parts.extensions
    }

    /// Returns the [`extensions`](Self::extensions), mutably.
    pub fn extensions_mut(&mut self) -> &mut http::Extensions {
        &mut self.0.parts.extensions
    }

    fn set_member(&mut self, name: &str, value: &RawJson) {
        let Inner {
            parts,
            name: call_name,
        } = &mut *self.0;
        parts.params = parts.params.with(name, value);
        *call_name = CallName::find(&parts.method, &parts.params);
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("id", self.id())
            .field("method", self.method())
            .field("name", &self.log_name())
            .field("source", &self.source())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CallParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallParts")
            .field("id", &self.id)
            .field("method", &self.method)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// The parameter that [`Call::name`] returns. It is located when the call is created
/// or changed, not on each access.
#[derive(Clone, Debug)]
pub(crate) enum CallName {
    /// The position in the text of the parameters, without the quotes.
    Plain(Range<usize>),
    /// The decoded text, if the text of the parameters contains escapes.
    Unescaped(Box<str>),
}

impl CallName {
    /// Finds the name in the parameters of a call of `method`. `None` if the method has none, or
    /// the parameter is missing or not a string.
    pub(crate) fn find(method: &Method, params: &Params) -> Option<Self> {
        let token = params.range_of(method.name_member()?)?;
        match decode_string(&params.raw().as_str()[token.clone()])? {
            Cow::Borrowed(_) => Some(Self::Plain(token.start + 1..token.end - 1)),
            Cow::Owned(name) => Some(Self::Unescaped(name.into())),
        }
    }

    /// Returns the name. `params` must be the parameters that were passed to [`find`](Self::find).
    pub(crate) fn resolve<'a>(&'a self, params: &'a Params) -> &'a str {
        match self {
            Self::Plain(range) => &params.raw().as_str()[range.clone()],
            Self::Unescaped(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_types::{ClientCapabilities, ProgressToken, ProtocolVersion};

    fn call(method: &str, params: &'static str) -> Call {
        let params = Params::parse(RawJson::from_trusted(params.into())).unwrap();
        let meta = Meta::new(ProtocolVersion::LATEST, ClientCapabilities::default());
        Call::new(1.into(), Method::from(method), params, meta)
    }

    fn meta_of(call: &Call) -> &str {
        call.params().get_str("_meta").unwrap()
    }

    #[test]
    fn meta_and_params_agree_after_every_change() {
        let mut call = call("tools/call", r#"{"name":"a","_meta":{}}"#);
        assert_eq!(meta_of(&call), call.meta().raw().as_str());
        call.set_meta(call.meta().with_progress_token(7.into()));
        assert!(meta_of(&call).contains(r#""progressToken":7"#));
        assert_eq!(meta_of(&call), call.meta().raw().as_str());
        call.set_param("name", &RawJson::from_value("b").unwrap());
        assert_eq!(call.name(), Some("b"));
        assert_eq!(meta_of(&call), call.meta().raw().as_str());
        let list = call.derive(2.into(), Method::ToolsList, Params::empty());
        assert_eq!(meta_of(&list), meta_of(&call));
        assert_eq!(list.meta().progress_token(), Some(&ProgressToken::from(7)));
    }

    #[test]
    fn names_are_found_plain_or_escaped() {
        for (params, name) in [
            (r#"{"name":"add"}"#, Some("add")),
            (r#"{"name":"\u0061dd"}"#, Some("add")),
            (r#"{"name":7}"#, None),
            (r#"{"uri":"add"}"#, None),
        ] {
            let call = call("tools/call", params);
            assert_eq!(call.name(), name);
            assert_eq!(call.name_bytes().as_deref(), name.map(str::as_bytes));
        }
        assert_eq!(call("tools/list", r#"{"name":"add"}"#).name(), None);
    }

    #[test]
    fn neither_the_log_name_nor_debug_shows_a_task_id_or_arguments() {
        let get = call("tasks/get", r#"{"taskId":"c0ffee00c0ffee00"}"#);
        assert_eq!(get.name(), Some("c0ffee00c0ffee00"));
        let shown = get.log_name().unwrap();
        assert!(
            shown.starts_with("task-") && !shown.contains("c0ffee"),
            "{shown}"
        );
        assert_eq!(
            shown,
            crate::task::log_id("c0ffee00c0ffee00"),
            "the same task has the same name in all lines"
        );
        assert_ne!(shown, crate::task::log_id("c0ffee00c0ffee01"));
        let tool = call(
            "tools/call",
            r#"{"name":"login","arguments":{"password":"hunter2"}}"#,
        );
        assert_eq!(tool.log_name().as_deref(), Some("login"));
        for text in [
            format!("{get:?}"),
            format!("{tool:?}"),
            format!("{:?}", get.clone().into_parts()),
        ] {
            assert!(
                !text.contains("c0ffee") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }
}
