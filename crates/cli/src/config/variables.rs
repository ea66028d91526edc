//! Variables in configuration files.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The values of variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigVariables {
    /// The value of `${workspaceFolder}`.
    pub(crate) workspace: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
}

/// How a file spells its variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VariableSyntax {
    /// `${VAR}`, `${env:VAR}`, `${VAR:-default}`, `${workspaceFolder}` and `${userHome}`.
    Dollar,
    /// `{env:VAR}` (opencode), and those of [`VariableSyntax::Dollar`].
    Brace,
}

impl VariableSyntax {
    /// Finds the next variable. Returns its start, the expression in it, and its end.
    fn next(self, text: &str) -> Option<Result<(usize, &str, usize), String>> {
        let dollar = text.find("${").map(|at| (at, at + 2));
        let brace = (self == Self::Brace)
            .then(|| text.find("{env:").map(|at| (at, at + 1)))
            .flatten();
        let (start, inner) = dollar.into_iter().chain(brace).min()?;
        let Some(length) = text[inner..].find('}') else {
            return Some(Err(format!(
                "{} is not closed in {text:?}",
                &text[start..inner]
            )));
        };
        Some(Ok((
            start,
            &text[inner..inner + length],
            inner + length + 1,
        )))
    }

    /// Returns the names of the variables in a text.
    pub(super) fn references(self, text: &str) -> Vec<&str> {
        let (mut found, mut rest) = (Vec::new(), text);
        while let Some(Ok((_, expression, end))) = self.next(rest) {
            let name = expression.split(":-").next().unwrap_or_default();
            found.push(name.strip_prefix("env:").unwrap_or(name));
            rest = &rest[end..];
        }
        found
    }
}

impl ConfigVariables {
    /// Returns the environment and the working directory of this process.
    pub(crate) fn of_process() -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            workspace: std::env::current_dir().unwrap_or_default(),
            env,
        }
    }

    /// Replaces the variables in a text. Values are not expanded again.
    ///
    /// # Errors
    /// A variable that is not set and has no default.
    pub(super) fn expand(&self, text: &str, syntax: VariableSyntax) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(found) = syntax.next(rest) {
            let (start, expression, end) = found?;
            out.push_str(&rest[..start]);
            out.push_str(&self.value(expression)?);
            rest = &rest[end..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Replaces `${VAR}`, `${env:VAR}` and `${VAR:-default}` in a text.
    ///
    /// # Errors
    /// A variable that is not set and has no default.
    pub(crate) fn expand_text(&self, text: &str) -> Result<String, String> {
        self.expand(text, VariableSyntax::Dollar)
    }

    fn value(&self, expression: &str) -> Result<String, String> {
        let (name, default) = match expression.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (expression, None),
        };
        let name = name.strip_prefix("env:").unwrap_or(name);
        match (name, self.env.get(name)) {
            (_, Some(value)) => Ok(value.clone()),
            ("workspaceFolder", None) => Ok(self.workspace.display().to_string()),
            ("userHome", None) => Ok(self.env.get("HOME").cloned().unwrap_or_default()),
            (input, None) if input.starts_with("input:") => {
                Err(format!("${{{input}}} is only available in an editor"))
            }
            (name, None) => default
                .map(str::to_owned)
                .ok_or_else(|| format!("the variable {name} is not set")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> ConfigVariables {
        let env = [("TOKEN", "t0p"), ("TRICK", "${TOKEN}")]
            .map(|(name, value)| (name.into(), value.into()));
        ConfigVariables {
            workspace: "/project".into(),
            env: env.into(),
        }
    }

    #[test]
    fn defaults_replace_unset_variables() {
        let expanded = variables().expand("a-${NOPE:-dflt}-${TOKEN:-x}$", VariableSyntax::Dollar);
        assert_eq!(expanded.unwrap(), "a-dflt-t0p$");
    }

    #[test]
    fn values_are_not_expanded_again() {
        assert_eq!(
            variables()
                .expand("${TRICK}", VariableSyntax::Dollar)
                .unwrap(),
            "${TOKEN}"
        );
    }

    #[test]
    fn only_one_syntax_has_bare_braces() {
        assert_eq!(
            variables()
                .expand("{env:TOKEN}/${env:TOKEN}", VariableSyntax::Brace)
                .unwrap(),
            "t0p/t0p"
        );
        assert_eq!(
            variables()
                .expand("{env:TOKEN}/${env:TOKEN}", VariableSyntax::Dollar)
                .unwrap(),
            "{env:TOKEN}/t0p"
        );
    }

    #[test]
    fn references_are_listed_by_name() {
        assert_eq!(
            VariableSyntax::Dollar.references("Bearer ${env:A} ${B:-x}"),
            ["A", "B"]
        );
        assert!(
            VariableSyntax::Dollar
                .references("plain {env:A}")
                .is_empty()
        );
    }
}
