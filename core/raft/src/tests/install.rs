//! Snapshots that are installed, or were not when the power went.

use crate::applier::Applier;
use crate::group_store::GroupStores;
use crate::snapshot::{Pieces, SnapshotBody, gather};
use crate::tests::cluster::{GROUP, Register};
use crate::types::{Command, Entry, LeaderId, LogId, Payload, RaftSnapshot};
use bytes::Bytes;
use futures::stream;
use openraft::storage::RaftStateMachine;
use openraft::vote::RaftLeaderId;
use sdfs_store::{Keyspace, Store};

fn open(store: &Store) -> Applier {
    let stores = GroupStores::open(store.clone()).unwrap();
    Applier::open(
        GROUP,
        stores,
        Box::new(Register),
        crate::ending::Ending::not_yet(),
    )
    .unwrap()
}

/// Applies `commands` from `first` on.
async fn apply(applier: &mut Applier, first: u64, commands: &[&'static str]) {
    let leader = LeaderId::new(1, 1);
    let entries = (first..).zip(commands).map(|(index, command)| {
        let payload = Payload::Normal(Command(Bytes::from_static(command.as_bytes())));
        let log_id = LogId::new(leader, index);
        Ok((Entry { log_id, payload }, None))
    });
    applier
        .apply(stream::iter(entries.collect::<Vec<_>>()))
        .await
        .unwrap();
}

/// The state of another member, and a keyspace of `applier` into which it was gathered.
async fn gathered(applier: &Applier) -> (RaftSnapshot, Keyspace, u32) {
    let mut other = open(&Store::memory());
    apply(&mut other, 7, &["a=new", "c=new"]).await;
    let snapshot = other.get_current_snapshot().await.unwrap().unwrap();
    let SnapshotBody::Ours(state) = &snapshot.snapshot else {
        unreachable!("it is its own")
    };
    let (keyspace, generation) = applier.stage().next().unwrap();
    let mut pieces = Pieces::of(state);
    loop {
        let (piece, is_last) = pieces.next_piece().unwrap();
        gather(&keyspace, piece).await.unwrap();
        if is_last {
            return (snapshot, keyspace, generation);
        }
    }
}

fn value(applier: &Applier, key: &str) -> Option<Bytes> {
    applier.current().get().get(key.as_bytes()).unwrap()
}

#[tokio::test]
async fn installed_snapshot_survives_power_loss() {
    let store = Store::memory();
    let mut applier = open(&store);
    apply(&mut applier, 1, &["a=old", "b=old"]).await;
    let (snapshot, keyspace, generation) = gathered(&applier).await;
    let body = SnapshotBody::Theirs {
        keyspace,
        generation,
    };
    applier
        .install_snapshot(&snapshot.meta, body)
        .await
        .unwrap();
    for mut found in [open(&store.after_power_loss()), applier] {
        assert_eq!(found.applied_state().await.unwrap().0.unwrap().index, 8);
        assert_eq!(value(&found, "a").unwrap(), "new");
        assert_eq!(value(&found, "b"), None);
        apply(&mut found, 9, &["d=more"]).await;
        assert_eq!(value(&found, "d").unwrap(), "more");
    }
    assert_eq!(store.keyspace_names(), ["group-0-1", "raft"]);
}

#[tokio::test]
async fn snapshot_half_received_leaves_the_state() {
    let store = Store::memory();
    let mut applier = open(&store);
    apply(&mut applier, 1, &["a=old", "b=old"]).await;
    store.persist().unwrap();
    gathered(&applier).await;
    store.persist().unwrap();
    let store = store.after_power_loss();
    let mut found = open(&store);
    assert_eq!(found.applied_state().await.unwrap().0.unwrap().index, 2);
    assert_eq!(value(&found, "a").unwrap(), "old");
    assert_eq!(value(&found, "c"), None);
    assert_eq!(store.keyspace_names(), ["group-0-0", "raft"]);
}
