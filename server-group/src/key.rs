//! Secrets and what is derived from them. None is ever printed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The bytes of any key here.
pub(crate) type KeyBytes = [u8; 32];

/// A secret below this many bytes can be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// Longest secret of links, bytes: FastDFS's own programs have room for no more than about 180 of
/// them beside the longest file name.
const LINK_SECRET_BYTES_MAX: usize = 128;

/// A user's key: SHA-256 of the user's secret.
#[derive(Clone, PartialEq, Eq)]
pub struct UserKey(pub [u8; 32]);

impl UserKey {
    /// The key of a secret as the user types it.
    #[must_use]
    pub fn of_secret(secret: &str) -> Self {
        Self(Sha256::digest(secret.trim().as_bytes()).into())
    }

    /// The key of the secret in a file, surrounding white space apart.
    ///
    /// # Errors
    /// When the file cannot be read or holds too short a secret.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        read_secret(path).map(|secret| Self::of_secret(&secret))
    }

    /// HMAC-SHA-256 of a text under this key: how a person's program answers a challenge.
    #[must_use]
    pub fn sign(&self, text: &str) -> [u8; 32] {
        self.signer(text).finalize().into_bytes().into()
    }

    /// Whether a signature is [`UserKey::sign`] of the text, compared in constant time.
    #[must_use]
    pub fn is_signature(&self, text: &str, signature: &[u8]) -> bool {
        self.signer(text).verify_slice(signature).is_ok()
    }

    fn signer(&self, text: &str) -> Hmac<Sha256> {
        let mut hmac =
            <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        hmac.update(text.as_bytes());
        hmac
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKey(..)")
    }
}

/// The keys of users, as this server knows them now.
#[async_trait]
pub trait UserKeys: Send + Sync {
    /// The key of a user; `None` when no such user is known here.
    fn key_of(&self, user: &str) -> Option<UserKey>;

    /// Waits until [`UserKeys::key_of`] knows every change of users that was acknowledged anywhere
    /// before. `false` when it may not: then this server cannot tell whether a key is wrong. Asked
    /// only about a user whose proof does not fit, and ended with the handshake's time.
    async fn caught_up(&self) -> bool {
        true
    }
}

/// The cluster's secret: what servers prove to each other.
#[derive(Clone)]
pub struct ClusterSecret(KeyBytes);

impl ClusterSecret {
    /// The secret of these words.
    #[must_use]
    pub fn of_secret(secret: &str) -> Self {
        Self(Sha256::digest(secret.trim().as_bytes()).into())
    }

    /// The secret in a file, surrounding white space apart.
    ///
    /// # Errors
    /// When the file cannot be read or holds too short a secret.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        read_secret(path).map(|secret| Self::of_secret(&secret))
    }

    /// A key for one purpose; different labels give unrelated keys.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        mac(&self.0, &[b"derive", label.as_bytes()])
    }

    /// The key that signs handshakes between servers.
    pub(crate) fn bytes(&self) -> &KeyBytes {
        &self.0
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

/// What links to files of FastDFS clients are signed with: taken as it is, since FastDFS's form of
/// a token is a hash of its words.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkSecret(String);

impl LinkSecret {
    /// The secret of these words.
    #[must_use]
    pub fn of_secret(secret: &str) -> Self {
        Self(secret.trim().to_owned())
    }

    /// The secret in a file, surrounding white space apart.
    ///
    /// # Errors
    /// When the file cannot be read or holds too short or too long a secret.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let secret = Self::of_secret(&read_secret(path)?);
        if secret.0.len() > LINK_SECRET_BYTES_MAX {
            return Err(SecretError::TooLong {
                path: path.to_owned(),
            });
        }
        Ok(secret)
    }

    /// Its words, for signing and nothing else.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret(..)")
    }
}

/// Why a secret cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The secret can be guessed.
    #[error("the secret in {} has fewer than {SECRET_BYTES_MIN} bytes", path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
    },
    /// The secret does not fit beside a file name.
    #[error("the secret in {} has more than {LINK_SECRET_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

fn read_secret(path: &Path) -> Result<String, SecretError> {
    let text = std::fs::read_to_string(path).map_err(|source| SecretError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    if text.trim().len() < SECRET_BYTES_MIN {
        return Err(SecretError::TooShort {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

/// HMAC-SHA-256 (RFC 2104) over parts, each preceded by its length so that no two lists of parts
/// read the same.
pub(crate) fn mac(key: &KeyBytes, parts: &[&[u8]]) -> KeyBytes {
    feed(key, parts).finalize().into_bytes().into()
}

/// Whether `tag` is the MAC of the parts, compared in constant time.
pub(crate) fn is_mac(key: &KeyBytes, parts: &[&[u8]], tag: &[u8]) -> bool {
    feed(key, parts).verify_slice(tag).is_ok()
}

fn feed(key: &KeyBytes, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut hmac =
        <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        hmac.update(&(part.len() as u64).to_le_bytes());
        hmac.update(part);
    }
    hmac
}
