//! Checks simple schemas on the JSON text, in a single pass.
//!
//! A [`CheckPlan`] either accepts a value or leaves the decision to `jsonschema`. It leaves it for
//! every value that does not match, so that errors come from one place, and in rare cases: escapes
//! in keys, duplicate keys, and numbers other than 64-bit integers where their value matters.

mod plan;
#[cfg(test)]
mod tests;

pub(crate) use plan::{CheckPlan, compile};

use carryall_proto::json::{Scanner, SyntaxError, ValueKind};
use plan::{AdditionalMembers, IntegerRules, Literals, ObjectRules, StringRules, TypeSet};

/// The verdict of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanVerdict {
    /// The value matches the schema.
    Valid,
    /// The full validator has to decide.
    Unsure,
}

/// The plan cannot accept the value, or the text is not JSON.
struct Unsure;

impl From<SyntaxError> for Unsure {
    fn from(_: SyntaxError) -> Self {
        Self
    }
}

type CheckResult = Result<(), Unsure>;

impl CheckPlan {
    /// Checks one JSON value.
    pub(crate) fn check(&self, text: &str) -> PlanVerdict {
        let mut reader = PlanReader {
            text,
            scanner: Scanner::new(text),
        };
        match reader.value(self).and_then(|()| Ok(reader.scanner.end()?)) {
            Ok(()) => PlanVerdict::Valid,
            Err(Unsure) => PlanVerdict::Unsure,
        }
    }
}

struct PlanReader<'t> {
    text: &'t str,
    scanner: Scanner<'t>,
}

impl PlanReader<'_> {
    fn value(&mut self, plan: &CheckPlan) -> CheckResult {
        let plan = match plan {
            CheckPlan::Anything => {
                self.scanner.skip_value()?;
                return Ok(());
            }
            CheckPlan::Nothing => return Err(Unsure),
            CheckPlan::Rules(rules) => rules,
        };
        match self.scanner.kind()? {
            ValueKind::Object => {
                ensure(plan.types.has(TypeSet::OBJECT) && plan.literals.is_none())?;
                self.object(&plan.object)
            }
            ValueKind::Array => {
                ensure(plan.types.has(TypeSet::ARRAY) && plan.literals.is_none())?;
                self.array(&plan.items)
            }
            ValueKind::String => {
                ensure(plan.types.has(TypeSet::STRING))?;
                self.string(&plan.strings, plan.literals.as_ref())
            }
            ValueKind::Number => self.number(plan.types, &plan.integers, plan.literals.as_ref()),
            ValueKind::Bool => {
                ensure(plan.types.has(TypeSet::BOOLEAN) && plan.literals.is_none())?;
                self.skip()
            }
            ValueKind::Null => {
                ensure(
                    plan.types.has(TypeSet::NULL)
                        && plan.literals.as_ref().is_none_or(|literals| literals.null),
                )?;
                self.skip()
            }
        }
    }

    fn object(&mut self, rules: &ObjectRules) -> CheckResult {
        let mut seen = 0_u64;
        // Members are usually in the order of the schema.
        let mut hint = 0;
        let mut members = self.scanner.object()?;
        while let Some(key) = members.next_key(&mut self.scanner)? {
            let key = &self.text[key];
            match rules.find(key, hint) {
                Some(index) => {
                    hint = index + 1;
                    let bit = 1 << index;
                    ensure(seen & bit == 0)?;
                    seen |= bit;
                    match &rules.members[index].plan {
                        Some(plan) => self.value(plan)?,
                        None => self.extra(&rules.extra)?,
                    }
                }
                None => {
                    // An escaped key may be the name of a known member.
                    ensure(!key.contains('\\'))?;
                    self.extra(&rules.extra)?;
                }
            }
        }
        ensure(seen & rules.required == rules.required)
    }

    fn extra(&mut self, extra: &AdditionalMembers) -> CheckResult {
        match extra {
            AdditionalMembers::Allowed => self.skip(),
            AdditionalMembers::Checked(plan) => self.value(plan),
        }
    }

    fn array(&mut self, plan: &CheckPlan) -> CheckResult {
        let mut items = self.scanner.array()?;
        while items.next_item(&mut self.scanner)? {
            self.value(plan)?;
        }
        Ok(())
    }

    fn string(&mut self, rules: &StringRules, literals: Option<&Literals>) -> CheckResult {
        let range = self.scanner.skip_string()?;
        if rules.min == 0 && rules.max.is_none() && literals.is_none() {
            return Ok(());
        }
        let content = &self.text[range];
        // The text of a string with escapes differs from its value.
        ensure(!content.contains('\\'))?;
        if let Some(literals) = literals {
            ensure(literals.strings.iter().any(|literal| **literal == *content))?;
        }
        if rules.min == 0 && rules.max.is_none_or(|max| content.len() as u64 <= max) {
            return Ok(());
        }
        let length = content.chars().count() as u64;
        ensure(rules.min <= length && rules.max.is_none_or(|max| length <= max))
    }

    fn number(
        &mut self,
        types: TypeSet,
        rules: &IntegerRules,
        literals: Option<&Literals>,
    ) -> CheckResult {
        ensure(types.has(TypeSet::NUMBER) || types.has(TypeSet::INTEGER))?;
        let range = self.scanner.skip_value()?;
        let text = &self.text[range];
        let Ok(integer) = text.parse::<i64>() else {
            // A short decimal fraction is always within the range that `jsonschema` can read.
            let fraction = text.len() < 32
                && text
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'))
                && text.contains('.');
            return ensure(
                fraction
                    && types.has(TypeSet::NUMBER)
                    && rules.is_unbounded()
                    && literals.is_none(),
            );
        };
        ensure(text != "-0")?;
        ensure(
            rules.min.is_none_or(|min| min <= integer)
                && rules.max.is_none_or(|max| integer <= max),
        )?;
        ensure(literals.is_none_or(|literals| literals.integers.contains(&integer)))
    }

    fn skip(&mut self) -> CheckResult {
        self.scanner.skip_value()?;
        Ok(())
    }
}

fn ensure(holds: bool) -> CheckResult {
    if holds { Ok(()) } else { Err(Unsure) }
}
