//! What is wrong with a configuration, precisely enough to mend it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{mistake}", file.display())]
    Mistake {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        mistake: Box<Mistake>,
    },
}

impl ConfigError {
    /// What is wrong and where, when the file could be read.
    #[must_use]
    pub fn mistake(&self) -> Option<&Mistake> {
        match self {
            Self::Mistake { mistake, .. } => Some(mistake),
            Self::Unreadable { .. } => None,
        }
    }
}

/// One mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
    /// The key, as a path: `servers[2].address`. Empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub allowed: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; allowed: {}", self.what, self.allowed)
    }
}
