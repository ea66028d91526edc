//! The handlers of this client for input requests and notifications.

use super::NOTICE;
use rmcp::model::{
    ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult,
    ElicitRequestParams, ElicitResult, ElicitationAction, Implementation, ListRootsResult,
    LoggingMessageNotificationParam, ProgressNotificationParam, ResourceUpdatedNotificationParam,
    Root, SamplingMessage,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde_json::json;
use std::sync::{Arc, Mutex};

pub(super) const ROOTS: [&str; 2] = ["file:///home/ada/one", "file:///home/ada/two"];

/// The notifications received so far.
#[derive(Default)]
pub(super) struct Received {
    pub(super) progress: Vec<ProgressNotificationParam>,
    pub(super) messages: Vec<LoggingMessageNotificationParam>,
    pub(super) tools: bool,
    pub(super) notice: bool,
}

#[derive(Clone, Default)]
pub(super) struct Handler {
    received: Arc<Mutex<Received>>,
}

impl Handler {
    pub(super) fn received<T>(&self, look: impl FnOnce(&mut Received) -> T) -> T {
        look(&mut self.received.lock().expect("no panic while it is held"))
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let offers = ClientCapabilities::builder()
            .enable_elicitation()
            .enable_sampling()
            .enable_roots()
            .build();
        ClientConfig::new(offers, Implementation::new("interop-rmcp", "1.0.0"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        match request {
            ElicitRequestParams::FormElicitationParams { message, .. }
                if message.contains("expect you") =>
            {
                let content = json!({"date": "2026-08-01", "guests": 4});
                Ok(ElicitResult::new(ElicitationAction::Accept).with_content(content))
            }
            other => Err(ErrorData::invalid_params(
                format!("unexpected: {other:?}"),
                None,
            )),
        }
    }

    async fn create_message(
        &self,
        request: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let asked = request
            .messages
            .first()
            .and_then(|message| message.content.first());
        let asked = asked
            .and_then(|block| block.as_text())
            .map(|text| text.text.as_str())
            .unwrap_or_default();
        let output = SamplingMessage::assistant_text(format!("You asked: {asked}"));
        Ok(CreateMessageResult::new(output, "interop-model".into()))
    }

    async fn list_roots(
        &self,
        _: RequestContext<RoleClient>,
    ) -> Result<ListRootsResult, ErrorData> {
        Ok(ListRootsResult::new(ROOTS.map(Root::new).to_vec()))
    }

    async fn on_progress(
        &self,
        note: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.received(|received| received.progress.push(note));
    }

    async fn on_logging_message(
        &self,
        note: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.received(|received| received.messages.push(note));
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.received(|received| received.tools = true);
    }

    async fn on_resource_updated(
        &self,
        note: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.received(|received| received.notice |= note.uri == NOTICE);
    }
}
