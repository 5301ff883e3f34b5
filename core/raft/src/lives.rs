//! Which life of each server this one knows: kept in the store, told to servers that come to be.
//!
//! A server whose log was lost comes back with another life. As soon as a majority knew the first
//! one, some server of every majority does, and says so before the second can vote.

use crate::group_store::GroupStores;
use crate::record::Life;
use crate::snapshot::persist;
use bytes::Bytes;
use sdfs_server_group::ServerId;
use std::io;

/// Notes the life of `server` durably unless another is known; whether it is the known one.
pub(crate) async fn note(stores: &GroupStores, server: ServerId, life: Life) -> io::Result<bool> {
    let key = key_of(server);
    let known = stores.own().get(&key).map_err(io::Error::other)?;
    if let Some(known) = known {
        return Ok(known == life.0.as_slice());
    }
    let mut batch = stores.own().batch();
    batch.put(key, Bytes::copy_from_slice(&life.0));
    batch.commit().map_err(io::Error::other)?;
    persist(stores.store()).await?;
    Ok(true)
}

/// Forgets the life of a server that was removed for good.
pub(crate) async fn forget(stores: &GroupStores, server: ServerId) -> io::Result<()> {
    let mut batch = stores.own().batch();
    batch.delete(key_of(server));
    batch.commit().map_err(io::Error::other)?;
    persist(stores.store()).await
}

/// The life the store knows of `server`.
pub(crate) fn known(stores: &GroupStores, server: ServerId) -> io::Result<Option<Life>> {
    let known = stores
        .own()
        .get(&key_of(server))
        .map_err(io::Error::other)?;
    Ok(known
        .and_then(|bytes| <[u8; 16]>::try_from(bytes.as_ref()).ok())
        .map(Life))
}

fn key_of(server: ServerId) -> Vec<u8> {
    format!("life/{server}").into_bytes()
}
