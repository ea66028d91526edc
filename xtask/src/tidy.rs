//! `cargo xtask tidy`: the house rules that no other tool checks.

mod cycles;
mod dependencies;
mod edges;
mod lines;
mod logs;
mod modules;
mod names;
mod words;

use crate::args::Args;
use crate::{CommandResult, files};

pub(crate) fn run(args: Args) -> CommandResult {
    args.done()?;
    let root = files::root();
    let sources = files::sources(&root)?;
    let mut problems = Vec::new();
    for source in &sources {
        lines::check(&source.path, &source.text, &mut problems);
        logs::check(&source.path, &source.text, &mut problems);
        words::check(&source.path, &source.text, &mut problems);
        edges::check(&source.path, &source.text, &mut problems);
    }
    dependencies::check(&sources, &mut problems);
    let crates = modules::parse(&sources)?;
    for (root, krate) in &crates {
        cycles::check(root, krate, &mut problems);
    }
    names::check(&crates, &mut problems);
    if problems.is_empty() {
        println!("tidy: {} files, no problems", sources.len());
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    Err(format!("{} problems", problems.len()))
}

/// Whether this byte can be part of an identifier.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns a line of Rust without its comment and without the contents of string literals.
///
/// Good enough for checks that search for words: does not follow strings over several lines.
fn code_of(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    let mut in_string = false;
    while let Some(c) = chars.next() {
        if in_string {
            match c {
                '\\' => {
                    chars.next();
                }
                '"' => {
                    in_string = false;
                    code.push('"');
                }
                _ => {}
            }
            continue;
        }
        match c {
            '/' if chars.peek() == Some(&'/') => break,
            // The character literal of a quote.
            '\'' if chars.peek() == Some(&'"') => {
                chars.next();
            }
            '"' => {
                in_string = true;
                code.push('"');
            }
            _ => code.push(c),
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::code_of;

    #[test]
    fn comments_and_the_contents_of_strings_are_not_code() {
        assert_eq!(
            code_of(r#"let a = "x // y \" z"; // why"#),
            r#"let a = ""; "#
        );
        assert_eq!(
            code_of(r#"if c == '"' { go() } // no"#),
            "if c == ' { go() } "
        );
    }
}
