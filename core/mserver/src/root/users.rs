//! Users and their rights, as every mserver knows them.

use std::sync::Arc;

use dashmap::DashMap;

use sdfs_server_group::{UserKey, UserKeys};
use sdfs_types::limits::USER_NAME_BYTES_MAX;
use sdfs_types::wire;
use sdfs_types::{Access, CLUSTER_USER, FilePath, PathRight, Refusal, User, UserName};

use super::command::RootAnswer;
use super::keys;
use super::machine::Applying;
use crate::cache::FixedHasher;
use crate::fault::Applied;

/// The users. Made before the server group starts, which asks it for keys in handshakes on its
/// own threads (hence a shared table), and filled by the root group.
#[derive(Clone, Default)]
pub struct Users {
    by_name: Arc<DashMap<UserName, Arc<User>, FixedHasher>>,
}

impl Users {
    /// The user of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<User>> {
        self.by_name.get(name).map(|user| Arc::clone(&user))
    }

    /// All users by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<User>> {
        let mut all: Vec<_> = self.by_name.iter().map(|user| Arc::clone(&user)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Refuses what the user may not do.
    ///
    /// # Errors
    /// [`Refusal::Denied`].
    pub fn check(&self, name: &str, access: Access, path: &FilePath) -> Result<(), Refusal> {
        // Who has the cluster's secret is no user, whoever was given that name before.
        let user = self.by_name.get(name).filter(|_| name != CLUSTER_USER);
        if user.is_some_and(|user| user.may(access, path)) {
            return Ok(());
        }
        Err(Refusal::Denied {
            user: name.to_owned(),
            access,
            path: path.clone(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(crate) fn clear(&self) {
        self.by_name.clear();
    }

    pub(crate) fn set(&self, user: User) {
        self.by_name.insert(Arc::clone(&user.name), Arc::new(user));
    }

    fn remove(&self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }
}

impl UserKeys for Users {
    fn key_of(&self, user: &str) -> Option<UserKey> {
        self.get(user).map(|user| UserKey(user.key))
    }
}

/// Adds or changes a user.
pub(crate) fn put(
    applying: &mut Applying<'_>,
    name: &UserName,
    key: Option<[u8; 32]>,
    rights: &[PathRight],
) -> Applied<RootAnswer> {
    if name.is_empty() || name.len() > USER_NAME_BYTES_MAX {
        let allowed = format!("1 to {USER_NAME_BYTES_MAX} bytes");
        let value = format!("{} bytes long", name.len());
        return Err(Refusal::OutOfRange {
            what: "the user's name".to_owned(),
            value,
            allowed,
        }
        .into());
    }
    let users = &applying.view.users;
    let key = match key.or_else(|| users.get(name).map(|user| user.key)) {
        Some(key) => key,
        None => {
            return Err(Refusal::NoSuchUser {
                name: name.to_string(),
            }
            .into());
        }
    };
    let user = User {
        name: Arc::clone(name),
        key,
        rights: rights.to_vec(),
    };
    applying.batch.put(keys::of_user(name), wire::encode(&user));
    users.set(user);
    Ok(RootAnswer::Done)
}

/// Takes a user away.
pub(crate) fn delete(applying: &mut Applying<'_>, name: &UserName) -> Applied<RootAnswer> {
    if !applying.view.users.remove(name) {
        return Err(Refusal::NoSuchUser {
            name: name.to_string(),
        }
        .into());
    }
    applying.batch.delete(keys::of_user(name));
    Ok(RootAnswer::Done)
}

/// Adds the first administrator.
pub(crate) fn found_admin(
    applying: &mut Applying<'_>,
    name: &UserName,
    key: [u8; 32],
) -> Applied<RootAnswer> {
    if !applying.view.users.is_empty() {
        return Ok(RootAnswer::Done);
    }
    let everything = PathRight {
        path: FilePath::root(),
        access: Access::Admin,
    };
    put(applying, name, Some(key), &[everything])
}
