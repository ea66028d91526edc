//! The builder methods of a form.

use super::{
    BooleanSchema, EnumOption, NumberSchema, NumberType, ObjectType,
    PrimitiveSchemaDefinition as Field, RequestedSchema, StringSchema, TitledItems,
    TitledMultiSelectEnumSchema, TitledSingleSelectEnumSchema, UntitledItems,
    UntitledMultiSelectEnumSchema, UntitledSingleSelectEnumSchema,
};
use crate::JsonObject;

impl RequestedSchema {
    /// Creates a form without fields.
    ///
    /// ```
    /// use carryall_types::{RequestedSchema, StringFormat};
    ///
    /// let schema = RequestedSchema::new()
    ///     .string("email", |field| field.with_title("E-mail").with_format(StringFormat::Email))
    ///     .required()
    ///     .integer("seats", |field| field.with_minimum(1).with_maximum(9).with_default(1))
    ///     .select("class", ["economy", "business"], |field| field);
    /// assert_eq!(schema.required, Some(vec!["email".to_owned()]));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            schema: None,
            object_type: ObjectType::Object,
            properties: Vec::new(),
            required: None,
            extra: JsonObject::new(),
        }
    }

    /// Appends a field. It replaces a field of the same name.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, field: Field) -> Self {
        let name = name.into();
        self.properties.retain(|(other, _)| *other != name);
        self.properties.push((name, field));
        self
    }

    /// Makes the last added field required.
    #[must_use]
    pub fn required(mut self) -> Self {
        if let Some((name, _)) = self.properties.last() {
            let required = self.required.get_or_insert_default();
            if !required.contains(name) {
                required.push(name.clone());
            }
        }
        self
    }

    /// Adds a text field.
    #[must_use]
    pub fn string(
        self,
        name: impl Into<String>,
        f: impl FnOnce(StringSchema) -> StringSchema,
    ) -> Self {
        self.field(name, Field::String(f(StringSchema::new())))
    }

    /// Adds a number field.
    #[must_use]
    pub fn number(
        self,
        name: impl Into<String>,
        f: impl FnOnce(NumberSchema) -> NumberSchema,
    ) -> Self {
        self.field(
            name,
            Field::Number(f(NumberSchema::new(NumberType::Number))),
        )
    }

    /// Adds an integer field.
    #[must_use]
    pub fn integer(
        self,
        name: impl Into<String>,
        f: impl FnOnce(NumberSchema) -> NumberSchema,
    ) -> Self {
        self.field(
            name,
            Field::Number(f(NumberSchema::new(NumberType::Integer))),
        )
    }

    /// Adds a boolean field.
    #[must_use]
    pub fn boolean(
        self,
        name: impl Into<String>,
        f: impl FnOnce(BooleanSchema) -> BooleanSchema,
    ) -> Self {
        self.field(name, Field::Boolean(f(BooleanSchema::new())))
    }

    /// Adds a single-choice field.
    #[must_use]
    pub fn select<O: IntoIterator<Item: Into<String>>>(
        self,
        name: impl Into<String>,
        options: O,
        f: impl FnOnce(UntitledSingleSelectEnumSchema) -> UntitledSingleSelectEnumSchema,
    ) -> Self {
        let schema = UntitledSingleSelectEnumSchema::new(strings(options));
        self.field(name, Field::UntitledSingleSelect(f(schema)))
    }

    /// Adds a single-choice field with options given as pairs of value and title.
    #[must_use]
    pub fn select_titled<O: IntoIterator<Item = (V, T)>, V: Into<String>, T: Into<String>>(
        self,
        name: impl Into<String>,
        options: O,
        f: impl FnOnce(TitledSingleSelectEnumSchema) -> TitledSingleSelectEnumSchema,
    ) -> Self {
        let schema = TitledSingleSelectEnumSchema::new(titled(options));
        self.field(name, Field::TitledSingleSelect(f(schema)))
    }

    /// Adds a multiple-choice field.
    #[must_use]
    pub fn multi_select<O: IntoIterator<Item: Into<String>>>(
        self,
        name: impl Into<String>,
        options: O,
        f: impl FnOnce(UntitledMultiSelectEnumSchema) -> UntitledMultiSelectEnumSchema,
    ) -> Self {
        let schema = UntitledMultiSelectEnumSchema::new(UntitledItems::from(strings(options)));
        self.field(name, Field::UntitledMultiSelect(f(schema)))
    }

    /// Adds a multiple-choice field with options given as pairs of value and title.
    #[must_use]
    pub fn multi_select_titled<O: IntoIterator<Item = (V, T)>, V: Into<String>, T: Into<String>>(
        self,
        name: impl Into<String>,
        options: O,
        f: impl FnOnce(TitledMultiSelectEnumSchema) -> TitledMultiSelectEnumSchema,
    ) -> Self {
        let schema = TitledMultiSelectEnumSchema::new(TitledItems::new(titled(options)));
        self.field(name, Field::TitledMultiSelect(f(schema)))
    }
}

fn strings<O: IntoIterator<Item: Into<String>>>(options: O) -> Vec<String> {
    options.into_iter().map(Into::into).collect()
}

fn titled<O: IntoIterator<Item = (V, T)>, V: Into<String>, T: Into<String>>(
    options: O,
) -> Vec<EnumOption> {
    options
        .into_iter()
        .map(|(value, title)| EnumOption::new(value, title))
        .collect()
}
