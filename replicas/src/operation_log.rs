//! Records the operations of all replicas in a file, independently of the store.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A file with lines of the form `OPERATION ID`, each appended with one write.
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

    pub(crate) fn append(&self, operation: &str, id: &str) -> io::Result<()> {
        (&self.0).write_all(format!("{operation} {id}\n").as_bytes())
    }
}

/// Counts the occurrences of each line.
pub(crate) fn counts(path: impl AsRef<Path>) -> io::Result<HashMap<String, u32>> {
    let mut counts = HashMap::new();
    for line in std::fs::read_to_string(path)?.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    Ok(counts)
}
