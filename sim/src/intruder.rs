//! A client with a ticket that asks dservers for what it has no grant for.

use std::net::IpAddr;

use bytes::Bytes;
use sdfs_client::{Client, Config};
use sdfs_log::crc32c;
use sdfs_server_group::{
    ClientCredentials, Deadline, Link, Payload, Role, UserKey, connect_client,
};
use sdfs_types::calls::Call;
use sdfs_types::calls::blocks::{Durability, ReadBlock, WriteBlock};
use sdfs_types::{BlockDescriptor, BlockIndex, BlockVersion, Grant, OpenFile, Refusal, wire};

use crate::network::Network;
use crate::stream::SimTransport;

/// How long a server may take to answer.
const ANSWER_MS: u64 = 5_000;

/// What was asked for without a right to it, and whether it was refused for that.
#[derive(Clone, Debug)]
pub(crate) struct Intrusion {
    /// What was asked of whom.
    pub(crate) what: String,
    /// Whether the refusal was that of a missing grant.
    pub(crate) was_refused: bool,
}

/// Tries the first block of the first file that has one, at every dserver.
pub(crate) async fn intrude(
    (network, host): (&Network, IpAddr),
    config: &Config,
    (client, names): (&Client, &[&str]),
) -> Vec<Intrusion> {
    let mut tried = Vec::new();
    for name in names {
        let Ok(file) = client.open(name).await else {
            continue;
        };
        let open = file.record();
        if open
            .blocks
            .entries
            .first()
            .is_some_and(|e| e.length_bytes > 0)
        {
            for (server, link) in links((network, host), config).await {
                tried.extend(try_reads(&link, &server, &open).await);
                tried.extend(try_write(&link, &server, &open).await);
            }
            return tried;
        }
    }
    tried
}

/// Links to all dservers that take the ticket of some mserver.
async fn links((network, host): (&Network, IpAddr), config: &Config) -> Vec<(String, Link)> {
    let network = network.clone();
    let transport = SimTransport { network, host };
    let deadline = || Deadline::after_ms(ANSWER_MS);
    let user = ClientCredentials::User {
        name: config.admin.name.as_str().into(),
        key: UserKey::of_secret("the secret of its administrator"),
    };
    let mut ticket = None;
    for server in config.servers.iter().filter(|s| s.role == Role::Mserver) {
        let linked = connect_client(&transport, server.address, &user, deadline()).await;
        ticket = ticket.or(linked.ok().and_then(|linked| linked.ticket));
    }
    let mut links = Vec::new();
    let Some(ticket) = ticket.map(ClientCredentials::Ticket) else {
        return links;
    };
    for server in config.servers.iter().filter(|s| s.role == Role::Dserver) {
        let linked = connect_client(&transport, server.address, &ticket, deadline()).await;
        links.extend(
            linked
                .map(|linked| (server.name.to_string(), linked.link))
                .ok(),
        );
    }
    links
}

async fn try_reads(link: &Link, server: &str, open: &OpenFile) -> Vec<Intrusion> {
    let mut forged = open.grant;
    forged.expires_ms += 1;
    let mut tried = Vec::new();
    for (how, grant) in [
        ("without a grant", None),
        ("with a forged grant", Some(forged)),
    ] {
        let call = ReadBlock {
            volume: open.blocks.entries[0].volume,
            block: BlockDescriptor {
                file: open.file.descriptor,
                block: BlockIndex(0),
                version: open.blocks.entries[0].version,
            },
            offset_bytes: 0,
            length_bytes: u32::MAX,
            grant,
        };
        let what = format!("a read at {server} {how}");
        tried.extend(ask(link, (&call, Bytes::new()), what).await);
    }
    tried
}

/// A write under the grant of a reader.
async fn try_write(link: &Link, server: &str, open: &OpenFile) -> Option<Intrusion> {
    let grant: Grant = open.grant;
    let entry = &open.blocks.entries[0];
    let volume = open.volumes.iter().find(|v| v.id == entry.volume)?;
    let payload = Bytes::from_static(b"not allowed");
    let call = WriteBlock {
        volume: volume.id,
        epoch: volume.epoch,
        block: BlockDescriptor {
            file: open.file.descriptor,
            block: BlockIndex(u16::MAX),
            version: BlockVersion(1),
        },
        crc32c: crc32c(&payload),
        durability: Durability::Synced,
        grant: Some(grant),
    };
    let what = format!("a write at {server} with a reader's grant");
    ask(link, (&call, payload), what).await
}

/// `None` when the server did not answer.
async fn ask<C: Call>(
    link: &Link,
    (call, payload): (&C, Bytes),
    what: String,
) -> Option<Intrusion> {
    let head = wire::encode(call);
    let deadline = Deadline::after_ms(ANSWER_MS);
    let reply = link.call(C::KIND.to_wire(), head, Payload::from(payload), deadline);
    let answer = wire::decode_answer::<C::Reply>(&reply.await.ok()?.head).ok()?;
    Some(Intrusion {
        what,
        was_refused: matches!(answer, Err(Refusal::NotGranted)),
    })
}
