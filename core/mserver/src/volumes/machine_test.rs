//! What the volume table allows, keeps and shows.

use sdfs_store::{Keyspace, Store};
use sdfs_types::calls::maintenance::MaintenanceOrder;
use sdfs_types::{Epoch, ServerId, Volume, VolumeId, VolumeStatus};

use super::command::{MaintenanceCommand, MemberChange, VolumeAnswer, VolumeCommand};
use super::machine::{VolumeTable, VolumeWatch};

struct Scene {
    table: VolumeTable,
    watch: VolumeWatch,
    keyspace: Keyspace,
}

fn id(number: u16) -> ServerId {
    ServerId(number)
}

/// One volume with members 1, 2 and 3.
fn scene() -> Scene {
    let (table, watch) = VolumeTable::new();
    let keyspace = Store::memory().keyspace("root").unwrap();
    let mut scene = Scene {
        table,
        watch,
        keyspace,
    };
    let volumes = vec![[1, 2, 3].map(id).to_vec()];
    scene.apply(&VolumeCommand::Add {
        first: VolumeId(1),
        volumes,
    });
    scene
}

impl Scene {
    fn apply(&mut self, command: &VolumeCommand) -> VolumeAnswer {
        let mut batch = self.keyspace.batch();
        let answer = self.table.apply(command, &mut batch).unwrap();
        batch.commit().unwrap();
        answer
    }

    fn change(&mut self, change: MemberChange) -> VolumeAnswer {
        let expected = self.volume().epoch;
        let (volume, copies_min) = (VolumeId(1), 2);
        self.apply(&VolumeCommand::Change {
            volume,
            expected,
            change,
            copies_min,
        })
    }

    fn volume(&self) -> &Volume {
        &self.table.map().volumes[&VolumeId(1)]
    }
}

fn is_done(answer: VolumeAnswer) -> bool {
    matches!(answer, VolumeAnswer::Done { .. })
}

#[test]
fn a_command_applies_once() {
    let mut scene = scene();
    let add = VolumeCommand::Add {
        first: VolumeId(1),
        volumes: vec![vec![id(1)]],
    };
    assert_eq!(scene.apply(&add), VolumeAnswer::Stale);
    let members = [1, 2, 3].map(id).to_vec();
    let found = VolumeCommand::Change {
        volume: VolumeId(1),
        expected: Epoch(1),
        change: MemberChange::Found { members },
        copies_min: 2,
    };
    assert!(is_done(scene.apply(&found)));
    let before = scene.volume().clone();
    assert_eq!(scene.apply(&found), VolumeAnswer::Stale);
    assert_eq!(scene.volume(), &before);
}

#[test]
fn a_member_twice_is_refused() {
    let mut scene = scene();
    let volumes = vec![vec![id(1), id(1)]];
    let add = VolumeCommand::Add {
        first: VolumeId(2),
        volumes,
    };
    assert_eq!(scene.apply(&add), VolumeAnswer::NotAllowed);
    assert_eq!(scene.table.map().volumes.len(), 1);
}

