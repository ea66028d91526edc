//! What it may cost to apply a schema to a value, found out before it is done
//! (`basic/index#composition-keyword-resource-use`).
//!
//! A small recursive schema can ask for a number of evaluations that is exponential in the depth of
//! the value. Here every subschema is visited at most once for each value it applies to, together
//! with how often it would be evaluated there, which is quick whatever the answer.

use crate::graph::{Graph, Node, NodeId};
use carryall_types::JsonValue;
use std::collections::BTreeMap;

/// Evaluations that any value may take.
const FREE: u64 = 500_000;
/// Evaluations that a value may take in addition for each byte of its text.
const PER_BYTE: u64 = 4;
/// Beyond this many evaluations the errors are not collected.
const SMALL: u64 = 20_000;
/// How deep evaluations may nest; each takes about a kilobyte of stack.
const MAX_NESTED: u32 = 512;

/// How costly applying the schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// So cheap that errors can be collected.
    Small,
    /// Affordable.
    Large,
}

/// The schema must not be applied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooCostly;

impl Cost {
    /// The cost of applying the schema to `value`, whose text has `bytes` bytes.
    pub(crate) fn of(graph: &Graph, value: &JsonValue, bytes: usize) -> Result<Self, TooCostly> {
        let limit = FREE + PER_BYTE * bytes as u64;
        let mut meter = Meter {
            graph,
            spent: 0,
            limit,
        };
        meter.value(
            value,
            Due::from([(
                (graph.nodes[0].rank, 0),
                Times {
                    count: 1,
                    nested: 1,
                },
            )]),
        )?;
        Ok(if meter.spent <= SMALL {
            Self::Small
        } else {
            Self::Large
        })
    }
}

struct Meter<'a> {
    graph: &'a Graph,
    spent: u64,
    limit: u64,
}

#[derive(Clone, Copy, Default)]
struct Times {
    /// How often the subschema is evaluated.
    count: u64,
    /// How many evaluations it is nested in at most.
    nested: u32,
}

/// The subschemas that apply to one value, by rank.
type Due = BTreeMap<(u32, NodeId), Times>;

impl<'a> Meter<'a> {
    /// Recursion is bounded by the depth of the value, which text read by `serde_json` cannot
    /// exceed.
    fn value(&mut self, value: &JsonValue, mut due: Due) -> Result<(), TooCostly> {
        let mut inward: Vec<(NodeId, Times)> = Vec::new();
        // From the highest rank down, a node's count is complete when its turn comes.
        while let Some(((_, id), times)) = due.pop_last() {
            let node = &self.graph.nodes[id as usize];
            self.spend(times.count.saturating_mul(
                node.weight.max(1)
                    + if node.pattern {
                        text_length(value) / 16
                    } else {
                        0
                    },
            ))?;
            let times = Times {
                count: times.count.saturating_mul(if node.twice { 2 } else { 1 }),
                nested: times.nested + 1,
            };
            if times.nested > MAX_NESTED {
                return Err(TooCostly);
            }
            for target in &node.same {
                self.add(&mut due, *target, times);
            }
            inward.push((id, times));
        }
        match value {
            JsonValue::Object(members) => {
                inward.retain(|(id, _)| {
                    let node = &self.graph.nodes[*id as usize];
                    !(node.named.is_empty() && node.members.is_empty() && node.additional.is_none())
                });
                for (name, value) in members {
                    self.inner(value, &inward, |node| {
                        let named = node.named.get(name.as_str());
                        named
                            .or(node.additional.as_ref())
                            .into_iter()
                            .chain(&node.members)
                    })?;
                }
                Ok(())
            }
            JsonValue::Array(items) => {
                inward.retain(|(id, _)| {
                    let node = &self.graph.nodes[*id as usize];
                    !(node.prefix.is_empty() && node.items.is_empty())
                });
                for (index, value) in items.iter().enumerate() {
                    self.inner(value, &inward, |node| {
                        node.prefix.get(index).into_iter().chain(&node.items)
                    })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Goes on with a member or item: `targets` are the subschemas that each outer one applies to
    /// it.
    fn inner<I>(
        &mut self,
        value: &JsonValue,
        outer: &[(NodeId, Times)],
        targets: impl Fn(&'a Node) -> I,
    ) -> Result<(), TooCostly>
    where
        I: Iterator<Item = &'a NodeId>,
    {
        self.spend(outer.len() as u64)?;
        let mut due = Due::new();
        for (id, times) in outer {
            for target in targets(&self.graph.nodes[*id as usize]) {
                self.add(&mut due, *target, *times);
            }
        }
        if due.is_empty() {
            Ok(())
        } else {
            self.value(value, due)
        }
    }

    fn add(&self, due: &mut Due, id: NodeId, times: Times) {
        let entry = due
            .entry((self.graph.nodes[id as usize].rank, id))
            .or_default();
        entry.count = entry.count.saturating_add(times.count);
        entry.nested = entry.nested.max(times.nested);
    }

    fn spend(&mut self, evaluations: u64) -> Result<(), TooCostly> {
        self.spent = self.spent.saturating_add(evaluations);
        if self.spent > self.limit {
            Err(TooCostly)
        } else {
            Ok(())
        }
    }
}

/// How much text a regular expression may have to read; `uniqueItems` takes as much for each item
/// as it for 16 bytes.
fn text_length(value: &JsonValue) -> u64 {
    match value {
        JsonValue::String(text) => text.len() as u64,
        JsonValue::Object(members) => members.keys().map(|key| key.len() as u64).sum(),
        JsonValue::Array(items) => 16 * items.len() as u64,
        _ => 0,
    }
}
