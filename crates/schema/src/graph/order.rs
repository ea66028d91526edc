//! Sorts the subschemas topologically by in-place application (`allOf`, `$ref`, ...), and limits
//! the evaluations of one value.

use super::{NodeId, SchemaNode};
use crate::{MAX_DEPTH, SchemaProblem};

/// The maximum evaluations that one subschema requires on the same value.
const MAX_IN_PLACE: u64 = 10_000;

#[derive(Clone, Copy)]
struct InPlaceCost {
    /// The length of the longest chain of subschemas.
    chain: usize,
    /// The number of evaluations, counting every path.
    evaluations: u64,
}

/// Sets the rank of each node.
///
/// # Errors
/// When subschemas apply each other to the same value in a cycle, in a chain longer than
/// [`MAX_DEPTH`], or too often.
pub(super) fn rank(nodes: &mut [SchemaNode]) -> Result<(), SchemaProblem> {
    let mut done: Vec<Option<InPlaceCost>> = vec![None; nodes.len()];
    let mut open = vec![false; nodes.len()];
    let mut next_rank = 0;
    for start in 0..nodes.len() {
        // Depth-first search with an explicit stack of (node, number of followed edges).
        let mut stack: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((node, edge)) = stack.pop() {
            if done[node].is_some() {
                continue;
            }
            open[node] = true;
            if let Some(&target) = nodes[node].same.get(edge) {
                stack.push((node, edge + 1));
                visit(target, &done, &open, &mut stack)?;
                continue;
            }
            done[node] = Some(sum(&nodes[node], &done)?);
            nodes[node].rank = next_rank;
            next_rank += 1;
        }
    }
    Ok(())
}

fn visit(
    target: NodeId,
    done: &[Option<InPlaceCost>],
    open: &[bool],
    stack: &mut Vec<(usize, usize)>,
) -> Result<(), SchemaProblem> {
    let target = target as usize;
    if done[target].is_some() {
        return Ok(());
    }
    if open[target] {
        return Err(SchemaProblem::Invalid(
            "a subschema refers back to itself without reaching into the value".into(),
        ));
    }
    stack.push((target, 0));
    Ok(())
}

fn sum(node: &SchemaNode, done: &[Option<InPlaceCost>]) -> Result<InPlaceCost, SchemaProblem> {
    let mut total = InPlaceCost {
        chain: 0,
        evaluations: 0,
    };
    for target in &node.same {
        if let Some(below) = done[*target as usize] {
            total.chain = total.chain.max(below.chain);
            total.evaluations = total.evaluations.saturating_add(below.evaluations);
        }
    }
    let times = if node.twice { 2 } else { 1 };
    total = InPlaceCost {
        chain: total.chain + 1,
        evaluations: total.evaluations.saturating_mul(times).saturating_add(1),
    };
    if total.chain > MAX_DEPTH {
        return Err(SchemaProblem::TooDeep);
    }
    if total.evaluations > MAX_IN_PLACE {
        return Err(SchemaProblem::TooLarge(
            "its references multiply to more than 10,000 evaluations of one value",
        ));
    }
    Ok(total)
}
