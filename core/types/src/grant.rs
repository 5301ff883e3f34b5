//! The right of a client to read or write the blocks of one file, proved to a dserver without
//! asking a mserver: a keyed BLAKE3 over what is granted.

use serde::{Deserialize, Serialize};

use crate::ids::{FileDescriptor, RequestId};
use crate::path::FilePath;

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

/// The file a put is to make: what a mserver has given out, to whom and for which name.
#[derive(Clone, Copy, Debug)]
pub struct PutGiven<'a> {
    /// The put's request.
    pub request: RequestId,
    /// Who puts.
    pub user: &'a str,
    /// The name.
    pub path: &'a FilePath,
    /// What was given out.
    pub descriptor: FileDescriptor,
}

/// Proof that a mserver of the cluster gave a descriptor out to a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutProof(pub [u8; 16]);

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
        let is_ours = is_equal(&expected, &grant.mac);
        enough && grant.descriptor == descriptor && now_ms <= grant.expires_ms && is_ours
    }

    /// Proves what is given out to a put.
    pub fn prove(&self, given: &PutGiven<'_>) -> PutProof {
        // Longer than what a grant's proof covers, so that neither passes for the other.
        let mut proven = b"descriptor of a put".to_vec();
        proven.extend_from_slice(&given.request.to_key());
        proven.extend_from_slice(&given.descriptor.to_key());
        proven.extend_from_slice(&(given.user.len() as u64).to_be_bytes());
        proven.extend_from_slice(given.user.as_bytes());
        proven.extend_from_slice(given.path.as_str().as_bytes());
        PutProof(self.hash(&proven))
    }

    /// Whether `proof` was made with this key for just that.
    pub fn proves(&self, proof: &PutProof, given: &PutGiven<'_>) -> bool {
        is_equal(&self.prove(given).0, &proof.0)
    }

    fn mac(&self, descriptor: FileDescriptor, rights: GrantRights, expires_ms: u64) -> [u8; 16] {
        let mut granted = [0; 17];
        granted[..8].copy_from_slice(&descriptor.to_key());
        granted[8..16].copy_from_slice(&expires_ms.to_be_bytes());
        granted[16] = u8::from(rights == GrantRights::Write);
        self.hash(&granted)
    }

    fn hash(&self, message: &[u8]) -> [u8; 16] {
        let mut mac = [0; 16];
        mac.copy_from_slice(&blake3::keyed_hash(&self.key, message).as_bytes()[..16]);
        mac
    }
}

/// Takes as long wherever they differ.
fn is_equal(a: &[u8; 16], b: &[u8; 16]) -> bool {
    a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
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

    #[test]
    fn a_proof_is_good_for_one_put() {
        let key = GrantKey::derive(b"secret");
        let (path, other) = (FilePath::parse("/a"), FilePath::parse("/b"));
        let (path, other) = (path.expect("a path"), other.expect("a path"));
        let given = PutGiven {
            request: RequestId {
                client: 1,
                sequence: 2,
            },
            user: "ann",
            path: &path,
            descriptor: FileDescriptor {
                id: FileId(7),
                version: FileVersion(1),
            },
        };
        let proof = key.prove(&given);
        assert!(key.proves(&proof, &given));
        let next = given.descriptor.next_life().expect("a next life");
        let others = [
            PutGiven {
                request: RequestId {
                    client: 1,
                    sequence: 3,
                },
                ..given
            },
            PutGiven {
                user: "ann/",
                ..given
            },
            PutGiven {
                path: &other,
                ..given
            },
            PutGiven {
                descriptor: next,
                ..given
            },
        ];
        for other in others {
            assert!(!key.proves(&proof, &other), "{other:?}");
        }
        assert!(!GrantKey::derive(b"other").proves(&proof, &given));
    }
}
