//! `stat`: what is known of a name.

use sdfs_client::{CallOptions, FileStat, Freshness};
use sdfs_types::{Digest, EntryKind, FilePath};
use serde_json::{Value, json};

use super::quota;
use crate::args::{Global, StatArgs};
use crate::failure::Outcome;
use crate::output::Output;
use crate::session;
use crate::table::Table;
use crate::units;

/// Shows what is known of the name.
pub(crate) async fn run(global: &Global, args: &StatArgs, out: Output) -> Outcome {
    let path = session::path(&args.path)?;
    let freshness = if args.local {
        Freshness::Local
    } else {
        Freshness::Linearizable
    };
    let (client, config) = session::cluster(global).await?;
    let client = client.with(CallOptions {
        freshness,
        ..CallOptions::default()
    });
    let stat = client.stat(path.as_str()).await?;
    let name_of = |id| match config.server(id) {
        Some(server) => server.name.to_string(),
        None => format!("server {id}"),
    };
    let main = stat.name.locate.as_ref().map(|locate| name_of(locate.main));
    let slaves = stat
        .name
        .locate
        .iter()
        .flat_map(|locate| locate.slaves.iter().copied());
    let slaves: Vec<_> = slaves.map(name_of).collect();
    out.json(&json_of(&path, &stat, main.as_deref(), &slaves));
    table(&path, &stat, main, &slaves).print(out, 0);
    Ok(())
}

fn table(path: &FilePath, stat: &FileStat, main: Option<String>, slaves: &[String]) -> Table {
    let mut table = Table::new(&["", ""]);
    let name = &stat.name;
    table.row(["path", path.as_str()]);
    table.row([
        "kind",
        if name.kind == EntryKind::File {
            "file"
        } else {
            "directory"
        },
    ]);
    table.row(["descriptor".to_owned(), name.descriptor.to_string()]);
    table.row(["owner", &*name.owner]);
    table.row([
        "created".to_owned(),
        format!("{} UTC", units::moment(name.created_ms)),
    ]);
    if let Some(file) = &stat.file {
        table.row([
            "changed".to_owned(),
            format!("{} UTC", units::moment(file.modified_ms)),
        ]);
        let size = format!(
            "{} ({} bytes)",
            units::size(file.size_bytes),
            units::count(file.size_bytes)
        );
        table.row(["size".to_owned(), size]);
        let blocks = file.block_size.blocks_in(file.size_bytes);
        let blocks = format!(
            "{} of {}",
            units::count(blocks),
            units::size(file.block_size.bytes())
        );
        table.row(["blocks".to_owned(), blocks]);
        if let Some(Digest::Blake3(digest)) = &file.digest {
            table.row(["blake3".to_owned(), hex(digest)]);
        }
        for (key, value) in &file.attributes {
            table.row([format!("attribute {key}"), value.clone()]);
        }
    }
    if let Some(main) = main {
        table.row(["main".to_owned(), main]);
        table.row(["slaves".to_owned(), slaves.join(", ")]);
    }
    if let Some(quota) = &stat.quota {
        table.row(["quota".to_owned(), quota::sentence(quota)]);
    }
    table
}

fn json_of(path: &FilePath, stat: &FileStat, main: Option<&str>, slaves: &[String]) -> Value {
    let file = stat.file.as_ref();
    let digest = file
        .and_then(|file| file.digest)
        .map(|Digest::Blake3(digest)| hex(&digest));
    json!({
        "path": path,
        "kind": stat.name.kind,
        "descriptor": stat.name.descriptor.to_string(),
        "owner": stat.name.owner,
        "created_ms": stat.name.created_ms,
        "modified_ms": file.map(|file| file.modified_ms),
        "size_bytes": file.map(|file| file.size_bytes),
        "block_bytes": file.map(|file| file.block_size.bytes()),
        "revision": file.map(|file| file.revision),
        "attributes": file.map(|file| &file.attributes),
        "blake3": digest,
        "main": main,
        "slaves": slaves,
        "quota": stat.quota,
    })
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
