//! One walk through a directory, page by page, and what it has to hold: every name after the one
//! before, and all that were made.

use sdfs_types::Name;

use crate::exit::Code;
use crate::failure::{Failure, Outcome};

/// A walk that begins again after the last page.
#[derive(Debug, Default)]
pub(super) struct Listing {
    last: Option<Name>,
    names: u64,
}

impl Listing {
    /// The name the next page comes after.
    pub(super) fn last(&self) -> Option<Name> {
        self.last.clone()
    }

    /// Whether pages of this walk are still to come.
    pub(super) fn is_begun(&self) -> bool {
        self.last.is_some()
    }

    /// The walk with the next page taken in, or a new one after the last page; `made` names at
    /// least are in the directory all the time.
    ///
    /// # Errors
    /// A name that is not after the one before it, and a walk that ends with too few names.
    pub(super) fn take(
        mut self,
        page: impl IntoIterator<Item = Name>,
        more: bool,
        made: u64,
    ) -> Outcome<Listing> {
        let before = self.names;
        for name in page {
            if let Some(last) = self.last.as_ref().filter(|last| name <= **last) {
                let what = format!("'{name}' is listed after '{last}'");
                return Err(Failure::new(Code::Broken, what));
            }
            self.last = Some(name);
            self.names += 1;
        }
        if more && self.names > before {
            return Ok(self);
        }
        if self.names < made {
            let what = format!("{} names are listed of the {made} there are", self.names);
            return Err(Failure::new(Code::Broken, what));
        }
        Ok(Listing::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(names: [&str; N]) -> [Name; N] {
        names.map(Name::from)
    }

    fn begun() -> Listing {
        let listing = Listing::default().take(names(["a", "b"]), true, 3);
        listing.expect("in order")
    }

    #[test]
    fn a_walk_goes_on_after_its_last_name() {
        assert!(begun().is_begun());
        assert_eq!(begun().last(), Some(names(["b"])[0].clone()));
        let ended = begun().take(names(["ba"]), false, 3).expect("complete");
        assert!(!ended.is_begun() && ended.last().is_none());
    }

    #[test]
    fn names_out_of_order_are_told() {
        for second in [["b", "c"], ["a", "c"]] {
            let fault = begun().take(names(second), true, 3).expect_err("a fault");
            assert_eq!(fault.what, format!("'{}' is listed after 'b'", second[0]));
        }
    }

    #[test]
    fn a_walk_with_too_few_names_is_told() {
        for more in [true, false] {
            let fault = begun().take([], more, 3).expect_err("a fault");
            assert_eq!(fault.what, "2 names are listed of the 3 there are");
        }
    }
}
