//! Command-line arguments: `--flag`, `--option value`, `--option=value`.

use crate::CommandResult;

/// The arguments after the command. Each accessor removes what it returns; [`Args::done`] rejects the
/// rest.
pub(crate) struct Args(Vec<String>);

impl Args {
    pub(crate) fn new(args: impl Iterator<Item = String>) -> Self {
        let mut split = Vec::new();
        for arg in args {
            match arg.split_once('=') {
                Some((name, value)) if name.starts_with("--") => {
                    split.extend([name.to_owned(), value.to_owned()])
                }
                _ => split.push(arg),
            }
        }
        Self(split)
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|arg| arg != name);
        self.0.len() != before
    }

    pub(crate) fn option(&mut self, name: &str) -> CommandResult<Option<String>> {
        let Some(at) = self.0.iter().position(|arg| arg == name) else {
            return Ok(None);
        };
        self.0.remove(at);
        if at == self.0.len() {
            return Err(format!("{name} needs a value"));
        }
        Ok(Some(self.0.remove(at)))
    }

    /// Returns all values of a repeatable option. Values can also be separated by commas.
    pub(crate) fn list(&mut self, name: &str) -> CommandResult<Vec<String>> {
        let mut values = Vec::new();
        while let Some(value) = self.option(name)? {
            values.extend(
                value
                    .split(',')
                    .map(str::trim)
                    .filter(|v| !v.is_empty())
                    .map(str::to_owned),
            );
        }
        Ok(values)
    }

    pub(crate) fn done(self) -> CommandResult {
        match self.0.first() {
            None => Ok(()),
            Some(arg) => Err(format!(
                "unexpected argument `{arg}`; see `cargo xtask help`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_value_follows_a_space_or_an_equals_sign() {
        let mut a = args("--area x --area=y,z --missing");
        assert_eq!(a.list("--area").unwrap(), ["x", "y", "z"]);
        assert!(a.flag("--missing"));
        a.done().unwrap();
    }

    #[test]
    fn a_missing_value_and_an_unknown_argument_are_rejected() {
        assert!(args("--area").option("--area").is_err());
        assert!(args("--other").done().is_err());
    }
}
