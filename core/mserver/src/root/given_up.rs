//! Files that get no name any more, for good: an operator had them taken away because they were
//! nobody's, and whoever might still finish them must be refused. Bounded, and refused when full:
//! a mark that made room for another would let its put end acknowledged without its bytes.

use std::collections::BTreeSet;

use sdfs_types::{FileDescriptor, Refusal};

use super::command::RootAnswer;
use super::keys;
use super::machine::Applying;
use crate::fault::Applied;
use crate::limits::GIVEN_UP_FILES_MAX;

/// Marks files.
pub(crate) fn give_up(
    applying: &mut Applying<'_>,
    files: &[FileDescriptor],
) -> Applied<RootAnswer> {
    let marked = &applying.view.given_up;
    let is_new = |file: &&FileDescriptor| !marked.contains_key(*file);
    let new: BTreeSet<FileDescriptor> = files.iter().filter(is_new).copied().collect();
    let count = marked.len() + new.len();
    if count > GIVEN_UP_FILES_MAX {
        return Err(Refusal::OutOfRange {
            what: "the files ever given up by repairs".to_owned(),
            value: count.to_string(),
            allowed: format!("at most {GIVEN_UP_FILES_MAX}"),
        }
        .into());
    }
    for file in new {
        let key = keys::of_descriptor(keys::GIVEN_UP, file);
        applying.batch.put(key, Vec::new());
        applying.view.given_up.insert(file, ());
    }
    Ok(RootAnswer::Done)
}

impl Applying<'_> {
    /// Refuses a name to a file that was given up.
    pub(crate) fn not_given_up(&self, descriptor: FileDescriptor) -> Applied<()> {
        if self.view.is_given_up(descriptor) {
            return Err(Refusal::Gone { descriptor }.into());
        }
        Ok(())
    }
}
