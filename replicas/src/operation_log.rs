//! What has really happened: a file that outlives every replica, and that no store has a part in.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Lines of `WHAT ID`, each written in one piece.
#[derive(Debug)]
pub(crate) struct OperationLog(File);

impl OperationLog {
    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map(Self)
    }

    pub(crate) fn note(&self, what: &str, id: &str) -> io::Result<()> {
        (&self.0).write_all(format!("{what} {id}\n").as_bytes())
    }
}

/// How often each line is there.
pub(crate) fn counts(path: impl AsRef<Path>) -> io::Result<HashMap<String, u32>> {
    let mut counts = HashMap::new();
    for line in std::fs::read_to_string(path)?.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    Ok(counts)
}
