//! Names, records and blocks, asked for on behalf of the user: what he may not read is refused.

use sdfs_types::calls::names::{DirectoryEntry, FileStat, Freshness, GetFile, ListDirectory, Stat};
use sdfs_types::{EntryKind, FilePath, OpenFile, Volume};
use serde_json::{Value, json};

use super::Console;
use super::reply::Reply;
use crate::ask::{AskFault, on_behalf};
use crate::limits::NAMES_SHOWN_MAX;

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

pub(super) async fn open(
    console: &Console,
    user: &str,
    path: FilePath,
) -> Result<OpenFile, AskFault> {
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
            copies.map(|id| status.name_of(id)).collect::<Vec<_>>()
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
