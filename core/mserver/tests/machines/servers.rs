//! The list of servers as the root group keeps it.

use super::driver::{Answer, Names};
use sdfs_mserver::root::{NewServer, RootAnswer, RootCommand, ServersCommand};
use sdfs_mserver::volumes::{MaintenanceCommand, MemberChange, VolumeAnswer, VolumeCommand};
use sdfs_types::calls::maintenance::MaintenanceOrder;
use sdfs_types::{Epoch, Refusal, Role, ServerId, ServerRecord, ServerState, VolumeId};

fn server(name: &str, role: Role, port: u16) -> NewServer {
    NewServer {
        name: name.into(),
        role,
        address: ([127, 0, 0, 1], port).into(),
        zone: "a".to_owned(),
    }
}

fn change(names: &mut Names, command: ServersCommand) -> Answer {
    names.run(RootCommand::Servers(command))
}

fn record(answer: Answer) -> ServerRecord {
    match answer {
        Ok(RootAnswer::Server(record)) => record,
        other => panic!("{other:?}"),
    }
}

/// Two mservers and four dservers, numbered 1, 2 and 4 to 7.
fn founded() -> Names {
    let mut names = Names::new();
    let mut servers = Vec::new();
    for (id, name, role) in [
        (1, "m-1", Role::Mserver),
        (2, "m-2", Role::Mserver),
        (4, "d-1", Role::Dserver),
        (5, "d-2", Role::Dserver),
        (6, "d-3", Role::Dserver),
        (7, "d-4", Role::Dserver),
    ] {
        servers.push((ServerId(id), server(name, role, 7_000 + id)));
    }
    let done = change(&mut names, ServersCommand::Found(servers));
    assert_eq!(done, Ok(RootAnswer::Done));
    names
}

fn join(name: &str, port: u16) -> ServersCommand {
    ServersCommand::Join(server(name, Role::Dserver, port))
}

fn leave(name: &str) -> ServersCommand {
    ServersCommand::Leave { name: name.into() }
}

fn order(names: &mut Names, order: MaintenanceOrder) {
    let command = MaintenanceCommand {
        order,
        by: "ann".to_owned(),
        at_ms: 1,
        expected: None,
        up: (4..=7).map(ServerId).collect(),
        copies: 3,
    };
    let done = names.run(RootCommand::Volume(VolumeCommand::Maintain(command)));
    let is_done = matches!(done, Ok(RootAnswer::Volume(VolumeAnswer::Done { .. })));
    assert!(is_done, "{done:?}");
}

fn state_of(names: &Names, id: u16) -> ServerState {
    names.view.servers().servers[&ServerId(id)].state
}

#[test]
fn the_first_list_is_begun_once() {
    let mut names = founded();
    let list = names.view.servers();
    assert_eq!((list.version, list.servers.len()), (1, 6));
    let is_member = |one: &ServerRecord| one.state == ServerState::Member && one.change == 1;
    assert!(list.servers.values().all(is_member), "{list:?}");
    let other = vec![(ServerId(9), server("x", Role::Dserver, 1))];
    let done = change(&mut names, ServersCommand::Found(other));
    assert_eq!(done, Ok(RootAnswer::Done));
    assert_eq!(names.view.servers(), list);
}

#[test]
fn nobody_joins_before_the_list_begins() {
    let refused = change(&mut Names::new(), join("d-5", 9));
    assert!(matches!(refused, Err(Refusal::Busy { .. })), "{refused:?}");
}

#[test]
fn joining_twice_is_joining_once() {
    let mut names = founded();
    let first = record(change(&mut names, join("d-5", 8_000)));
    assert_eq!((first.id, first.state), (ServerId(8), ServerState::Joining));
    assert_eq!(record(change(&mut names, join("d-5", 8_000))), first);
    assert_eq!(names.view.servers().version, 2);
    let next = record(change(&mut names, join("d-6", 8_001)));
    assert_eq!((next.id, next.change), (ServerId(9), 3));
}

