//! Estimates the cost of applying a schema to a value before it is applied
//! (`basic/index#composition-keyword-resource-use`).
//!
//! A small recursive schema can require a number of evaluations exponential in the depth of the
//! value. The estimate visits each subschema at most once per value it applies to, counting how
//! often it would be evaluated there, and is therefore fast even when the result is large.

use crate::graph::{Graph, NodeId, SchemaNode};
use carryall_types::JsonValue;
use std::collections::BTreeMap;

/// The evaluations allowed for any value.
const BASE_EVALUATIONS: u64 = 500_000;
/// The additional evaluations allowed per byte of the value's text.
const EVALUATIONS_PER_BYTE: u64 = 4;
/// The maximum evaluations for which errors are collected.
const SMALL: u64 = 20_000;
/// The maximum nesting of evaluations; each takes about a kilobyte of stack.
const MAX_NESTED: u32 = 512;

/// The estimated cost of applying a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Cheap enough to collect errors.
    Small,
    /// Cheap enough to validate.
    Large,
}

/// The cost exceeds the limit, so the schema must not be applied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooCostly;

impl Cost {
    /// Estimates the cost of applying the schema to `value`, whose text has `bytes` bytes.
    pub(crate) fn of(graph: &Graph, value: &JsonValue, bytes: usize) -> Result<Self, TooCostly> {
        let limit = BASE_EVALUATIONS + EVALUATIONS_PER_BYTE * bytes as u64;
        let mut meter = CostMeter {
            graph,
            spent: 0,
            limit,
        };
        meter.value(
            value,
            DueSchemas::from([(
                (graph.nodes[0].rank, 0),
                EvaluationCount {
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

struct CostMeter<'a> {
    graph: &'a Graph,
    spent: u64,
    limit: u64,
}

#[derive(Clone, Copy, Default)]
struct EvaluationCount {
    /// The number of evaluations of the subschema.
    count: u64,
    /// The maximum nesting of these evaluations.
    nested: u32,
}

/// The subschemas that apply to one value, by rank.
type DueSchemas = BTreeMap<(u32, NodeId), EvaluationCount>;

impl<'a> CostMeter<'a> {
    /// Adds the cost of a value and everything in it.
    ///
    /// Recursion is bounded by the depth of the value, which `serde_json` limits to 128.
    fn value(&mut self, value: &JsonValue, mut due: DueSchemas) -> Result<(), TooCostly> {
        let mut inward: Vec<(NodeId, EvaluationCount)> = Vec::new();
        // In order of descending rank, so that the count of a node is complete when it is visited.
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
            let times = EvaluationCount {
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

    /// Adds the cost of a member or item. `targets` returns the subschemas that an outer one
    /// applies to it.
    fn inner<I>(
        &mut self,
        value: &JsonValue,
        outer: &[(NodeId, EvaluationCount)],
        targets: impl Fn(&'a SchemaNode) -> I,
    ) -> Result<(), TooCostly>
    where
        I: Iterator<Item = &'a NodeId>,
    {
        self.spend(outer.len() as u64)?;
        let mut due = DueSchemas::new();
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

    fn add(&self, due: &mut DueSchemas, id: NodeId, times: EvaluationCount) {
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

/// Returns how much text a regular expression may have to read. An item compared by `uniqueItems`
/// counts as 16 bytes.
fn text_length(value: &JsonValue) -> u64 {
    match value {
        JsonValue::String(text) => text.len() as u64,
        JsonValue::Object(members) => members.keys().map(|key| key.len() as u64).sum(),
        JsonValue::Array(items) => 16 * items.len() as u64,
        _ => 0,
    }
}
