//! The names of groups: as they are compared, 16 bytes, and which of them a server has.

use std::collections::BTreeSet;

use sdfs_server_group::{Config, FastDfs, ServerConfig};

use crate::wire::GROUP_BYTES;

/// The field that holds a group's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupName {
    field: [u8; GROUP_BYTES],
}

impl GroupName {
    /// A name that was checked with the configuration.
    pub(crate) fn of(name: &str) -> Self {
        let mut field = [0; GROUP_BYTES];
        let length = name.len().min(GROUP_BYTES);
        field[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self { field }
    }

    pub(crate) fn field(&self) -> &[u8; GROUP_BYTES] {
        &self.field
    }

    /// Whether a request's field means this group. What follows the first zero means nothing.
    pub(crate) fn is_meant(&self, field: &[u8]) -> bool {
        let until_zero = |bytes: &[u8]| bytes.iter().position(|byte| *byte == 0);
        let mine = until_zero(&self.field).unwrap_or(GROUP_BYTES);
        let asked = until_zero(field).unwrap_or(field.len());
        self.field[..mine] == field[..asked]
    }
}

/// The names of all groups: of one when dservers have none of their own.
#[must_use]
pub fn all_groups<'a>(config: &'a Config, settings: &'a FastDfs) -> BTreeSet<&'a str> {
    match config.groups.is_empty() {
        true => [&*settings.group].into(),
        false => config
            .groups
            .names()
            .into_iter()
            .map(|name| &**name)
            .collect(),
    }
}

/// The group of a dserver. `None` where others have one and this one has not: it keeps nothing.
#[must_use]
pub fn group_of<'a>(
    config: &'a Config,
    settings: &'a FastDfs,
    server: &ServerConfig,
) -> Option<&'a str> {
    match config.groups.is_empty() {
        true => Some(&settings.group),
        false => config.groups.of(&server.name).map(|name| &**name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_fills_its_field() {
        let name = GroupName::of("abcdefghijklmnop");
        assert!(name.is_meant(b"abcdefghijklmnop"));
        assert!(!name.is_meant(b"abcdefghijklmno\0"));
        assert!(!GroupName::of("abc").is_meant(b"abcd\0\0\0\0\0\0\0\0\0\0\0\0"));
        assert!(GroupName::of("abc").is_meant(b"abc\0d\0\0\0\0\0\0\0\0\0\0\0"));
    }
}
