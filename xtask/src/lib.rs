//! The rules of this code base that no compiler checks, as functions over the source tree. The
//! test `tests/tidy.rs` runs them all; `cargo run -p sdfs-xtask` prints what they find.
//!
//! It reads text. What clippy can check (function length, parameters, panics) is left to clippy.

use std::path::{Path, PathBuf};

pub mod doors;
pub mod layers;
pub mod shape;
pub mod source;
pub mod words;

pub use source::{Source, read_sources};

/// One place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, relative to the root of the checkout.
    pub file: String,
    /// The line, counted from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every fault in the checkout at `root`.
///
/// # Errors
/// When a file or folder cannot be read.
pub fn check(root: &Path) -> std::io::Result<Vec<Fault>> {
    let sources = read_sources(root)?;
    let mut faults = layers::check(root)?;
    for source in &sources {
        faults.extend(doors::check(source));
        faults.extend(shape::check(source));
        faults.extend(words::check(source));
    }
    faults.sort();
    Ok(faults)
}
