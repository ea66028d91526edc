//! Who made a call, as far as that is known: the unit that state is kept apart by and that quotas
//! are counted for.

use crate::{Call, CallSource, ClientId, Principal};
use std::hash::{Hash as _, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// One caller, as told apart from others. Two values are equal when the calls may share state (see
/// [`Caller::of`]) or a quota (see [`Caller::accountable`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Caller {
    /// An authenticated caller. Scopes are not part of its identity.
    Principal {
        /// Who issued its credentials.
        issuer: Box<str>,
        /// The caller, unique within the issuer.
        subject: Box<str>,
        /// The OAuth client that acts for it.
        client: Option<Box<str>>,
    },
    /// An unauthenticated client, by its connection or legacy session.
    Client(ClientId),
    /// An unauthenticated client, by its network address; of an IPv6 address, its /64 network.
    Address(IpAddr),
    /// Nothing is known of the caller.
    Anonymous,
}

impl Caller {
    /// Returns the caller for keeping state apart: the principal, else the client's connection or
    /// session.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let client = call.source().client;
        let client = client.filter(|client| *client != ClientId::Unknown);
        call.principal()
            .map(Self::from)
            .or_else(|| client.map(Self::Client))
            .unwrap_or(Self::Anonymous)
    }

    /// Returns the caller for counting what it holds: the principal, else the network address
    /// (one host can open any number of connections and sessions), else the connection or session.
    #[must_use]
    pub fn accountable(call: &Call) -> Self {
        Self::accountable_for(call.principal(), call.source())
    }

    /// As [`accountable`](Self::accountable), for a transport that has no call yet.
    #[must_use]
    pub fn accountable_for(principal: Option<&Principal>, source: CallSource) -> Self {
        principal
            .map(Self::from)
            .or_else(|| source.address.map(Self::from))
            .or_else(|| source.client.map(Self::Client))
            .unwrap_or(Self::Anonymous)
    }
}

impl From<&Principal> for Caller {
    fn from(principal: &Principal) -> Self {
        Self::Principal {
            issuer: principal.issuer.as_str().into(),
            subject: principal.subject.as_str().into(),
            client: principal.client.as_deref().map(Into::into),
        }
    }
}

impl From<IpAddr> for Caller {
    /// The host with this address, or the /64 network of an IPv6 address.
    fn from(address: IpAddr) -> Self {
        Self::Address(network(address))
    }
}

/// Who made a call, without copied text: what a [`Caller`] is computed from. Kept with each call in
/// flight.
#[derive(Clone, Debug, Default)]
pub struct CallerId {
    principal: Option<Arc<Principal>>,
    source: CallSource,
}

impl CallerId {
    /// A caller in process, of which nothing is known.
    pub const IN_PROCESS: Self = Self {
        principal: None,
        source: CallSource::new(None, None),
    };

    /// Returns who made `call`.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        Self {
            principal: call.shared_principal(),
            source: call.source(),
        }
    }

    /// Returns the caller for counting what it holds, as [`Caller::accountable`].
    #[must_use]
    pub fn accountable(&self) -> Caller {
        Caller::accountable_for(self.principal.as_deref(), self.source)
    }

    /// Whether nothing is known of the caller, as of one in process.
    #[must_use]
    pub fn is_in_process(&self) -> bool {
        self.principal.is_none() && self.source == CallSource::default()
    }

    /// Whether two calls have the same principal, or neither has one.
    #[must_use]
    pub fn has_same_principal(&self, other: &Self) -> bool {
        match (&self.principal, &other.principal) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Whether two calls were provably made by the same client. Then a message that belongs to one
    /// of them, without saying to which, may go to either.
    ///
    /// True for calls of one principal, of one legacy session, and of one local connection (a pipe
    /// or a Unix socket, which has no network address), and for calls made in process, of which
    /// nothing is known. False for unauthenticated calls on one network connection, because an
    /// intermediary may share its connections among many users.
    #[must_use]
    pub fn is_provably_same(&self, other: &Self) -> bool {
        match (&self.principal, &other.principal) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => {
                self.source.client == other.source.client
                    && match self.source.client {
                        Some(ClientId::Legacy(_)) => true,
                        Some(ClientId::Unknown) => false,
                        Some(ClientId::Connection(_)) | None => {
                            self.source.address.is_none() && other.source.address.is_none()
                        }
                    }
            }
            _ => false,
        }
    }

    /// Feeds the quota that a call counts against to a hasher, without copying text. Calls for
    /// which [`shares_quota_with`](Self::shares_quota_with) holds feed the same.
    pub fn hash_quota(&self, state: &mut impl Hasher) {
        match (&self.principal, self.source.address) {
            (Some(principal), _) => (
                0_u8,
                &principal.issuer,
                &principal.subject,
                &principal.client,
            )
                .hash(state),
            (None, Some(address)) => (1_u8, network(address)).hash(state),
            (None, None) => (2_u8, self.source.client).hash(state),
        }
    }

    /// Whether two calls count against the same quota: whether their [`Caller::accountable`] is
    /// equal.
    #[must_use]
    pub fn shares_quota_with(&self, other: &Self) -> bool {
        match (&self.principal, &other.principal) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => match (self.source.address, other.source.address) {
                (Some(one), Some(other)) => network(one) == network(other),
                (None, None) => self.source.client == other.source.client,
                _ => false,
            },
            _ => false,
        }
    }
}

