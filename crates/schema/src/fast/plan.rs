//! Compiles a simple schema to a [`CheckPlan`].

use carryall_types::{JsonObject, JsonValue};

/// The maximum number of named members, which are tracked as the bits of a word.
const MAX_MEMBERS: usize = 64;
/// The maximum number of plans for one schema. The targets of references are copied.
const MAX_PLANS: usize = 2_000;
/// The maximum length of a chain of references, which also rules out cycles.
const MAX_REFERENCES: usize = 16;

/// A compiled check of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CheckPlan {
    Anything,
    Nothing,
    Rules(Box<Rules>),
}

impl CheckPlan {
    /// Returns the plan that accepts every value.
    pub(crate) fn anything() -> Self {
        Self::Anything
    }
}

/// The rules for one value. As in JSON Schema, each rule applies to values of its own type only.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(super) types: TypeSet,
    /// `enum` or `const`.
    pub(super) literals: Option<Literals>,
    pub(super) strings: StringRules,
    pub(super) integers: IntegerRules,
    pub(super) object: ObjectRules,
    pub(super) items: CheckPlan,
}

/// A set of types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TypeSet(u8);

impl TypeSet {
    pub(super) const OBJECT: Self = Self(1);
    pub(super) const ARRAY: Self = Self(2);
    pub(super) const STRING: Self = Self(4);
    pub(super) const NUMBER: Self = Self(8);
    pub(super) const INTEGER: Self = Self(16);
    pub(super) const BOOLEAN: Self = Self(32);
    pub(super) const NULL: Self = Self(64);
    const ALL: Self = Self(127);

