//! Commands of a form this program does not read: whoever skipped one would go on with another
//! state than those who can.

use bytes::Bytes;
use sdfs_mserver::meta::MetaMachine;
use sdfs_mserver::root::{RootMachine, Users};
use sdfs_raft::{ApplyError, StateMachine};

use crate::driver::Driver;

/// A batch of one command, of a variant nobody has.
const UNKNOWN: &[u8] = &[1, 1, 250, 1];

fn is_not_understood(mut driver: Driver<impl StateMachine>, command: &[u8]) -> bool {
    let before = driver.contents();
    let mut batch = driver.keyspace.batch();
    let applied = driver.machine.apply(1, command, &mut batch);
    drop(batch);
    assert_eq!(driver.contents(), before);
    matches!(applied, Err(ApplyError::NotUnderstood(_)))
}

#[test]
fn no_machine_skips_what_it_cannot_read() {
    let leftover = [&sdfs_types::wire::encode(&Vec::<u8>::new())[..], &[0]].concat();
    let unread: [Bytes; 3] = [
        Bytes::from_static(UNKNOWN),
        Bytes::new(),
        Bytes::from(leftover),
    ];
    for command in unread {
        let root = Driver::new(RootMachine::new(Users::default()).0);
        assert!(is_not_understood(root, &command), "{command:?}");
        let meta = Driver::new(MetaMachine::new().0);
        assert!(is_not_understood(meta, &command), "{command:?}");
    }
}
