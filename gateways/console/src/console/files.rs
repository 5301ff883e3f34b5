//! Names, records and blocks, asked for on behalf of the user: what he may not read is refused.

use sdfs_types::calls::names::{DirectoryEntry, FileStat, Freshness, GetFile, ListDirectory, Stat};
use sdfs_types::{EntryKind, FilePath, OpenFile, ServerId, Volume};
use serde_json::{Value, json};

use super::Console;
use super::reply::Reply;
use crate::ask::{AskFault, on_behalf};
use crate::limits::NAMES_SHOWN_MAX;
use crate::ready::name_of;

pub(super) async fn list(
    console: &Console,
    user: &str,
    path: FilePath,
    after: Option<String>,
) -> Reply {
    let asked = ListDirectory {
        path,
        after: after.map(Into::into),
        limit: u32::try_from(NAMES_SHOWN_MAX).unwrap_or(u32::MAX),
        freshness: Freshness::Linearizable,
    };
    let page = match on_behalf(console.server.mesh(), user, &asked).await {
        Ok(page) => page,
        Err(fault) => return Reply::unanswered(&fault),
    };
    let row = |entry: &DirectoryEntry| {
        [
            json!(&*entry.name),
            kind(entry.kind),
            json!(entry.size_bytes),
            json!(entry.descriptor.to_string()),
            json!(entry.created_ms),
        ]
    };
    let mut rows: Vec<_> = page.entries.iter().map(row).collect();
    if page.more {
        let more = json!("(more: `files PATH after NAME`)");
        rows.push([more, Value::Null, Value::Null, Value::Null, Value::Null]);
    }
    Reply::rows(["name", "kind", "size_bytes", "id", "created_ms"], rows)
}

fn kind(kind: EntryKind) -> Value {
    json!(match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
    })
}

pub(super) async fn stat(console: &Console, user: &str, path: FilePath) -> Reply {
    let asked = Stat {
        path,
        freshness: Freshness::Linearizable,
    };
    match on_behalf(console.server.mesh(), user, &asked).await {
        Ok(stat) => Reply::Fields(stat_fields(&stat)),
        Err(fault) => Reply::unanswered(&fault),
    }
}

fn stat_fields(FileStat { name, file, quota }: &FileStat) -> Vec<(&'static str, Value)> {
    let mut fields = vec![
        ("name", json!(&*name.name)),
        ("kind", kind(name.kind)),
        ("id", json!(name.descriptor.to_string())),
        ("owner", json!(&*name.owner)),
        ("created_ms", json!(name.created_ms)),
    ];
    if let Some(file) = file {
        fields.push(("size_bytes", json!(file.size_bytes)));
        fields.push(("block_bytes", json!(file.block_size.bytes())));
        fields.push(("modified_ms", json!(file.modified_ms)));
        fields.push(("revision", json!(file.revision)));
        fields.push(("attributes", json!(file.attributes)));
    }
    if let Some(quota) = quota {
        fields.push(("files_used", json!(quota.files_used)));
        fields.push(("files_max", json!(quota.files_max)));
        fields.push(("bytes_used", json!(quota.bytes_used)));
        fields.push(("bytes_max", json!(quota.bytes_max)));
    }
    fields
}

async fn open(console: &Console, user: &str, path: FilePath) -> Result<OpenFile, AskFault> {
    let asked = GetFile {
        path,
        write: false,
        freshness: Freshness::Linearizable,
    };
    on_behalf(console.server.mesh(), user, &asked).await
}

pub(super) async fn blocks(console: &Console, user: &str, path: FilePath) -> Reply {
    let open = match open(console, user, path).await {
        Ok(open) => open,
        Err(fault) => return Reply::unanswered(&fault),
    };
    let status = console.server.status();
    let entries = (open.blocks.first..).zip(&open.blocks.entries);
    let row = |(index, entry): (u32, &sdfs_types::BlockEntry)| {
        let volume = open.volumes.iter().find(|one| one.id == entry.volume);
        let copies = |volume: &Volume| {
            let copies = volume.readable();
            copies.map(|id| name_of(&status, id)).collect::<Vec<_>>()
        };
        let is_hole = entry.is_hole();
        [
            json!(index),
            json!(entry.version.0),
            json!(entry.length_bytes),
            json!((!is_hole).then_some(entry.volume.0)),
            json!((!is_hole).then(|| format!("{:08x}", entry.crc32c))),
            json!(volume.filter(|_| !is_hole).map(copies)),
        ]
    };
    let rows: Vec<_> = entries.take(NAMES_SHOWN_MAX).map(row).collect();
    Reply::rows(
        ["block", "version", "bytes", "volume", "crc32c", "copies"],
        rows,
    )
}

/// Who decided a name, who keeps its record and its bytes, and which of them are heard now.
pub(super) async fn explain(console: &Console, user: &str, path: FilePath) -> Reply {
    let open = match open(console, user, path).await {
        Ok(open) => open,
        Err(fault) => return Reply::unanswered(&fault),
    };
    let status = console.server.status();
    let mesh = console.server.mesh();
    let named = |id: ServerId| match mesh.is_up(id) {
        true => name_of(&status, id),
        false => format!("{} (not heard)", name_of(&status, id)),
    };
    let leader_of = |group: u8| {
        let groups = status.groups.iter();
        let group = groups.into_iter().find(|one| one.group == group)?;
        group.leader.map(named)
    };
    let mut fields = vec![
        ("id", json!(open.name.descriptor.to_string())),
        ("size_bytes", json!(open.file.size_bytes)),
        ("request", json!(format!("{:?}", open.name.request))),
        ("root_leader", json!(leader_of(0))),
    ];
    if let Some(locate) = &open.name.locate {
        let slaves: Vec<_> = locate.slaves.iter().map(|id| named(*id)).collect();
        fields.push(("meta_group", json!(locate.group.0)));
        fields.push(("main", json!(named(locate.main))));
        fields.push(("slaves", json!(slaves)));
        // Known to members of the group.
        fields.push(("meta_leader", json!(leader_of(locate.group.0))));
    }
    let volumes = open.volumes.iter().map(|volume| {
        let copies: Vec<_> = volume.readable().map(named).collect();
        format!("{}: {}", volume.id, copies.join(" "))
    });
    fields.push(("volumes", json!(volumes.collect::<Vec<_>>())));
    fields.push(("blocks", json!(open.blocks.entries.len())));
    Reply::Fields(fields)
}
