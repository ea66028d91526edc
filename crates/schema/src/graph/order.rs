//! Orders subschemas so that those applied in place come later, and bounds what one value in one
//! place can cost.

use super::{Node, NodeId};
use crate::{MAX_DEPTH, SchemaProblem};

/// How many evaluations one subschema may ask for on one value, before it reaches into the value.
const MAX_IN_PLACE: u64 = 10_000;

#[derive(Clone, Copy)]
struct Done {
    /// Subschemas in the longest chain from here.
    chain: usize,
    /// Evaluations, each path counted.
    evaluations: u64,
}

/// Sets each node's rank.
///
/// # Errors
/// When schemas apply each other in a circle, in chains longer than [`MAX_DEPTH`], or in too many
/// ways.
pub(super) fn rank(nodes: &mut [Node]) -> Result<(), SchemaProblem> {
    let mut done: Vec<Option<Done>> = vec![None; nodes.len()];
    let mut open = vec![false; nodes.len()];
    let mut next_rank = 0;
    for start in 0..nodes.len() {
        // Depth first with a stack of our own: (node, how many of its edges were followed).
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
    done: &[Option<Done>],
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

fn sum(node: &Node, done: &[Option<Done>]) -> Result<Done, SchemaProblem> {
    let mut total = Done {
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
    total = Done {
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