/// One host can use any of the addresses of its /64 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Meta, Params};
    use carryall_types::{ClientCapabilities, Method, ProtocolVersion, RequestId};

    fn call(source: CallSource, subject: Option<&str>) -> Call {
        let meta = Meta::new(ProtocolVersion::LATEST, ClientCapabilities::default());
        let mut call = Call::new(RequestId::from(1), Method::ToolsList, Params::empty(), meta);
        call.set_source(source);
        call.set_principal(subject.map(|subject| {
            Arc::new(Principal {
                issuer: "i".into(),
                subject: subject.into(),
                client: None,
                scopes: vec!["s".into()],
            })
        }));
        call
    }

    #[test]
    fn a_principal_is_the_same_caller_on_every_connection() {
        let on = |number| {
            CallSource::new(
                Some(ClientId::Connection(number)),
                Some([10, 0, 0, number as u8].into()),
            )
        };
        assert_eq!(
            Caller::of(&call(on(1), Some("a"))),
            Caller::of(&call(on(2), Some("a")))
        );
        assert_eq!(
            Caller::accountable(&call(on(1), Some("a"))),
            Caller::accountable(&call(on(2), Some("a")))
        );
        assert_ne!(
            Caller::of(&call(on(1), Some("a"))),
            Caller::of(&call(on(1), Some("b")))
        );
    }

    #[test]
    fn without_a_principal_state_goes_by_connection_and_quotas_by_address() {
        let on = |number| {
            CallSource::new(
                Some(ClientId::Connection(number)),
                Some([10, 0, 0, 1].into()),
            )
        };
        assert_ne!(
            Caller::of(&call(on(1), None)),
            Caller::of(&call(on(2), None))
        );
        assert_eq!(
            Caller::accountable(&call(on(1), None)),
            Caller::accountable(&call(on(2), None))
        );
        assert_eq!(
            Caller::of(&call(CallSource::default(), None)),
            Caller::Anonymous
        );
    }

    #[test]
    fn only_what_proves_a_single_client_makes_two_calls_certainly_its_own() {
        let id = |source, subject| CallerId::of(&call(source, subject));
        let connection = |number| Some(ClientId::Connection(number));
        let local = |number| CallSource::new(connection(number), None);
        let remote = CallSource::new(connection(1), Some([10, 0, 0, 1].into()));
        let legacy =
            |number| CallSource::new(Some(ClientId::Legacy(number)), Some([10, 0, 0, 1].into()));
        let certain = [
            (id(remote, Some("a")), id(local(2), Some("a"))),
            (id(legacy(1), None), id(legacy(1), None)),
            (id(local(1), None), id(local(1), None)),
            (
                id(CallSource::default(), None),
                id(CallSource::default(), None),
            ),
        ];
        for (one, other) in certain {
            assert!(
                one.is_provably_same(&other) && other.is_provably_same(&one),
                "{one:?} {other:?}"
            );
        }
        let uncertain = [
            (id(remote, Some("a")), id(remote, Some("b"))),
            (id(remote, Some("a")), id(remote, None)),
            (id(legacy(1), None), id(legacy(2), None)),
            (id(local(1), None), id(local(2), None)),
            // A proxy in between may serve two users on it.
            (id(remote, None), id(remote, None)),
            (id(local(1), None), id(CallSource::default(), None)),
            (id(CallSource::UNKNOWN, None), id(CallSource::UNKNOWN, None)),
        ];
        for (one, other) in uncertain {
            assert!(
                !one.is_provably_same(&other) && !other.is_provably_same(&one),
                "{one:?} {other:?}"
            );
        }
    }

    #[test]
    fn quotas_are_compared_as_they_are_counted() {
        let sources = [
            CallSource::default(),
            CallSource::new(Some(ClientId::Connection(1)), None),
            CallSource::new(Some(ClientId::Connection(2)), Some([10, 0, 0, 1].into())),
            CallSource::new(Some(ClientId::Legacy(3)), Some([10, 0, 0, 1].into())),
            CallSource::new(
                Some(ClientId::Connection(2)),
                Some("2001:db8::1".parse().unwrap()),
            ),
            CallSource::new(
                Some(ClientId::Connection(2)),
                Some("2001:db8::2".parse().unwrap()),
            ),
        ];
        let calls: Vec<Call> = sources
            .iter()
            .flat_map(|source| [None, Some("a"), Some("b")].map(|subject| call(*source, subject)))
            .collect();
        for one in &calls {
            for other in &calls {
                assert_eq!(
                    CallerId::of(one).shares_quota_with(&CallerId::of(other)),
                    Caller::accountable(one) == Caller::accountable(other),
                    "{one:?} {other:?}"
                );
                let hash = |call: &Call| {
                    let mut hasher = std::hash::DefaultHasher::new();
                    CallerId::of(call).hash_quota(&mut hasher);
                    hasher.finish()
                };
                assert_eq!(
                    hash(one) == hash(other),
                    CallerId::of(one).shares_quota_with(&CallerId::of(other)),
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_caller() {
        let from = |address: &str| {
            let source = CallSource::new(None, Some(address.parse().unwrap()));
            Caller::accountable(&call(source, None))
        };
        assert_eq!(from("2001:db8::1"), from("2001:db8::ffff:1"));
        assert_ne!(from("2001:db8::1"), from("2001:db8:0:1::1"));
        assert_eq!(from("::ffff:10.0.0.1"), from("10.0.0.1"));
    }
}
