//! What a voter promises, and for how long.

use sdfs_mserver::negotiation::Moment;
use sdfs_mserver::reservations::{Reservations, Reserved};
use sdfs_types::ServerId;
use sdfs_types::calls::negotiation::Ballot;
use sdfs_types::limits::RESERVATION_MS;

use crate::driver::{path, request};

fn ballot(coordinator: u16, round: u32) -> Ballot {
    Ballot {
        round,
        coordinator: ServerId(coordinator),
        sequence: 1,
    }
}

const LEASE: Moment = Moment(RESERVATION_MS * 1_000);

#[test]
fn a_yes_is_a_promise() {
    let mut voter = Reservations::default();
    let ask = |voter: &mut Reservations, now, coordinator| {
        let wanted = (request(u64::from(coordinator)), ballot(coordinator, 0));
        voter.reserve(now, &path("/a"), wanted, |_| false)
    };
    assert_eq!(ask(&mut voter, Moment(0), 2), Reserved::Yes);
    assert_eq!(
        ask(&mut voter, Moment(1), 1),
        Reserved::Held { by: ballot(2, 0) }
    );
    assert_eq!(
        ask(&mut voter, Moment(LEASE.0 - 1), 1),
        Reserved::Held { by: ballot(2, 0) }
    );
    assert_eq!(ask(&mut voter, LEASE, 1), Reserved::Yes);
}

#[test]
fn a_later_round_renews_it() {
    let mut voter = Reservations::default();
    let name = path("/a");
    let ask = |voter: &mut Reservations, now, ballot| {
        voter.reserve(now, &name, (request(1), ballot), |_| false)
    };
    assert_eq!(ask(&mut voter, Moment(0), ballot(1, 0)), Reserved::Yes);
    assert_eq!(
        ask(&mut voter, Moment(LEASE.0 / 2), ballot(1, 1)),
        Reserved::Yes
    );
    assert_eq!(
        ask(&mut voter, LEASE, ballot(2, 0)),
        Reserved::Held { by: ballot(1, 1) }
    );
    // What is given back for the former round does not free the present one.
    voter.give_back(&name, ballot(1, 0));
    assert_eq!(
        ask(&mut voter, LEASE, ballot(2, 0)),
        Reserved::Held { by: ballot(1, 1) }
    );
    voter.give_back(&name, ballot(1, 1));
    assert_eq!(ask(&mut voter, LEASE, ballot(2, 0)), Reserved::Yes);
}

#[test]
fn a_decision_ends_it() {
    let mut voter = Reservations::default();
    let ask = |voter: &mut Reservations, sequence, coordinator, decided| {
        let wanted = (request(sequence), ballot(coordinator, 0));
        voter.reserve(Moment(0), &path("/a"), wanted, |one| {
            decided && one == request(1)
        })
    };
    assert_eq!(ask(&mut voter, 1, 1, false), Reserved::Yes);
    assert_eq!(ask(&mut voter, 2, 2, true), Reserved::Yes);
    assert_eq!(
        ask(&mut voter, 3, 3, true),
        Reserved::Held { by: ballot(2, 0) }
    );
}

#[test]
fn ended_reservations_cost_nothing() {
    let mut voter = Reservations::default();
    for sequence in 0..100 {
        let wanted = (request(sequence), ballot(1, 0));
        voter.reserve(
            Moment(sequence),
            &path(&format!("/{sequence}")),
            wanted,
            |_| false,
        );
    }
    assert_eq!(voter.len(), 100);
    voter.expire(Moment(LEASE.0 + 50));
    assert_eq!(voter.len(), 49);
    voter.expire(Moment(LEASE.0 + 100));
    assert!(voter.is_empty());
}

#[test]
fn the_lower_ballot_goes_first() {
    let mut voter = Reservations::default();
    let name = path("/a");
    let ask = |voter: &mut Reservations, now, ballot: Ballot| {
        let wanted = (request(u64::from(ballot.coordinator.0)), ballot);
        voter.reserve(Moment(now), &name, wanted, |_| false)
    };
    let (first, second, third) = (ballot(1, 0), ballot(2, 0), ballot(3, 0));
    assert_eq!(ask(&mut voter, 0, second), Reserved::Yes);
    assert_eq!(ask(&mut voter, 1, third), Reserved::Held { by: second });
    assert_eq!(ask(&mut voter, 2, first), Reserved::Held { by: second });
    voter.give_back(&name, second);
    // The loser asks again at once, but the lower ballot's turn has come.
    assert_eq!(
        ask(&mut voter, 3, ballot(2, 1)),
        Reserved::Held { by: first }
    );
    assert_eq!(ask(&mut voter, 4, first), Reserved::Yes);
    voter.give_back(&name, first);
    assert_eq!(ask(&mut voter, 5, ballot(2, 1)), Reserved::Yes);
}

#[test]
fn a_turn_nobody_takes_ends() {
    let mut voter = Reservations::default();
    let name = path("/a");
    let ask = |voter: &mut Reservations, now, ballot: Ballot| {
        let wanted = (request(u64::from(ballot.coordinator.0)), ballot);
        voter.reserve(Moment(now), &name, wanted, |_| false)
    };
    ask(&mut voter, 0, ballot(2, 0));
    ask(&mut voter, 1, ballot(1, 0));
    voter.give_back(&name, ballot(2, 0));
    assert_eq!(ask(&mut voter, 400_000, ballot(2, 1)), Reserved::Yes);
}
