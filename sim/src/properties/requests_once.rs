//! A request that was done is not done again, and one that was refused is not done later: whoever
//! repeats it, at whatever mserver and whatever became of the name meanwhile, learns what became of
//! it the first time.

use sdfs_types::Refusal;

use super::{Judged, Violation};
use crate::repeater::Repeat;

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let wrong = judged.repeats.iter().filter(|repeat| is_wrong(repeat));
    wrong
        .map(|repeat| {
            let what = format!("{}: {:?}", repeat.what, repeat.answers);
            Violation::new("a request is done once", what)
        })
        .collect()
}

fn is_wrong(repeat: &Repeat) -> bool {
    match &repeat.answers {
        [Some(Ok(first)), Some(Ok(again))] => first != again,
        // What was done, and what was refused for good, stays so.
        [Some(Ok(_)), Some(Err(refusal))] | [Some(Err(refusal)), Some(Ok(_))] => {
            matches!(refusal, Refusal::NotFound { .. } | Refusal::Exists { .. })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::FileDescriptor;

    #[test]
    fn a_second_outcome_is_found() {
        let file = |key| Some(Ok(FileDescriptor::from_key(&[key; 8]).unwrap()));
        let is_wrong = |answers| {
            let what = String::new();
            is_wrong(&Repeat { what, answers })
        };
        let busy = Some(Err(Refusal::NotServed));
        let path = "/f".parse().unwrap();
        let descriptor = FileDescriptor::from_key(&[1; 8]).unwrap();
        let exists = Some(Err(Refusal::Exists { path, descriptor }));
        assert!(!is_wrong([file(1), file(1)]));
        assert!(!is_wrong([None, file(1)]));
        assert!(!is_wrong([file(1), busy]));
        assert!(is_wrong([file(1), file(2)]));
        assert!(is_wrong([file(1), exists.clone()]));
        assert!(is_wrong([exists, file(1)]));
    }
}
