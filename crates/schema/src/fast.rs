//! Checks plain schemas on the JSON text itself, in the one pass that finds where values end.
//!
//! A [`CheckPlan`] may say only that a value matches, or that it is not sure; then the library decides.
//! It is not sure about anything that does not match, so that errors have one author, and about
//! anything rare: escapes in keys, repeated keys, numbers that are not plain 64-bit integers where
//! their value matters.

mod plan;
#[cfg(test)]
mod tests;

pub(crate) use plan::{CheckPlan, compile};

use carryall_proto::json::{Scanner, SyntaxError, ValueKind};
use plan::{Extra, Integers, Literals, Object, Strings, Types};

/// What a plan can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanVerdict {
    /// The value matches the schema.
    Valid,
    /// The library has to decide.
    Unsure,
}

/// Why checking stopped; text that is not JSON is as good a reason as any other.
struct Unsure;

impl From<SyntaxError> for Unsure {
    fn from(_: SyntaxError) -> Self {
        Self
    }
}

type Check = Result<(), Unsure>;

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
    fn value(&mut self, plan: &CheckPlan) -> Check {
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
                sure(plan.types.has(Types::OBJECT) && plan.literals.is_none())?;
                self.object(&plan.object)
            }
            ValueKind::Array => {
                sure(plan.types.has(Types::ARRAY) && plan.literals.is_none())?;
                self.array(&plan.items)
            }
            ValueKind::String => {
                sure(plan.types.has(Types::STRING))?;
                self.string(&plan.strings, plan.literals.as_ref())
            }
            ValueKind::Number => self.number(plan.types, &plan.integers, plan.literals.as_ref()),
            ValueKind::Bool => {
                sure(plan.types.has(Types::BOOLEAN) && plan.literals.is_none())?;
                self.skip()
            }
            ValueKind::Null => {
                sure(
                    plan.types.has(Types::NULL)
                        && plan.literals.as_ref().is_none_or(|literals| literals.null),
                )?;
                self.skip()
            }
        }
    }

    fn object(&mut self, rules: &Object) -> Check {
        let mut seen = 0_u64;
        // Members mostly come in the order of the schema.
        let mut hint = 0;
        let mut members = self.scanner.object()?;
        while let Some(key) = members.next_key(&mut self.scanner)? {
            let key = &self.text[key];
            match rules.find(key, hint) {
                Some(index) => {
                    hint = index + 1;
                    let bit = 1 << index;
                    sure(seen & bit == 0)?;
                    seen |= bit;
                    match &rules.members[index].plan {
                        Some(plan) => self.value(plan)?,
                        None => self.extra(&rules.extra)?,
                    }
                }
                None => {
                    // It may spell the name of a known member in another way.
                    sure(!key.contains('\\'))?;
                    self.extra(&rules.extra)?;
                }
            }
        }
        sure(seen & rules.required == rules.required)
    }

    fn extra(&mut self, extra: &Extra) -> Check {
        match extra {
            Extra::Allowed => self.skip(),
            Extra::Checked(plan) => self.value(plan),
        }
    }

    fn array(&mut self, plan: &CheckPlan) -> Check {
        let mut items = self.scanner.array()?;
        while items.next_item(&mut self.scanner)? {
            self.value(plan)?;
        }
        Ok(())
    }

    fn string(&mut self, rules: &Strings, literals: Option<&Literals>) -> Check {
        let range = self.scanner.skip_string()?;
        if rules.min == 0 && rules.max.is_none() && literals.is_none() {
            return Ok(());
        }
        let content = &self.text[range];
        // With escapes the text is not the string.
        sure(!content.contains('\\'))?;
        if let Some(literals) = literals {
            sure(literals.strings.iter().any(|literal| **literal == *content))?;
        }
        if rules.min == 0 && rules.max.is_none_or(|max| content.len() as u64 <= max) {
            return Ok(());
        }
        let length = content.chars().count() as u64;
        sure(rules.min <= length && rules.max.is_none_or(|max| length <= max))
    }

    fn number(&mut self, types: Types, rules: &Integers, literals: Option<&Literals>) -> Check {
        sure(types.has(Types::NUMBER) || types.has(Types::INTEGER))?;
        let range = self.scanner.skip_value()?;
        let text = &self.text[range];
        let Ok(integer) = text.parse::<i64>() else {
            // A short decimal fraction surely is in the range of what the library can read.
            let fraction = text.len() < 32
                && text
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'))
                && text.contains('.');
            return sure(
                fraction && types.has(Types::NUMBER) && rules.is_unbounded() && literals.is_none(),
            );
        };
        sure(text != "-0")?;
        sure(
            rules.min.is_none_or(|min| min <= integer)
                && rules.max.is_none_or(|max| integer <= max),
        )?;
        sure(literals.is_none_or(|literals| literals.integers.contains(&integer)))
    }

    fn skip(&mut self) -> Check {
        self.scanner.skip_value()?;
        Ok(())
    }
}

fn sure(holds: bool) -> Check {
    if holds { Ok(()) } else { Err(Unsure) }
}
