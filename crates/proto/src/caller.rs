//! Who sent a call, as far as that is known: the unit by which state is kept apart and quotas are counted.

use crate::{Call, Principal};
use std::net::{IpAddr, Ipv6Addr};

/// Identifies one client of a transport for as long as its connection or legacy session lasts.
///
/// It says that two calls came from the same client, not who that client is: it is no substitute for a [`Principal`].
/// One connection may carry the calls of many users when an intermediary pools its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ClientId {
    /// A connection, by a number that is unique in this process.
    Connection(u64),
    /// The session of a legacy client, by a digest of its id, which is equal on all replicas.
    Legacy(u128),
}

/// Where a call came from, as far as the transport can tell. Empty for calls made in process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CallSource {
    /// The connection or legacy session of the client.
    pub client: Option<ClientId>,
    /// The network address of the other end of the connection: the client, or the last proxy before this process.
    pub address: Option<IpAddr>,
}

impl CallSource {
    /// A call from this client.
    #[must_use]
    pub const fn new(client: Option<ClientId>, address: Option<IpAddr>) -> Self {
        Self { client, address }
    }
}

/// One caller, as told apart from others. Two values are equal when the calls may share state (see
/// [`Caller::of`]) or a quota (see [`Caller::accountable`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Caller {
    /// An authenticated caller. Scopes are not part of who it is.
    Principal {
        /// Who vouches for it.
        issuer: Box<str>,
        /// The caller, unique within the issuer.
        subject: Box<str>,
        /// The OAuth client that acts for it.
        client: Option<Box<str>>,
    },
    /// An unauthenticated client, by its connection or legacy session.
    Client(ClientId),
    /// An unauthenticated client, by its network address; an IPv6 address stands for its /64 network.
    Address(IpAddr),
    /// Nothing is known of the caller.
    Anonymous,
}

impl Caller {
    /// The caller for keeping state apart: the principal, else the client's connection or session.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        Self::principal(call).or_else(|| call.source.client.map(Self::Client)).unwrap_or(Self::Anonymous)
    }

    /// The caller for counting what it holds: the principal, else the network address, since one host opens as many
    /// connections and sessions as it likes, else the connection or session.
    #[must_use]
    pub fn accountable(call: &Call) -> Self {
        Self::principal(call)
            .or_else(|| call.source.address.map(|address| Self::Address(network(address))))
            .or_else(|| call.source.client.map(Self::Client))
            .unwrap_or(Self::Anonymous)
    }

    fn principal(call: &Call) -> Option<Self> {
        call.principal.as_deref().map(Self::from)
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

/// One host has a whole /64 of IPv6 addresses to choose from.
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
    use carryall_types::{Method, ProtocolVersion, RawJson, RequestId};
    use std::sync::Arc;

    fn call(source: CallSource, subject: Option<&str>) -> Call {
        let meta = Meta::new(ProtocolVersion::LATEST, Default::default(), None, None, None, &Default::default());
        let params = Params::parse(RawJson::EMPTY_OBJECT).unwrap();
        let mut call = Call::new(RequestId::from(1), Method::ToolsList, params, meta);
        call.source = source;
        call.principal = subject.map(|subject| {
            Arc::new(Principal { issuer: "i".into(), subject: subject.into(), client: None, scopes: vec!["s".into()] })
        });
        call
    }

    #[test]
    fn a_principal_is_the_same_caller_on_every_connection() {
        let on = |number| CallSource::new(Some(ClientId::Connection(number)), Some([10, 0, 0, number as u8].into()));
        assert_eq!(Caller::of(&call(on(1), Some("a"))), Caller::of(&call(on(2), Some("a"))));
        assert_eq!(Caller::accountable(&call(on(1), Some("a"))), Caller::accountable(&call(on(2), Some("a"))));
        assert_ne!(Caller::of(&call(on(1), Some("a"))), Caller::of(&call(on(1), Some("b"))));
    }

    #[test]
    fn without_a_principal_state_goes_by_connection_and_quotas_by_address() {
        let on = |number| CallSource::new(Some(ClientId::Connection(number)), Some([10, 0, 0, 1].into()));
        assert_ne!(Caller::of(&call(on(1), None)), Caller::of(&call(on(2), None)));
        assert_eq!(Caller::accountable(&call(on(1), None)), Caller::accountable(&call(on(2), None)));
        assert_eq!(Caller::of(&call(CallSource::default(), None)), Caller::Anonymous);
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