#[test]
fn what_is_taken_is_refused() {
    let mut names = founded();
    let taken = |answer: Answer| match answer {
        Err(Refusal::ServerExists { record }) => record.id.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(taken(change(&mut names, join("d-1", 8_000))), 4);
    assert_eq!(taken(change(&mut names, join("m-2", 8_000))), 2);
    assert_eq!(taken(change(&mut names, join("d-9", 7_005))), 5);
    // The same server in another zone is another wish.
    let mut moved = server("d-1", Role::Dserver, 7_004);
    moved.zone = "b".to_owned();
    assert_eq!(taken(change(&mut names, ServersCommand::Join(moved))), 4);
    assert_eq!(names.view.servers().version, 1);
}

#[test]
fn nonsense_does_not_join() {
    let mut names = founded();
    let long = "n".repeat(65);
    let mut nowhere = server("d-5", Role::Dserver, 8_000);
    nowhere.address = ([0, 0, 0, 0], 8_000).into();
    let table = [
        server("", Role::Dserver, 8_000),
        server("a/b", Role::Dserver, 8_000),
        server(&long, Role::Dserver, 8_000),
        server("d-5", Role::Dserver, 0),
        server("d-5", Role::Mserver, 8_000),
        server("d-5", Role::Client, 8_000),
        nowhere,
    ];
    for new in table {
        let refused = change(&mut names, ServersCommand::Join(new.clone()));
        assert!(
            matches!(refused, Err(Refusal::OutOfRange { .. })),
            "{new:?}: {refused:?}"
        );
    }
}

#[test]
fn arrival_is_of_the_record_that_was_seen() {
    let mut names = founded();
    let joined = record(change(&mut names, join("d-5", 8_000)));
    let (server, at) = (joined.id, joined.change);
    let stale = ServersCommand::Arrived {
        server,
        change: at + 1,
    };
    assert!(matches!(
        change(&mut names, stale),
        Err(Refusal::Busy { .. })
    ));
    let member = record(change(
        &mut names,
        ServersCommand::Arrived { server, change: at },
    ));
    assert_eq!((member.state, member.change), (ServerState::Member, at + 1));
    let again = ServersCommand::Arrived { server, change: at };
    assert!(matches!(
        change(&mut names, again),
        Err(Refusal::Busy { .. })
    ));
}

#[test]
fn a_dserver_leaves_when_it_is_drained() {
    let mut names = founded();
    let add = VolumeCommand::Add {
        first: VolumeId(1),
        volumes: vec![vec![ServerId(4), ServerId(5), ServerId(6)]],
    };
    names.run(RootCommand::Volume(add)).unwrap();
    let refused = change(&mut names, leave("d-1"));
    assert!(
        matches!(refused, Err(Refusal::ServerState { .. })),
        "{refused:?}"
    );
    order(
        &mut names,
        MaintenanceOrder::Drain {
            server: ServerId(4),
        },
    );
    let leaving = record(change(&mut names, leave("d-1")));
    assert_eq!(leaving.state, ServerState::Leaving);
    assert_eq!(record(change(&mut names, leave("d-1"))), leaving);
    let left = || ServersCommand::Left {
        server: ServerId(4),
        change: leaving.change,
    };
    // A volume names it, even if only as one that is out.
    assert!(matches!(
        change(&mut names, left()),
        Err(Refusal::ServerState { .. })
    ));
    for (expected, change) in [
        (
            1,
            MemberChange::Found {
                members: (4..=6).map(ServerId).collect(),
            },
        ),
        (2, MemberChange::Join { by: ServerId(7) }),
        (
            3,
            MemberChange::Admit {
                member: ServerId(7),
            },
        ),
        (
            4,
            MemberChange::Leave {
                member: ServerId(4),
            },
        ),
    ] {
        let command = VolumeCommand::Change {
            volume: VolumeId(1),
            expected: Epoch(expected),
            change,
            copies_min: 2,
        };
        let done = names.run(RootCommand::Volume(command));
        let is_done = matches!(done, Ok(RootAnswer::Volume(VolumeAnswer::Done { .. })));
        assert!(is_done, "{expected}: {done:?}");
    }
    assert_eq!(record(change(&mut names, left())).state, ServerState::Gone);
    assert_eq!(
        record(change(&mut names, leave("d-1"))).state,
        ServerState::Gone
    );
    // No volume names it again: neither one decided before it was gone, nor a later one.
    let by = ServerId(4);
    let named = [
        VolumeCommand::Add {
            first: VolumeId(2),
            volumes: vec![vec![ServerId(5), by, ServerId(6)]],
        },
        VolumeCommand::Change {
            volume: VolumeId(1),
            expected: Epoch(5),
            change: MemberChange::Join { by },
            copies_min: 2,
        },
    ];
    for command in named {
        let refused = names.run(RootCommand::Volume(command));
        assert_eq!(refused, Ok(RootAnswer::Volume(VolumeAnswer::NotAllowed)));
    }
    // Its name and place may be used again, its number may not.
    let next = record(change(&mut names, join("d-1", 7_004)));
    assert_eq!(next.id, ServerId(8));
    assert_eq!(state_of(&names, 4), ServerState::Gone);
}

#[test]
fn a_drain_that_is_stopped_keeps_the_server() {
    let mut names = founded();
    let server = ServerId(4);
    order(&mut names, MaintenanceOrder::Drain { server });
    let leaving = record(change(&mut names, leave("d-1")));
    order(&mut names, MaintenanceOrder::StopDrain { server });
    assert_eq!(state_of(&names, 4), ServerState::Member);
    let left = ServersCommand::Left {
        server,
        change: leaving.change,
    };
    assert!(matches!(
        change(&mut names, left),
        Err(Refusal::Busy { .. })
    ));
    order(&mut names, MaintenanceOrder::StopDrain { server });
    assert_eq!(names.view.servers().version, 3);
}

#[test]
fn one_that_never_arrived_just_goes() {
    let mut names = founded();
    record(change(&mut names, join("d-5", 8_000)));
    assert_eq!(
        record(change(&mut names, leave("d-5"))).state,
        ServerState::Gone
    );
    let nobody = change(&mut names, leave("d-6"));
    assert!(
        matches!(nobody, Err(Refusal::NoSuchServer { .. })),
        "{nobody:?}"
    );
    let mserver = change(&mut names, leave("m-1"));
    assert!(
        matches!(mserver, Err(Refusal::ServerState { .. })),
        "{mserver:?}"
    );
}

#[test]
fn the_list_is_read_back() {
    let mut names = founded();
    record(change(&mut names, join("d-5", 8_000)));
    let list = names.view.servers();
    let mut names = names.reopened();
    assert_eq!(names.view.servers(), list);
    assert_eq!(record(change(&mut names, join("d-6", 8_001))).change, 3);
}

#[test]
fn a_lost_mserver_joins_when_it_is_forgotten() {
    let mut names = founded();
    let replace = |name: &str| ServersCommand::Replace { name: name.into() };
    let lost = record(change(&mut names, replace("m-2")));
    assert_eq!(lost.state, ServerState::Lost);
    assert_eq!(record(change(&mut names, replace("m-2"))), lost);
    let (server, at) = (lost.id, lost.change);
    let early = ServersCommand::Arrived { server, change: at };
    assert_eq!(record(change(&mut names, early)), lost);
    let stale = ServersCommand::Forgotten {
        server,
        change: at - 1,
    };
    assert!(matches!(
        change(&mut names, stale),
        Err(Refusal::Busy { .. })
    ));
    let joining = record(change(
        &mut names,
        ServersCommand::Forgotten { server, change: at },
    ));
    assert_eq!((joining.id, joining.state), (server, ServerState::Joining));
    // Lost once more before it was there, it is forgotten once more.
    let lost = record(change(&mut names, replace("m-2")));
    assert_eq!((lost.state, lost.change), (ServerState::Lost, at + 2));
    // No dserver, nobody unknown, and not the last mserver that still has what all had.
    for name in ["d-1", "m-9", "m-1"] {
        assert!(change(&mut names, replace(name)).is_err(), "{name}");
    }
}
