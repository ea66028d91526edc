//! Subscriptions through the gateway: one downstream, one per upstream behind it, and none of those
//! is the client's worry.

mod feed;
mod joined;

pub(crate) use joined::LateListChanges;

use crate::fault::GatewayError;
use crate::upstream::Upstream;
use carryall_proto::listen::{closing_response, subscription_meta};
use carryall_proto::{Call, Message, MessageStream, Notification, Outcome, Params, Reply};
use carryall_types::{
    ErrorObject, JsonObject, JsonValue, RawJson, RequestId,
    SubscriptionsAcknowledgedNotificationParams, notification,
};
use feed::UpstreamFeed;
use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::{once, select_all};
use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// What there is to listen to.
pub(crate) struct Listening<'a> {
    /// What is asked of whom.
    pub(crate) parts: Vec<Part<'a>>,
    /// Why there is nobody to ask, if that may change.
    pub(crate) failure: Option<ErrorObject>,
    /// How long an upstream may take to acknowledge before the client's subscription goes ahead
    /// without it.
    pub(crate) patience: Duration,
    /// What joins the lists later than they were answered.
    pub(crate) joined: Option<&'a LateListChanges>,
}

/// The part of a subscription that one upstream is asked for.
pub(crate) struct Part<'a> {
    pub(crate) upstream: &'a Upstream,
    /// The client's call with the part of its filter that concerns this upstream.
    pub(crate) call: Call,
}

type Told = Pin<Box<dyn Stream<Item = Notification> + Send>>;

/// An upstream's subscription, or why there is none.
enum Opened {
    /// It was acknowledged.
    Listens(Notification, MessageStream),
    /// The upstream refuses; it would do so again.
    Refuses(ErrorObject),
    /// It gave no answer; it may later.
    Fails(ErrorObject),
    /// It gave no answer in time; it may be starting.
    Late(ErrorObject),
}

/// Opens the subscription with every upstream and joins what they tell. The client's stream stays
/// open when an upstream breaks off; that one is listened to again, on another replica if there is
/// one.
pub(crate) async fn listen(
    listening: Listening<'_>,
    mut closing: watch::Receiver<bool>,
    call: Call,
) -> Result<Reply, ErrorObject> {
    let id = call.id().clone();
    let opening = listening
        .parts
        .iter()
        .map(|part| open(part.upstream, part.call.clone(), listening.patience));
    let opened = join_all(opening).await;
    let own = if listening.joined.is_some() {
        wanted_lists(&call)
    } else {
        JsonObject::new()
    };
    let acknowledged = match listening.failure {
        Some(failure) if opened.is_empty() => return Err(failure),
        _ => acknowledgement(&call, &opened, own)?,
    };
    let filter = Arc::new(filter_of(&acknowledged));
    let feeds =
        opened
            .into_iter()
            .zip(listening.parts)
            .filter_map(|(opened, Part { upstream, call })| {
                let stream = match opened {
                    Opened::Listens(_, stream) => Some(stream),
                    Opened::Fails(_) | Opened::Late(_) => None,
                    Opened::Refuses(_) => return None,
                };
                let feed = UpstreamFeed::new(
                    upstream.clone(),
                    call,
                    Arc::clone(&filter),
                    listening.patience,
                    stream,
                );
                Some(Box::pin(feed.into_stream()) as Told)
            });
    let joined = listening
        .joined
        .map(|joined| Box::pin(joined.changes(id.clone(), Arc::clone(&filter))) as Told);
    let told = select_all(feeds.chain(joined));
    let closed = async move {
        if closing.wait_for(|closing| *closing).await.is_err() {
            // The gateway is gone without having said so; who holds the stream still listens.
            std::future::pending().await
        }
    };
    let closing = closing_response(&id);
    let messages = once(async { acknowledged })
        .chain(told.take_until(Box::pin(closed)))
        .map(|notification| Ok(Message::Notification(notification)))
        .chain(once(async { Ok(Message::Response(closing)) }));
    Ok(Reply::Stream(Box::pin(messages)))
}

async fn open(upstream: &Upstream, call: Call, patience: Duration) -> Opened {
    let requested = requested(&call);
    let reply = match timeout(patience, upstream.exchange(call)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(fault)) => return Opened::Fails(fault.to_error()),
        Err(_) => return Opened::Late(GatewayError::Timeout(patience).to_error()),
    };
    let mut stream = match reply {
        Reply::Stream(stream) => stream,
        Reply::Once(response) => match response.outcome {
            Outcome::Error(error) => return Opened::Refuses(error),
            // It closed in good order before it began: it is about to end.
            Outcome::Result(_) => return Opened::Fails(ErrorObject::internal()),
        },
    };
    // `exchange` has waited for the first message, and an upstream's first message is its
    // acknowledgement.
    match stream.next().await {
        Some(Ok(Message::Notification(first)))
            if first.method == notification::SUBSCRIPTIONS_ACKNOWLEDGED =>
        {
            Opened::Listens(restricted(first, &requested), stream)
        }
        _ => {
            tracing::warn!(
                upstream = upstream.name(),
                "the subscription began without its acknowledgement"
            );
            Opened::Fails(ErrorObject::internal())
        }
    }
}

