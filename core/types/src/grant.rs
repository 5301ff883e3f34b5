//! The right of a client to read or write the blocks of one file, proved to a dserver without
//! asking a mserver: a keyed BLAKE3 over what is granted.

use serde::{Deserialize, Serialize};

use crate::ids::FileDescriptor;

/// What a grant allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantRights {
    /// Read blocks.
    Read,
    /// Read and write blocks.
    Write,
}

/// The right to one file's blocks until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The file.
    pub descriptor: FileDescriptor,
    /// What is allowed.
    pub rights: GrantRights,
    /// Until when, milliseconds since the Unix epoch.
    pub expires_ms: u64,
    /// Proof that a mserver of the cluster granted it.
    pub mac: [u8; 16],
}

/// What a cluster's servers make and check grants with.
#[derive(Clone)]
pub struct GrantKey {
    key: [u8; 32],
}

impl GrantKey {
    /// Derived from the cluster's secret.
    pub fn derive(cluster_secret: &[u8]) -> GrantKey {
        GrantKey {
            key: blake3::derive_key("sdfs 2026 block grants", cluster_secret),
        }
    }

    /// Grants `rights` on a file until `expires_ms`.
    pub fn grant(&self, descriptor: FileDescriptor, rights: GrantRights, expires_ms: u64) -> Grant {
        Grant {
            descriptor,
            rights,
            expires_ms,
            mac: self.mac(descriptor, rights, expires_ms),
        }
    }

    /// Whether `grant` was made with this key, is not over at `now_ms`, and allows `wanted` on
    /// `descriptor`.
    pub fn allows(
        &self,
        grant: &Grant,
        descriptor: FileDescriptor,
        wanted: GrantRights,
        now_ms: u64,
    ) -> bool {
        let enough = grant.rights == GrantRights::Write || wanted == GrantRights::Read;
        let expected = self.mac(grant.descriptor, grant.rights, grant.expires_ms);
        let differing = expected
            .iter()
            .zip(grant.mac)
            .fold(0, |all, (a, b)| all | (a ^ b));
        enough && grant.descriptor == descriptor && now_ms <= grant.expires_ms && differing == 0
    }

    fn mac(&self, descriptor: FileDescriptor, rights: GrantRights, expires_ms: u64) -> [u8; 16] {
        let mut granted = [0; 17];
        granted[..8].copy_from_slice(&descriptor.to_key());
        granted[8..16].copy_from_slice(&expires_ms.to_be_bytes());
        granted[16] = u8::from(rights == GrantRights::Write);
        let mut mac = [0; 16];
        mac.copy_from_slice(&blake3::keyed_hash(&self.key, &granted).as_bytes()[..16]);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{FileId, FileVersion};

    #[test]
    fn a_changed_grant_is_worthless() {
        let key = GrantKey::derive(b"secret");
        let file = FileDescriptor {
            id: FileId(7),
            version: FileVersion(1),
        };
        let other = FileDescriptor {
            id: FileId(8),
            version: FileVersion(1),
        };
        let read = key.grant(file, GrantRights::Read, 1_000);
        assert!(key.allows(&read, file, GrantRights::Read, 1_000));
        assert!(!key.allows(&read, file, GrantRights::Read, 1_001));
        assert!(!key.allows(&read, file, GrantRights::Write, 1));
        assert!(!key.allows(&read, other, GrantRights::Read, 1));
        let forged = [
            Grant {
                rights: GrantRights::Write,
                ..read
            },
            Grant {
                expires_ms: 2_000,
                ..read
            },
            Grant {
                descriptor: other,
                ..read
            },
        ];
        for grant in forged {
            assert!(!key.allows(&grant, grant.descriptor, grant.rights, 1));
        }
        assert!(!GrantKey::derive(b"other").allows(&read, file, GrantRights::Read, 1));
    }
}
