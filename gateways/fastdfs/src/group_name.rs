//! The group's name as it is compared: 16 bytes.

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
