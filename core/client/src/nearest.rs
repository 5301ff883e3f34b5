//! Which mserver to ask: the nearest, kept until another is clearly nearer.

use std::net::SocketAddr;
use std::time::Duration;

/// A difference below this is noise of the two machines, not distance.
const NOISE: Duration = Duration::from_micros(300);

/// A mserver as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Smoothed round-trip time, once measured.
    pub(crate) rtt: Option<Duration>,
    /// Whether it was silent or lost a short time ago.
    pub(crate) is_avoided: bool,
    /// Whether the call at hand has been tried there in this round.
    pub(crate) is_tried: bool,
}

/// Chooses among the candidates. The current one stays while it answers and none is clearly
/// nearer; between equally near ones `random` decides, so that clients spread.
pub(crate) fn nearest(
    current: Option<SocketAddr>,
    candidates: &[Candidate],
    random: u64,
) -> Option<SocketAddr> {
    let grade = |candidate: &Candidate| (candidate.is_tried, candidate.is_avoided);
    let best_grade = candidates.iter().map(grade).min()?;
    let eligible = || {
        candidates
            .iter()
            .filter(|candidate| grade(candidate) == best_grade)
    };
    let least = eligible().filter_map(|candidate| candidate.rtt).min();
    let is_near = |candidate: &&Candidate| is_about(candidate.rtt, least);
    let staying =
        eligible().find(|candidate| Some(candidate.address) == current && is_near(candidate));
    if let Some(staying) = staying {
        return Some(staying.address);
    }
    let near: Vec<_> = eligible().filter(is_near).collect();
    let chosen = usize::try_from(random % (near.len().max(1) as u64)).unwrap_or(0);
    near.get(chosen).map(|candidate| candidate.address)
}

/// Whether a candidate is not clearly farther than the least time known. One never measured is
/// far once others are measured, and as good as any while none is.
fn is_about(rtt: Option<Duration>, least: Option<Duration>) -> bool {
    match (rtt, least) {
        (Some(rtt), Some(least)) => rtt <= least * 2 + NOISE,
        (None, Some(_)) => false,
        (_, None) => true,
    }
}

/// The smoothed time after one more measurement, which counts an eighth (RFC 6298).
pub(crate) fn smoothed(before: Option<Duration>, measured: Duration) -> Duration {
    before.map_or(measured, |before| (before * 7 + measured) / 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn candidate(port: u16, rtt_us: u64) -> Candidate {
        let rtt = (rtt_us > 0).then(|| Duration::from_micros(rtt_us));
        Candidate {
            address: at(port),
            rtt,
            is_avoided: false,
            is_tried: false,
        }
    }

    #[test]
    fn nearest_of_three_delays() {
        let candidates = [candidate(1, 20_000), candidate(2, 400), candidate(3, 5_000)];
        for random in 0..9 {
            assert_eq!(nearest(None, &candidates, random), Some(at(2)));
        }
    }

    #[test]
    fn small_differences_change_nothing() {
        let candidates = [candidate(1, 900), candidate(2, 400)];
        assert_eq!(nearest(Some(at(1)), &candidates, 1), Some(at(1)));
        let candidates = [candidate(1, 9_000), candidate(2, 400)];
        assert_eq!(nearest(Some(at(1)), &candidates, 1), Some(at(2)));
    }

    #[test]
    fn a_silent_one_is_left() {
        let mut candidates = [candidate(1, 100), candidate(2, 9_000)];
        candidates[0].is_avoided = true;
        assert_eq!(nearest(Some(at(1)), &candidates, 0), Some(at(2)));
        candidates[1].is_tried = true;
        assert_eq!(nearest(Some(at(1)), &candidates, 0), Some(at(1)));
    }

    #[test]
    fn unmeasured_ones_are_taken_at_random() {
        let candidates = [candidate(1, 0), candidate(2, 0)];
        assert_eq!(nearest(None, &candidates, 0), Some(at(1)));
        assert_eq!(nearest(None, &candidates, 1), Some(at(2)));
        let measured = [candidate(1, 0), candidate(2, 50)];
        assert_eq!(nearest(None, &measured, 0), Some(at(2)));
        assert_eq!(nearest(None, &[], 0), None);
    }

    proptest! {
        #[test]
        fn somebody_is_always_chosen(
            some in prop::collection::vec((0u64..100_000, any::<bool>(), any::<bool>()), 1..8),
            current in 0u16..9,
            random: u64,
        ) {
            let candidates: Vec<_> = (1u16..)
                .zip(&some)
                .map(|(port, (rtt_us, is_avoided, is_tried))| Candidate {
                    is_avoided: *is_avoided,
                    is_tried: *is_tried,
                    ..candidate(port, *rtt_us)
                })
                .collect();
            let chosen = nearest(Some(at(current)), &candidates, random);
            let chosen = candidates.iter().find(|one| Some(one.address) == chosen);
            let chosen = chosen.expect("one of the candidates");
            let untried = candidates.iter().any(|one| !one.is_tried);
            prop_assert!(!(chosen.is_tried && untried));
        }
    }
}
