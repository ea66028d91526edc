//! What the software of others cannot do, as far as we have found out. It is checked all the same:
//! what fails for a reason that stands here is shown as that, and what works after all counts as
//! passed.

use super::record::Result;
use super::transports::{ProtocolEra, Transport};

/// On which side the software of others is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PeerSide {
    Client,
    Server,
}

struct Shortfall {
    side: PeerSide,
    part: &'static str,
    eras: &'static [ProtocolEra],
    ways: &'static [Transport],
    what: &'static str,
    why: &'static str,
}

const SHORTFALLS: [Shortfall; 2] = [
    Shortfall {
        side: PeerSide::Server,
        part: "go",
        eras: &[ProtocolEra::Modern],
        ways: &[Transport::Http, Transport::HttpUp],
        what: "call, cancelled after its time",
        why: "its handler without sessions goes on with a call whose connection is closed",
    },
    Shortfall {
        side: PeerSide::Server,
        part: "python-v1",
        eras: &[ProtocolEra::Legacy],
        ways: &Transport::ALL,
        what: "listen, resource updated",
        why: "its servers always declare that nobody can subscribe, so that nobody does",
    },
];

/// A failure that is not ours is shown as what it is.
pub(super) fn of(
    side: PeerSide,
    part: &str,
    era: ProtocolEra,
    way: Transport,
    what: &str,
    result: Result,
) -> Result {
    let Result::Fail(found) = result else {
        return result;
    };
    let known = SHORTFALLS.iter().find(|short| {
        short.side == side
            && short.part == part
            && short.what == what
            && short.eras.contains(&era)
            && short.ways.contains(&way)
    });
    match known {
        Some(short) => Result::Theirs(short.why.to_owned()),
        None => Result::Fail(found),
    }
}
