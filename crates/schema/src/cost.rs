//! Estimates how many evaluations of subschemas the validation of a value takes, before it is
//! validated (`basic/index#composition-keyword-resource-use`).
//!
//! A small recursive schema can require a number of evaluations that is exponential in the depth of
//! the value. The estimate does not repeat them: it visits each subschema at most once per value
//! that it applies to, and counts how often validation would evaluate it there.

use crate::graph::{Graph, NodeId, SchemaNode};
use carryall_types::JsonValue;
use std::collections::BTreeMap;

/// The evaluations allowed for any value.
const BASE_EVALUATIONS: u64 = 500_000;
/// The additional evaluations allowed per byte of the value's text.
const EVALUATIONS_PER_BYTE: u64 = 4;
/// The maximum evaluations for which errors are collected.
const MAX_SMALL: u64 = 20_000;
/// The bytes of text that cost as much as one evaluation when a regular expression reads them.
const BYTES_PER_EVALUATION: u64 = 16;
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
        meter.add_value(
            value,
            PendingSchemas::from([(
                (graph.nodes[0].rank, 0),
                EvaluationCount {
                    count: 1,
                    nested: 1,
                },
            )]),
        )?;
        Ok(if meter.spent <= MAX_SMALL {
            Self::Small
        } else {
            Self::Large
        })
    }
}

/// Adds up evaluations, up to a limit.
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

/// The subschemas that apply to one value and are not counted yet, by [rank](SchemaNode::rank).
type PendingSchemas = BTreeMap<(u32, NodeId), EvaluationCount>;

impl<'a> CostMeter<'a> {
    /// Adds the cost of a value and everything in it.
    ///
    /// Recursion is bounded by the depth of the value, which `serde_json` limits to 128.
    fn add_value(
        &mut self,
        value: &JsonValue,
        mut pending: PendingSchemas,
    ) -> Result<(), TooCostly> {
        let mut visited: Vec<(NodeId, EvaluationCount)> = Vec::new();
        // In order of descending rank: the nodes that apply a node to the same value are visited
        // before it, so its count is complete.
        while let Some(((_, id), times)) = pending.pop_last() {
            let node = &self.graph.nodes[id as usize];
            let text_cost = if node.pattern {
                text_length(value) / BYTES_PER_EVALUATION
            } else {
                0
            };
            self.spend(times.count.saturating_mul(node.weight.max(1) + text_cost))?;
            let times = EvaluationCount {
                count: times.count.saturating_mul(if node.twice { 2 } else { 1 }),
                nested: times.nested + 1,
            };
            if times.nested > MAX_NESTED {
                return Err(TooCostly);
            }
            for target in &node.same {
                self.add_pending(&mut pending, *target, times);
            }
            visited.push((id, times));
        }
        match value {
            JsonValue::Object(members) => {
                visited.retain(|(id, _)| {
                    let node = &self.graph.nodes[*id as usize];
                    !(node.named.is_empty() && node.members.is_empty() && node.additional.is_none())
                });
                for (name, value) in members {
                    self.add_child(value, &visited, |node| {
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
                visited.retain(|(id, _)| {
                    let node = &self.graph.nodes[*id as usize];
                    !(node.prefix.is_empty() && node.items.is_empty())
                });
                for (index, value) in items.iter().enumerate() {
                    self.add_child(value, &visited, |node| {
                        node.prefix.get(index).into_iter().chain(&node.items)
                    })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds the cost of a member or item and everything in it. `parents` are the subschemas that
    /// apply to the object or array; `targets` returns those that a parent applies to the child.
    fn add_child<I>(
        &mut self,
        value: &JsonValue,
        parents: &[(NodeId, EvaluationCount)],
        targets: impl Fn(&'a SchemaNode) -> I,
    ) -> Result<(), TooCostly>
    where
        I: Iterator<Item = &'a NodeId>,
    {
        self.spend(parents.len() as u64)?;
        let mut pending = PendingSchemas::new();
        for (id, times) in parents {
            for target in targets(&self.graph.nodes[*id as usize]) {
                self.add_pending(&mut pending, *target, *times);
            }
        }
        if pending.is_empty() {
            Ok(())
        } else {
            self.add_value(value, pending)
        }
    }

    fn add_pending(&self, pending: &mut PendingSchemas, id: NodeId, times: EvaluationCount) {
        let entry = pending
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

/// Returns how many bytes a regular expression may have to read: a string, or the names of members.
/// An array counts as one evaluation per item, which `uniqueItems` compares.
fn text_length(value: &JsonValue) -> u64 {
    match value {
        JsonValue::String(text) => text.len() as u64,
        JsonValue::Object(members) => members.keys().map(|key| key.len() as u64).sum(),
        JsonValue::Array(items) => BYTES_PER_EVALUATION * items.len() as u64,
        _ => 0,
    }
}