#[test]
fn the_table_of_changes_holds() {
    use MemberChange::{Admit, Fence, Found, Join, Leave, Lose, Replace, Sync};
    let [one, two, three, four] = [1, 2, 3, 4].map(id);
    let table = [
        (Sync { member: one }, false, VolumeStatus::ReadOnly),
        (Fence { member: one }, false, VolumeStatus::ReadOnly),
        (Found { members: vec![] }, false, VolumeStatus::ReadOnly),
        (
            Found {
                members: vec![one, two, three],
            },
            true,
            VolumeStatus::Writable,
        ),
        (Found { members: vec![one] }, false, VolumeStatus::Writable),
        (Admit { member: one }, false, VolumeStatus::Writable),
        (Sync { member: one }, false, VolumeStatus::Writable),
        (Fence { member: four }, false, VolumeStatus::Writable),
        (Fence { member: one }, true, VolumeStatus::Degraded),
        (Fence { member: one }, false, VolumeStatus::Degraded),
        (Fence { member: two }, false, VolumeStatus::Degraded),
        (Admit { member: one }, false, VolumeStatus::Degraded),
        (Lose { member: two }, true, VolumeStatus::ReadOnly),
        (Lose { member: three }, false, VolumeStatus::ReadOnly),
        (Sync { member: one }, true, VolumeStatus::ReadOnly),
        (
            Replace {
                member: one,
                by: four,
            },
            false,
            VolumeStatus::ReadOnly,
        ),
        (
            Replace {
                member: two,
                by: three,
            },
            false,
            VolumeStatus::ReadOnly,
        ),
        (
            Replace {
                member: two,
                by: four,
            },
            true,
            VolumeStatus::ReadOnly,
        ),
        (Admit { member: four }, true, VolumeStatus::Degraded),
        (Fence { member: one }, true, VolumeStatus::Degraded),
        (Sync { member: one }, true, VolumeStatus::Degraded),
        (Admit { member: one }, true, VolumeStatus::Writable),
        (Join { by: three }, false, VolumeStatus::Writable),
        (Join { by: two }, true, VolumeStatus::Degraded),
        (Admit { member: two }, true, VolumeStatus::Writable),
        (Leave { member: one }, true, VolumeStatus::Writable),
        (Leave { member: one }, false, VolumeStatus::Writable),
        (Leave { member: two }, true, VolumeStatus::Writable),
        (Leave { member: three }, false, VolumeStatus::Writable),
    ];
    let mut scene = scene();
    for (line, (change, is_allowed, status)) in table.into_iter().enumerate() {
        let before = scene.volume().epoch;
        let answer = scene.change(change.clone());
        assert_eq!(
            is_done(answer),
            is_allowed,
            "line {line}: {change:?}: {answer:?}"
        );
        let epoch = if is_allowed { before.next() } else { before };
        assert_eq!(
            (scene.volume().epoch, scene.volume().status),
            (epoch, status),
            "line {line}"
        );
    }
}

#[test]
fn a_status_is_set_and_lifted() {
    let mut scene = scene();
    scene.change(MemberChange::Found {
        members: [1, 2].map(id).to_vec(),
    });
    let mut set = |status| {
        let (volume, expected, copies_min) = (VolumeId(1), Epoch(2), 2);
        scene.apply(&VolumeCommand::SetStatus {
            volume,
            expected,
            status,
            copies_min,
        });
        (scene.volume().status, scene.volume().epoch)
    };
    assert_eq!(set(VolumeStatus::Full), (VolumeStatus::Full, Epoch(2)));
    assert_eq!(
        set(VolumeStatus::Writable),
        (VolumeStatus::Degraded, Epoch(2))
    );
    assert_eq!(
        set(VolumeStatus::Draining),
        (VolumeStatus::Draining, Epoch(2))
    );
}

#[test]
fn orders_are_read_back() {
    let mut scene = scene();
    let order = VolumeCommand::Maintain(MaintenanceCommand {
        order: MaintenanceOrder::Drain { server: id(4) },
        by: "ann".to_owned(),
        at_ms: 7,
        expected: None,
        up: [1, 2, 3, 4].map(id).to_vec(),
        copies: 3,
    });
    let version = scene.table.map().version;
    assert!(is_done(scene.apply(&order)));
    let (mut again, _watch) = VolumeTable::new();
    let orders = again.follow_orders();
    again.load(&scene.keyspace).unwrap();
    assert_eq!(again.map().version, version, "orders leave the map alone");
    assert_eq!(orders.borrow().draining[&id(4)].by, "ann");
}

#[test]
fn the_map_is_read_back() {
    let mut scene = scene();
    scene.change(MemberChange::Found {
        members: [1, 3].map(id).to_vec(),
    });
    let (mut again, watch) = VolumeTable::new();
    again.load(&scene.keyspace).unwrap();
    assert_eq!(again.map(), scene.table.map());
    assert_eq!(&*watch.borrow(), scene.table.map());
    assert_eq!(again.map().version, 2);
}

#[test]
fn others_see_what_is_committed() {
    let mut scene = scene();
    assert_eq!(scene.watch.borrow().version, 0);
    scene.table.committed();
    assert!(scene.watch.has_changed().unwrap());
    assert_eq!(scene.watch.borrow_and_update().version, 1);
    scene.table.committed();
    assert!(!scene.watch.has_changed().unwrap());
}