/// One acknowledgement for all: what any of the upstreams honours, and what the gateway tells of
/// its `own`. With a single upstream it is that one's.
fn acknowledgement(
    call: &Call,
    opened: &[Opened],
    own: JsonObject,
) -> Result<Notification, ErrorObject> {
    let acknowledged: Vec<&Notification> = opened
        .iter()
        .filter_map(|opened| match opened {
            Opened::Listens(acknowledged, _) => Some(acknowledged),
            Opened::Refuses(_) | Opened::Fails(_) | Opened::Late(_) => None,
        })
        .collect();
    let is_late = opened
        .iter()
        .any(|opened| matches!(opened, Opened::Late(_)));
    match acknowledged[..] {
        // Everything that was asked for belongs to nobody. That may be the case of a resource that
        // is yet to appear, and the client sees what it was granted.
        [] if opened.is_empty() => Ok(united(call.id(), &[], own)),
        [] if !is_late => Err(first_error(opened)),
        [only] if !is_late && own.is_empty() => Ok(only.clone()),
        _ => {
            // A single upstream that is late tells of its lists, if of anything, once it is there.
            let lists = if is_late { wanted_lists(call) } else { own };
            Ok(united(call.id(), &acknowledged, lists))
        }
    }
}

/// The acknowledgement without what its upstream was not asked for: it is not that upstream's to
/// promise.
fn restricted(acknowledged: Notification, requested: &JsonObject) -> Notification {
    let params = acknowledged
        .params
        .clone()
        .and_then(|params| Params::parse(params).ok());
    let promised = params
        .as_ref()
        .and_then(|params| params.get("notifications")?.decode::<JsonObject>().ok());
    let (Some(params), Some(promised)) = (params, promised) else {
        return acknowledged;
    };
    let mut granted = promised.clone();
    granted.retain(|member, value| restrict(requested.get(member), value));
    if granted == promised {
        return acknowledged;
    }
    let params = params.with("notifications", &RawJson::from(&JsonValue::Object(granted)));
    Notification::new(
        notification::SUBSCRIPTIONS_ACKNOWLEDGED,
        params.raw().clone(),
    )
}

/// Takes out of one member what was not requested. `false` if nothing is left.
fn restrict(requested: Option<&JsonValue>, promised: &mut JsonValue) -> bool {
    match (requested, promised) {
        // It promises nothing.
        (_, JsonValue::Null | JsonValue::Bool(false)) => true,
        (None | Some(JsonValue::Null | JsonValue::Bool(false)), _) => false,
        (Some(JsonValue::Array(requested)), JsonValue::Array(promised)) => {
            let texts: HashSet<&str> = requested.iter().filter_map(JsonValue::as_str).collect();
            // What extensions put into a list besides text is theirs to understand.
            promised.retain(|item| item.as_str().is_none_or(|text| texts.contains(text)));
            true
        }
        (Some(JsonValue::Array(_)), _) => false,
        _ => true,
    }
}

/// What the client wants to hear of.
fn requested(call: &Call) -> JsonObject {
    call.params()
        .get("notifications")
        .and_then(|wanted| wanted.decode().ok())
        .unwrap_or_default()
}

/// The lists whose changes the client wants to hear of.
fn wanted_lists(call: &Call) -> JsonObject {
    let lists = [
        "toolsListChanged",
        "promptsListChanged",
        "resourcesListChanged",
    ];
    let is_wanted = |(name, value): &(String, JsonValue)| {
        lists.contains(&name.as_str()) && *value == JsonValue::Bool(true)
    };
    requested(call).into_iter().filter(is_wanted).collect()
}

fn united(id: &RequestId, acknowledged: &[&Notification], mut all: JsonObject) -> Notification {
    for one in acknowledged {
        let params: Option<JsonObject> =
            one.params.as_ref().and_then(|params| params.decode().ok());
        let Some(JsonValue::Object(filter)) =
            params.and_then(|mut params| params.remove("notifications"))
        else {
            continue;
        };
        for (member, value) in filter {
            unite(all.entry(member).or_insert(JsonValue::Null), value);
        }
    }
    let params = JsonObject::from_iter([
        ("_meta".to_owned(), JsonValue::Object(subscription_meta(id))),
        ("notifications".to_owned(), JsonValue::Object(all)),
    ]);
    Notification::new(
        notification::SUBSCRIPTIONS_ACKNOWLEDGED,
        RawJson::from(&JsonValue::Object(params)),
    )
}

/// Yes if either says yes; all that either names.
fn unite(all: &mut JsonValue, one: JsonValue) {
    match (all, one) {
        (JsonValue::Array(all), JsonValue::Array(one)) => {
            for item in one {
                if !all.contains(&item) {
                    all.push(item);
                }
            }
        }
        (all @ (JsonValue::Null | JsonValue::Bool(false)), one) => *all = one,
        _ => {}
    }
}

fn first_error(opened: &[Opened]) -> ErrorObject {
    let mut errors = opened.iter().filter_map(|opened| match opened {
        Opened::Listens(..) => None,
        Opened::Refuses(error) | Opened::Fails(error) | Opened::Late(error) => Some(error),
    });
    errors.next().cloned().unwrap_or_else(ErrorObject::internal)
}

fn filter_of(acknowledged: &Notification) -> carryall_types::SubscriptionFilter {
    let params = acknowledged
        .params
        .as_ref()
        .and_then(|params| params.decode().ok());
    params
        .map(|params: SubscriptionsAcknowledgedNotificationParams| params.notifications)
        .unwrap_or_default()
}