    pub(super) fn has(self, types: Self) -> bool {
        self.0 & types.0 != 0
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::OBJECT,
            "array" => Self::ARRAY,
            "string" => Self::STRING,
            "number" => Self::NUMBER,
            "integer" => Self::INTEGER,
            "boolean" => Self::BOOLEAN,
            "null" => Self::NULL,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Literals {
    pub(super) strings: Vec<Box<str>>,
    pub(super) integers: Vec<i64>,
    pub(super) null: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StringRules {
    pub(super) min: u64,
    pub(super) max: Option<u64>,
}

/// Inclusive bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct IntegerRules {
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
}

impl IntegerRules {
    pub(super) fn is_unbounded(&self) -> bool {
        self.min.is_none() && self.max.is_none()
    }

    fn at_least(&mut self, limit: i64) {
        self.min = Some(self.min.map_or(limit, |min| min.max(limit)));
    }

    fn at_most(&mut self, limit: i64) {
        self.max = Some(self.max.map_or(limit, |max| max.min(limit)));
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ObjectRules {
    pub(super) members: Vec<PlannedMember>,
    /// A bit mask over `members`.
    pub(super) required: u64,
    pub(super) extra: AdditionalMembers,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlannedMember {
    name: Box<str>,
    /// `None` for a required member that `properties` does not name.
    pub(super) plan: Option<CheckPlan>,
}

/// The rule of `additionalProperties`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AdditionalMembers {
    Allowed,
    Checked(CheckPlan),
}

impl ObjectRules {
    /// Returns the index of a member, searching from `hint` first and then from the start.
    pub(super) fn find(&self, key: &str, hint: usize) -> Option<usize> {
        let (before, after) = self.members.split_at(hint.min(self.members.len()));
        let is_it = |member: &PlannedMember| *member.name == *key;
        after
            .iter()
            .position(is_it)
            .map(|index| index + before.len())
            .or_else(|| before.iter().position(is_it))
    }

    fn require(&mut self, name: &str) -> Option<()> {
        let index = match self.find(name, 0) {
            Some(index) => index,
            None => {
                self.members.push(PlannedMember {
                    name: name.into(),
                    plan: None,
                });
                self.members.len() - 1
            }
        };
        if index >= MAX_MEMBERS {
            return None;
        }
        self.required |= 1 << index;
        Some(())
    }
}

/// Compiles a schema. Returns `None` if it uses anything that plans do not support.
pub(crate) fn compile(schema: &JsonObject) -> Option<CheckPlan> {
    let definitions = schema.get("$defs").and_then(JsonValue::as_object);
    Compiler {
        definitions,
        plans: 0,
        references: 0,
    }
    .object(schema)
}

struct Compiler<'a> {
    definitions: Option<&'a JsonObject>,
    plans: usize,
    references: usize,
}

impl<'a> Compiler<'a> {
    fn schema(&mut self, schema: &'a JsonValue) -> Option<CheckPlan> {
        match schema {
            JsonValue::Bool(true) => Some(CheckPlan::Anything),
            JsonValue::Bool(false) => Some(CheckPlan::Nothing),
            JsonValue::Object(schema) => self.object(schema),
            _ => None,
        }
    }

    fn object(&mut self, schema: &'a JsonObject) -> Option<CheckPlan> {
        self.plans += 1;
        if self.plans > MAX_PLANS {
            return None;
        }
        let mut rules = Rules {
            types: TypeSet::ALL,
            literals: None,
            strings: StringRules::default(),
            integers: IntegerRules::default(),
            object: ObjectRules {
                members: Vec::new(),
                required: 0,
                extra: AdditionalMembers::Allowed,
            },
            items: CheckPlan::Anything,
        };
        let mut target = None;
        for (keyword, value) in schema {
            match keyword.as_str() {
                "$ref" => target = Some(self.reference(value)?),
                keyword if is_annotation(keyword) => {}
                keyword => self.keyword(keyword, value, &mut rules)?,
            }
        }
        // After the loop, since `required` may come before `properties`.
        for name in schema
            .get("required")
            .and_then(JsonValue::as_array)
            .into_iter()
            .flatten()
        {
            rules.object.require(name.as_str()?)?;
        }
        let is_empty = schema
            .keys()
            .all(|keyword| keyword == "$ref" || is_annotation(keyword));
        match target {
            Some(plan) => is_empty.then_some(plan),
            None if is_empty => Some(CheckPlan::Anything),
            None => Some(CheckPlan::Rules(Box::new(rules))),
        }
    }

    fn keyword(&mut self, keyword: &str, value: &'a JsonValue, rules: &mut Rules) -> Option<()> {
        match keyword {
            "type" => rules.types = types(value)?,
            "enum" => add_literals(rules, value.as_array()?)?,
            "const" => add_literals(rules, std::slice::from_ref(value))?,
            "minLength" => rules.strings.min = integer(value)?.try_into().ok()?,
            "maxLength" => rules.strings.max = Some(integer(value)?.try_into().ok()?),
            "minimum" => rules.integers.at_least(integer(value)?),
            "exclusiveMinimum" => rules.integers.at_least(integer(value)?.checked_add(1)?),
            "maximum" => rules.integers.at_most(integer(value)?),
            "exclusiveMaximum" => rules.integers.at_most(integer(value)?.checked_sub(1)?),
            "items" => rules.items = self.schema(value)?,
            "additionalProperties" => {
                rules.object.extra = match self.schema(value)? {
                    CheckPlan::Anything => AdditionalMembers::Allowed,
                    plan => AdditionalMembers::Checked(plan),
                }
            }
            "properties" => {
                let properties = value.as_object()?;
                if properties.len() > MAX_MEMBERS {
                    return None;
                }
                for (name, schema) in properties {
                    let plan = Some(self.schema(schema)?);
                    rules.object.members.push(PlannedMember {
                        name: name.as_str().into(),
                        plan,
                    });
                }
            }
            "required" => {
                value.as_array()?;
            }
            _ => return None,
        }
        Some(())
    }

    /// Compiles the target of a reference to `$defs` of the root, as schema generators write them.
    ///
    /// The pointer is always relative to the root, since a schema with an `$id` or anchor in
    /// between has no plan.
    fn reference(&mut self, value: &'a JsonValue) -> Option<CheckPlan> {
        let name = value.as_str()?.strip_prefix("#/$defs/")?;
        let is_plain = name.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte == b'.'
        });
        if !is_plain || self.references == MAX_REFERENCES {
            return None;
        }
        let schema = self.definitions?.get(name)?;
        self.references += 1;
        let plan = self.schema(schema);
        self.references -= 1;
        plan
    }
}

/// Returns whether a keyword does not affect validity. In 2020-12, `format` does not.
fn is_annotation(keyword: &str) -> bool {
    matches!(
        keyword,
        "$schema"
            | "$comment"
            | "$defs"
            | "title"
            | "description"
            | "default"
            | "examples"
            | "deprecated"
            | "readOnly"
            | "writeOnly"
            | "format"
    ) || keyword.starts_with("x-")
}

fn types(value: &JsonValue) -> Option<TypeSet> {
    match value {
        JsonValue::String(name) => TypeSet::named(name),
        JsonValue::Array(names) => names.iter().try_fold(TypeSet(0), |types, name| {
            Some(TypeSet(types.0 | TypeSet::named(name.as_str()?)?.0))
        }),
        _ => None,
    }
}

fn add_literals(rules: &mut Rules, values: &[JsonValue]) -> Option<()> {
    if rules.literals.is_some() {
        return None;
    }
    let mut literals = Literals::default();
    for value in values {
        match value {
            JsonValue::String(text) => literals.strings.push(text.as_str().into()),
            JsonValue::Number(_) => literals.integers.push(integer(value)?),
            JsonValue::Null => literals.null = true,
            _ => return None,
        }
    }
    rules.literals = Some(literals);
    Some(())
}

/// Returns the value of an integer that all implementations represent exactly, in any notation.
fn integer(value: &JsonValue) -> Option<i64> {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() <= SAFE).then_some(number as i64)
    })
}
