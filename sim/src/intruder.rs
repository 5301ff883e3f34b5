//! A client with a ticket that asks dservers for what it has no grant for, and writes late: for an
//! epoch that is over.

use std::net::IpAddr;

use bytes::Bytes;
use sdfs_client::{Client, Config};
use sdfs_log::crc32c;
use sdfs_server_group::{
    ClientCredentials, Deadline, Link, Payload, Role, UserKey, connect_client,
};
use sdfs_types::calls::Call;
use sdfs_types::calls::blocks::{BlockStored, Durability, ReadBlock, WriteBlock};
use sdfs_types::{
    BlockDescriptor, BlockIndex, BlockVersion, Epoch, OpenFile, Refusal, ServerId, Volume, wire,
};

use crate::network::Network;
use crate::stream::SimTransport;

/// How long a server may take to answer.
const ANSWER_MS: u64 = 5_000;

/// What was asked for without a right to it or too late, and whether it was refused for that.
#[derive(Clone, Debug)]
pub(crate) struct Intrusion {
    /// What was asked of whom.
    pub(crate) what: String,
    /// Whether the refusal named what was wrong with it.
    pub(crate) was_refused: bool,
}

/// A link to a dserver.
struct Target {
    server: ServerId,
    name: String,
    link: Link,
}

/// Tries the first block of the first file that has one, at every dserver.
pub(crate) async fn intrude(
    (network, host): (&Network, IpAddr),
    config: &Config,
    (client, names): (&Client, &[String]),
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
            let late = client.open_for_write(name).await.ok();
            for target in targets((network, host), config).await {
                tried.extend(try_reads(&target, &open).await);
                tried.extend(try_write(&target, &open).await);
                if let Some(file) = &late {
                    tried.extend(try_late(&target, &file.record()).await);
                }
            }
            return tried;
        }
    }
    tried
}

/// Links to all dservers that take the ticket of some mserver.
async fn targets((network, host): (&Network, IpAddr), config: &Config) -> Vec<Target> {
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
        links.extend(linked.ok().map(|linked| Target {
            server: server.id,
            name: server.name.to_string(),
            link: linked.link,
        }));
    }
    links
}

async fn try_reads(target: &Target, open: &OpenFile) -> Vec<Intrusion> {
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
        let what = format!("a read at {} {how}", target.name);
        let asked = ask(&target.link, &call, Bytes::new()).await;
        tried.extend(asked.map(|answer| Intrusion {
            what,
            was_refused: matches!(answer, Err(Refusal::NotGranted)),
        }));
    }
    tried
}

/// A write under the grant of a reader.
async fn try_write(target: &Target, open: &OpenFile) -> Option<Intrusion> {
    let volume = first_volume(open)?;
    let answer = write(target, (open, volume), volume.epoch).await?;
    Some(Intrusion {
        what: format!("a write at {} with a reader's grant", target.name),
        was_refused: matches!(answer, Err(Refusal::NotGranted)),
    })
}

/// A write under the grant of a writer, to a member of the volume, for the epoch before the present
/// one: it has been on its way for long.
async fn try_late(target: &Target, open: &OpenFile) -> Option<Intrusion> {
    let volume = first_volume(open)?;
    let epoch = Epoch(volume.epoch.0.checked_sub(1)?);
    volume.readable().find(|member| *member == target.server)?;
    let answer = write(target, (open, volume), epoch).await?;
    Some(Intrusion {
        what: format!(
            "a write at {} for epoch {epoch}, which is over",
            target.name
        ),
        was_refused: matches!(answer, Err(Refusal::StaleEpoch { .. })),
    })
}

/// The volume of a file's first block.
fn first_volume(open: &OpenFile) -> Option<&Volume> {
    let entry = open.blocks.entries.first()?;
    open.volumes.iter().find(|v| v.id == entry.volume)
}

async fn write(
    target: &Target,
    (open, volume): (&OpenFile, &Volume),
    epoch: Epoch,
) -> Option<Result<BlockStored, Refusal>> {
    let payload = Bytes::from_static(b"not allowed");
    let call = WriteBlock {
        volume: volume.id,
        epoch,
        block: BlockDescriptor {
            file: open.file.descriptor,
            block: BlockIndex(u16::MAX),
            version: BlockVersion(1),
        },
        crc32c: crc32c(&payload),
        durability: Durability::Synced,
        grant: Some(open.grant),
    };
    ask(&target.link, &call, payload).await
}

/// `None` when the server did not answer.
async fn ask<C: Call>(link: &Link, call: &C, payload: Bytes) -> Option<Result<C::Reply, Refusal>> {
    let head = wire::encode(call);
    let deadline = Deadline::after_ms(ANSWER_MS);
    let reply = link.call(C::KIND.to_wire(), head, Payload::from(payload), deadline);
    wire::decode_answer::<C::Reply>(&reply.await.ok()?.head).ok()
}
