//! openraft's own tests of log storage and state machine.

use crate::applier::Applier;
use crate::group_store::GroupStores;
use crate::ids::GroupId;
use crate::log_storage::GroupStorage;
use crate::raft_log::RaftLog;
use crate::tests::cluster::Register;
use crate::types::Types;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use sdfs_log::RealDisk;
use sdfs_store::Store;
use std::sync::Arc;
use tempfile::TempDir;

struct Builder {
    is_memory: bool,
}

impl StoreBuilder<Types, GroupStorage, Applier, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, GroupStorage, Applier), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let group = GroupId(3);
        let disk = Arc::new(RealDisk);
        let (log, owner) = RaftLog::open(
            disk,
            &dir.path().join("log"),
            [group].into_iter(),
            crate::limits::SEGMENT_BYTES,
        )
        .unwrap();
        assert_eq!(owner, None);
        let store = if self.is_memory {
            Store::memory()
        } else {
            Store::open(&dir.path().join("store")).unwrap()
        };
        let stores = GroupStores::open(store).unwrap();
        let applier = Applier::open(
            group,
            stores,
            Box::new(Register),
            crate::ending::Ending::not_yet(),
        )
        .unwrap();
        Ok((dir, GroupStorage::new(log, group), applier))
    }
}

#[test]
fn storage_in_memory_passes_openrafts_suite() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(Suite::test_all(Builder { is_memory: true }))
        .unwrap();
}

#[test]
fn storage_on_disk_passes_openrafts_suite() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(Suite::test_all(Builder { is_memory: false }))
        .unwrap();
}
