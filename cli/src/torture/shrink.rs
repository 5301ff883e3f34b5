//! The shortest part of a history that cannot be explained.
//!
//! Operations are not taken out, which could make a good history bad: they are relaxed. A read is
//! forgotten, a write may have happened or not, and what came before a moment may have left
//! anything. A history that is still bad then is bad by the operations that are left alone.

use super::check::{Verdict, check};
use super::model::{State, Step};

/// Checks spent on making it shorter, at most.
const CHECKS_MAX: usize = 3_000;

/// The places of the steps that contradict each other, in the order of their begins; empty when
/// the steps can be explained.
pub(super) fn shortest(steps: &[Step]) -> Vec<usize> {
    let Verdict::Broken { step: last } = check(steps, State::Nothing) else {
        return Vec::new();
    };
    let until = steps[last].end_us.unwrap_or(u64::MAX);
    let mut order: Vec<usize> = (0..steps.len())
        .filter(|step| steps[*step].begin_us <= until)
        .collect();
    order.sort_by_key(|step| steps[*step].begin_us);
    let (start, mut kept) = last_part(steps, &order);
    let mut left = CHECKS_MAX;
    let mut relaxed = Vec::new();
    // Large pieces first, so that most of it goes in a few checks.
    let mut piece = kept.len().div_ceil(2).max(1);
    loop {
        let mut place = 0;
        while place < kept.len() && left > 0 {
            left -= 1;
            let end = (place + piece).min(kept.len());
            let fewer: Vec<usize> = [&kept[..place], &kept[end..]].concat();
            let more: Vec<usize> = [&relaxed[..], &kept[place..end]].concat();
            if is_broken(steps, &fewer, &more, start) {
                (kept, relaxed) = (fewer, more);
            } else {
                place = end;
            }
        }
        if piece == 1 || left == 0 {
            return kept;
        }
        piece = piece.div_ceil(2);
    }
}

/// The shortest end of the history that is bad whatever was before it.
fn last_part(steps: &[Step], order: &[usize]) -> (State, Vec<usize>) {
    let mut count = 4;
    while count < order.len() {
        let (before, part) = order.split_at(order.len() - count);
        // What began before may happen any time.
        if is_broken(steps, part, before, State::Any) {
            return (State::Any, part.to_vec());
        }
        count *= 2;
    }
    (State::Nothing, order.to_vec())
}

fn is_broken(steps: &[Step], kept: &[usize], relaxed: &[usize], start: State) -> bool {
    let all = kept.iter().map(|step| steps[*step]);
    // Whatever ended long before is part of `Any`; the rest may still happen.
    let from_us = kept.iter().map(|step| steps[*step].begin_us).min();
    let may = relaxed.iter().map(|step| steps[*step]).filter(|step| {
        let is_past = step.end_us.is_some_and(|end| Some(end) < from_us);
        let is_covered = start == State::Any && is_past;
        !step.act.is_look() && !is_covered
    });
    let may = may.map(|step| Step {
        end_us: None,
        ..step
    });
    let steps: Vec<Step> = all.chain(may).collect();
    matches!(check(&steps, start), Verdict::Broken { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::model::Act;

    fn step(act: Act, begin_us: u64) -> Step {
        Step {
            act,
            begin_us,
            end_us: Some(begin_us + 5),
        }
    }

    #[test]
    fn a_stale_read_is_all_that_is_left() {
        let mut steps = Vec::new();
        for round in 0..200 {
            steps.push(step(Act::Write(round * 2 + 2), round * 20));
            steps.push(step(Act::Is(round * 2 + 2), round * 20 + 10));
        }
        assert_eq!(shortest(&steps), [0usize; 0]);
        // Value 300 was overwritten by 302.
        steps.push(step(Act::Is(300), 3_015));
        let left: Vec<_> = shortest(&steps).iter().map(|one| steps[*one].act).collect();
        assert!(left.len() <= 3, "{left:?}");
        assert!(left.contains(&Act::Is(300)), "{left:?}");
    }

    #[test]
    fn a_lost_write_is_shown_with_its_read() {
        let mut steps = vec![step(Act::Write(2), 0)];
        steps.extend((1..50).map(|round| step(Act::Is(2), round * 10)));
        steps.push(step(Act::IsNothing, 1_000));
        let left: Vec<_> = shortest(&steps).iter().map(|one| steps[*one].act).collect();
        assert_eq!(left, [Act::Is(2), Act::IsNothing]);
    }
}
