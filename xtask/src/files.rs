//! Paths and files of the checkout.

use std::fs;
use std::path::{Path, PathBuf};

use crate::CommandResult;

/// Returns the root of the checkout.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Returns the target folder of the root workspace.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// One text file. `path` is relative to the root, with forward slashes.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Returns every text file of the checkout, committed or not, sorted by path. Skips build output,
/// `.git`, and hidden folders other than `.ci`, `.cargo` and `.github`.
pub(crate) fn sources(root: &Path) -> CommandResult<Vec<Source>> {
    let mut found = Vec::new();
    walk(root, root, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<Source>) -> CommandResult {
    let entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    for entry in entries {
        let entry = entry.map_err(|e| format!("{}: {e}", dir.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let kind = entry
            .file_type()
            .map_err(|e| format!("{}: {e}", path.display()))?;
        if kind.is_dir() {
            let hidden = name.starts_with('.') && !matches!(&*name, ".ci" | ".cargo" | ".github");
            if !hidden && !matches!(&*name, "target" | "node_modules" | "__pycache__") {
                walk(root, &path, found)?;
            }
        // In a linked worktree `.git` is a file.
        } else if kind.is_file() && name != ".git" {
            // Skips files that are not text, and files that another process just removed.
            if let Ok(text) = fs::read_to_string(&path) {
                let below = path.strip_prefix(root).unwrap_or(&path);
                found.push(Source {
                    path: below.to_string_lossy().replace('\\', "/"),
                    text,
                });
            }
        }
    }
    Ok(())
}

pub(crate) fn read(path: &Path) -> CommandResult<String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

pub(crate) fn write(path: &Path, text: &str) -> CommandResult {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Parses a list file: each line is `NAME rest of the line`; `#` starts a comment line.
pub(crate) fn entries(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| match line.split_once(char::is_whitespace) {
            Some((name, rest)) => (name.to_owned(), rest.trim().to_owned()),
            None => (line.to_owned(), String::new()),
        })
        .collect()
}
