//! The wire data of the Model Context Protocol, revision 2026-07-28.
//!
//! Every request, result, notification, error, content block and capability of the schema is a
//! plain type with its JSON codec, constructors and builder methods. A type may also check or
//! compare its own values against the rules of the specification (`check`, `validate`). Everything
//! else is out of scope: no I/O, no clock, and no protocol logic that spans messages.
//!
//! A value is decoded as the type that its [`Method`] calls for, never by guessing from its shape.
//! Unknown members survive a round trip in the `extra` map of a type where the schema leaves the
//! object open, and in `meta` where the schema has `_meta`.
//!
//! Beside the wire types there are a few helpers for text from other programs: [`RawJson`] keeps
//! JSON as text, [`decode_text`] tolerates what other implementations write, and [`Printable`]
//! escapes text for logs and terminals.
//!
//! ```
//! use carryall_types::{CallToolResult, ContentBlock};
//!
//! let result = CallToolResult::new([ContentBlock::text("42")]);
//! let json = serde_json::to_string(&result).unwrap();
//! assert_eq!(json, r#"{"content":[{"type":"text","text":"42"}]}"#);
//! ```

mod capabilities;
mod common;
mod completion;
mod content;
mod discover;
mod elicitation;
mod input;
mod json;
mod lenient;
mod listen;
mod meta;
mod method;
mod notifications;
mod number;
mod object;
mod ordered;
mod percent;
mod printable;
mod prompts;
mod resources;
mod result;
mod roots;
mod rpc;
mod sampling;
mod tagged;
mod tasks;
mod tools;
mod version;
mod weburl;

pub use capabilities::{
    ClientCapabilities, ElicitationCapability, PromptsCapability, ResourcesCapability,
    SamplingCapability, ServerCapabilities, ToolsCapability,
};
pub use common::{Annotations, Icon, IconTheme, Implementation, Role};
pub use completion::{
    CompleteRequestParams, CompleteResult, Completion, CompletionArgument, CompletionContext,
    CompletionReference, PromptReference, ResourceTemplateReference,
};
pub use content::{
    AudioContent, ContentBlock, EmbeddedResource, ImageContent, ResourceLink, TextContent,
};
pub use discover::DiscoverResult;
pub use elicitation::{
    BooleanSchema, ElicitAction, ElicitRequestFormParams, ElicitRequestParams,
    ElicitRequestURLParams, ElicitResult, EnumOption, FormMode, LegacyTitledEnumSchema,
    NumberSchema, NumberType, ObjectType, PrimitiveSchemaDefinition, RequestedSchema, StringFormat,
    StringSchema, StringType, TitledItems, TitledMultiSelectEnumSchema,
    TitledSingleSelectEnumSchema, UntitledItems, UntitledMultiSelectEnumSchema,
    UntitledSingleSelectEnumSchema, UrlMode,
};
pub use input::{InputRequest, InputRequests, InputRequiredResult, InputResponses};
pub use json::{JsonObject, JsonValue, RawJson};
pub use lenient::{decode_text, decode_value, replace_lone_surrogates};
pub use listen::{
    SubscriptionFilter, SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams, SubscriptionsListenResult,
};
pub use meta::meta_key;
pub use method::{Method, notification};
pub use notifications::{
    CancelledNotificationParams, LoggingLevel, LoggingMessageNotificationParams,
    ProgressNotificationParams, ResourceUpdatedNotificationParams, UnknownLoggingLevel,
};
pub use printable::{Clipped, Printable, PrintableFmt, is_printable};
pub use prompts::{
    GetPromptRequestParams, GetPromptResult, ListPromptsResult, Prompt, PromptArgument,
    PromptMessage,
};
pub use resources::{
    BlobResourceContents, ListResourceTemplatesResult, ListResourcesResult,
    ReadResourceRequestParams, ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
    TextResourceContents,
};
pub use result::{CacheScope, EmptyResult, PaginatedRequestParams, ResultType};
pub use roots::{ListRootsRequestParams, ListRootsResult, Root};
pub use rpc::{ErrorObject, ProgressToken, RequestId, code};
pub use sampling::{
    CreateMessageRequestParams, CreateMessageResult, IncludeContext, ModelHint, ModelPreferences,
    SamplingMessage, SamplingMessageContent, SamplingMessageContentBlock, StopReason, ToolChoice,
    ToolChoiceMode, ToolResultContent, ToolUseContent,
};
pub use tasks::{
    DetailedTask, TASKS_EXTENSION, Task, TaskParams, TaskStatus, UpdateTaskParams, task_method,
};
pub use tools::{CallToolRequestParams, CallToolResult, ListToolsResult, Tool, ToolAnnotations};
pub use version::{ProtocolVersion, UnknownProtocolVersion};
