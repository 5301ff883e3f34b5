//! What the crate `fastdfs` can do, checked against a tracker on this machine. The argument is the
//! tracker's port; local files are made in the working directory.

use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use fastdfs::types::{
    FDFS_QUERY_FINFO_FLAGS_NOT_CALC_CRC32, FileInfo, Metadata, MetadataFlag, StorageStatus,
};
use fastdfs::{ClientOptions, FastDFSError, FdfsClient, FileId, StorageClient, TrackerClient};

type Check = Result<(), Box<dyn Error>>;

const GROUP: &str = "group1";
const NOBODY: Option<&str> = None;

#[tokio::main]
async fn main() -> Check {
    let tracker = format!("127.0.0.1:{}", std::env::args().nth(1).ok_or("no port")?);
    let client = ClientOptions::new(vec![&tracker]).build()?;
    let checks = [
        ("list groups", list_groups(&client).await),
        ("list storages", list_storages(&client).await),
        ("delete storage", delete_storage(&client).await),
        ("ask a tracker", ask_a_tracker(&tracker).await),
        ("ask a storage", ask_a_storage(&client, &tracker).await),
        ("upload and download", upload_and_download(&client).await),
        ("streams", streams(&client).await),
        ("local files", local_files(&client).await),
        ("ranges", ranges(&client).await),
        ("metadata", metadata(&client).await),
        ("info", info(&client).await),
        ("append", append(&client).await),
        ("modify", modify(&client).await),
        ("truncate", truncate(&client).await),
        ("regenerate", regenerate(&client).await),
        ("delete", delete(&client).await),
        ("many at once", many_at_once(&client).await),
        ("wrong requests", wrong_requests(&tracker).await),
        ("close", close(&client).await),
    ];
    let mut failed = 0;
    for (what, result) in checks {
        match result {
            Ok(()) => println!("{what} ok"),
            Err(error) => {
                failed += 1;
                println!("{what} FAILED: {error}");
            }
        }
    }
    match failed {
        0 => Ok(()),
        _ => std::process::exit(1),
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Check {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}").into())
}

fn same_bytes(what: &str, found: &[u8], expected: &[u8]) -> Check {
    if found == expected {
        return Ok(());
    }
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    let lengths = (found.len(), expected.len());
    Err(format!("{what}: found and expected {lengths:?} bytes, first other at {at:?}").into())
}

fn not_found<T>(what: &str, result: fastdfs::Result<T>) -> Check {
    match result {
        Err(FastDFSError::FileNotFound(_)) => Ok(()),
        Err(error) => Err(format!("{what}: {error}").into()),
        Ok(_) => Err(format!("{what}: it is there").into()),
    }
}

fn content(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The checksum zlib computes.
fn crc32(content: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in content {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ 0xedb8_8320 * (sum & 1);
        }
    }
    !sum
}

fn map(pairs: &[(&str, &str)]) -> Metadata {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

async fn appender(client: &FdfsClient, content: &[u8]) -> fastdfs::Result<FileId> {
    client.upload_file_buf(content, "log", None, true).await
}

async fn whole(client: &FdfsClient, id: &FileId) -> fastdfs::Result<Vec<u8>> {
    Ok(client.download_file_buf(id, 0, 0).await?.to_vec())
}

async fn list_groups(client: &FdfsClient) -> Check {
    let groups = client.list_groups().await?;
    same("groups", groups.len(), 1)?;
    let group = &groups[0];
    same("name", &*group.group_name, GROUP)?;
    same("storages", group.storage_count, 2)?;
    same("readable", group.readable_server_count, 2)?;
    same("writable", group.writable_server_count, 2)?;
    same("paths", group.store_path_count, 1)?;
    same("folders", group.subdir_count_per_path, 256)?;
    same("trunk file", group.current_trunk_file_id, u32::MAX)?;
    let is_some = 0 < group.free_mb && group.free_mb <= group.total_mb;
    same("room", is_some, true)
}

async fn list_storages(client: &FdfsClient) -> Check {
    let group = &client.list_groups().await?[0];
    let storages = client.list_storages(GROUP, NOBODY).await?;
    same("storages", storages.len(), 2)?;
    for (storage, port) in storages.iter().zip(group.storage_port..) {
        same("status", storage.status(), StorageStatus::Active)?;
        same("mode", storage.rw_mode, 6)?;
        same("address", &*storage.ip_addr, "127.0.0.1")?;
        same("port", storage.storage_port, port)?;
        same("version", storage.version.starts_with("6."), true)?;
        same("folders", storage.subdir_count_per_path, 256)?;
        same("trunk server", storage.if_trunk_server, false)?;
        let beat = storage
            .last_heart_beat_time
            .duration_since(storage.join_time);
        same("it beats", beat.is_ok(), true)?;
        let one = client.list_storages(GROUP, Some(&storage.id)).await?;
        same("by id", one.len(), 1)?;
        same("its id", &one[0].id, &storage.id)?;
    }
    not_found("group2", client.list_storages("group2", NOBODY).await)
}

/// The crate takes an address and sends it as an id, so nobody is meant; and nobody may go.
async fn delete_storage(client: &FdfsClient) -> Check {
    let port = client.list_groups().await?[0].storage_port;
    let deleted = client.delete_storage(GROUP, format!("127.0.0.1:{port}"));
    not_found("an address", deleted.await)?;
    same("left", client.list_storages(GROUP, NOBODY).await?.len(), 2)
}

async fn ask_a_tracker(tracker: &str) -> Check {
    let mut tracker = TrackerClient::connect(tracker).await?;
    same("works", tracker.active_test().await?, true)?;
    let any = tracker.get_store_storage(NOBODY).await?;
    same("path", any.store_path_index, 0)?;
    same(
        "in a group",
        tracker.get_store_storage(Some(GROUP)).await?.ip_addr,
        any.ip_addr,
    )?;
    same("all", tracker.get_store_storages(NOBODY).await?.len(), 2)?;
    same(
        "all in a group",
        tracker.get_store_storages(Some(GROUP)).await?.len(),
        2,
    )?;
    not_found("group2", tracker.get_store_storage(Some("group2")).await)?;
    let id = FileId::new(GROUP, "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin");
    same("to fetch", tracker.get_fetch_storages(&id).await?.len(), 2)?;
    tracker.get_fetch_storage(&id).await?;
    tracker.get_update_storage(&id).await?;
    Ok(tracker.quit().await?)
}

/// Without the pool: many requests on one connection.
async fn ask_a_storage(client: &FdfsClient, tracker: &str) -> Check {
    let mut tracker = TrackerClient::connect(tracker).await?;
    let storage = tracker.get_store_storage(NOBODY).await?;
    let mut storage = StorageClient::connect((&*storage.ip_addr, storage.port)).await?;
    same("works", storage.active_test().await?, true)?;
    let content = content(1, 3_000);
    let id = storage
        .upload_file_buf(&content, "bin", None, false)
        .await?;
    same_bytes(
        "there",
        &storage.download_file_buf(&id, 0, 0).await?,
        &content,
    )?;
    same_bytes("elsewhere", &whole(client, &id).await?, &content)?;
    storage.delete_file(&id).await?;
    not_found("deleted", storage.download_file_buf(&id, 0, 0).await)?;
    same("works still", storage.active_test().await?, true)?;
    Ok(storage.quit().await?)
}

async fn upload_and_download(client: &FdfsClient) -> Check {
    let table = [
        (0, "bin"),
        (1, ""),
        (4_096, "jpg"),
        (70_000, "tar.gz"),
        (5 << 20, "iso"),
    ];
    for (length, extension) in table {
        let content = content(2, length);
        let id = client
            .upload_file_buf(&content, extension, None, false)
            .await?;
        same("group", &*id.group_name, GROUP)?;
        let dot = if extension.is_empty() { "" } else { "." };
        let end = format!("{dot}{extension}");
        same("extension", id.remote_filename.ends_with(&end), true)?;
        same("id", id.to_string().parse::<FileId>()?, id.clone())?;
        same_bytes("content", &whole(client, &id).await?, &content)?;
        client.delete_file(&id).await?;
    }
    Ok(())
}

async fn streams(client: &FdfsClient) -> Check {
    let content = content(3, 300_000);
    let mut source = &content[..];
    let id = client
        .upload_file(&mut source, content.len() as u64, "bin", None, false)
        .await?;
    let mut target = Vec::new();
    let count = client.download_file(&id, &mut target, 0, 0).await?;
    same("count", count, content.len() as u64)?;
    same_bytes("content", &target, &content)
}

async fn local_files(client: &FdfsClient) -> Check {
    let content = content(4, 123_456);
    fs::write("local.dat", &content)?;
    let id = client.upload_file_local("local.dat", None, false).await?;
    same("extension", id.remote_filename.ends_with(".dat"), true)?;
    let count = client.download_file_local(&id, "folder/back.dat").await?;
    same("count", count, content.len() as u64)?;
    same_bytes("content", &fs::read("folder/back.dat")?, &content)
}

async fn ranges(client: &FdfsClient) -> Check {
    for length in [10_000, 5 << 20] {
        let content = content(5, length);
        let id = client.upload_file_buf(&content, "bin", None, false).await?;
        let end = length as u64;
        for (offset, count) in [(0, 1), (9, 900), (end - 1, 0), (end - 10, 99)] {
            let part = client.download_file_buf(&id, offset, count).await?;
            let expected = &content[offset as usize..];
            let expected = match count {
                0 => expected,
                _ => &expected[..expected.len().min(count as usize)],
            };
            same_bytes(&format!("{count} at {offset}"), &part, expected)?;
        }
    }
    Ok(())
}

async fn metadata(client: &FdfsClient) -> Check {
    let first = map(&[("width", "1024"), ("height", "768"), ("title", "ein Bär")]);
    for is_appender in [false, true] {
        let id = client
            .upload_file_buf(b"x", "jpg", Some(&first), is_appender)
            .await?;
        same(
            "with the upload",
            client.get_metadata(&id).await?,
            first.clone(),
        )?;
        let more = map(&[("width", "10"), ("colour", "red")]);
        client.set_metadata(&id, &more, MetadataFlag::Merge).await?;
        let mut merged = first.clone();
        merged.extend(more.clone());
        same("merged", client.get_metadata(&id).await?, merged)?;
        client
            .set_metadata(&id, &more, MetadataFlag::Overwrite)
            .await?;
        same("replaced", client.get_metadata(&id).await?, more)?;
        client
            .set_metadata(&id, &Metadata::new(), MetadataFlag::Overwrite)
            .await?;
        not_found("removed", client.get_metadata(&id).await)?;
        let longest = map(&[(&"n".repeat(64), &"v".repeat(256))]);
        client
            .set_metadata(&id, &longest, MetadataFlag::Overwrite)
            .await?;
        same("longest", client.get_metadata(&id).await?, longest)?;
        client.delete_file(&id).await?;
        not_found("deleted", client.get_metadata(&id).await)?;
    }
    Ok(())
}

async fn info(client: &FdfsClient) -> Check {
    let now = UNIX_EPOCH.elapsed()?;
    for (length, is_appender) in [(5_000, false), (5 << 20, false), (5_000, true)] {
        let content = content(6, length);
        let id = client
            .upload_file_buf(&content, "bin", None, is_appender)
            .await?;
        let info: FileInfo = client.get_file_info(&id).await?;
        same("size", info.file_size, length as u64)?;
        same("checksum", info.crc32, crc32(&content))?;
        same("address", &*info.source_ip_addr, "127.0.0.1")?;
        // Seconds are given out ahead, up to twenty.
        let apart = info.create_time.duration_since(UNIX_EPOCH)?.abs_diff(now);
        same("is new", apart < Duration::from_secs(60), true)?;
        let quick = FDFS_QUERY_FINFO_FLAGS_NOT_CALC_CRC32;
        let quick = client.get_file_info_with_flag(&id, quick).await?;
        same("size again", quick.file_size, length as u64)?;
        same("exists", client.file_exists(&id).await?, true)?;
        client.delete_file(&id).await?;
        same("exists still", client.file_exists(&id).await?, false)?;
        not_found("deleted", client.get_file_info(&id).await)?;
    }
    Ok(())
}

async fn append(client: &FdfsClient) -> Check {
    let pieces = [
        content(7, 1_000),
        content(8, 200_000),
        content(9, 30),
        content(10, 5 << 20),
    ];
    let id = appender(client, &pieces[0]).await?;
    client.append_file_buf(&id, &pieces[1]).await?;
    let mut source = &pieces[2][..];
    client.append_file(&id, &mut source, 30).await?;
    fs::write("append.dat", &pieces[3])?;
    client.append_file_local(&id, "append.dat").await?;
    client.append_file_buf(&id, b"").await?;
    same_bytes("content", &whole(client, &id).await?, &pieces.concat())
}

async fn modify(client: &FdfsClient) -> Check {
    let mut expected = content(11, 10_000);
    let id = appender(client, &expected).await?;
    let pieces = [content(12, 100), content(13, 200), content(14, 5_000)];
    client.modify_file_buf(&id, 50, &pieces[0]).await?;
    let mut source = &pieces[1][..];
    client.modify_file(&id, 9_800, &mut source, 200).await?;
    fs::write("modify.dat", &pieces[2])?;
    client.modify_file_local(&id, 9_000, "modify.dat").await?;
    expected.resize(14_000, 0);
    for (offset, piece) in [50, 9_800, 9_000].into_iter().zip(&pieces) {
        expected[offset..offset + piece.len()].copy_from_slice(piece);
    }
    same_bytes("content", &whole(client, &id).await?, &expected)
}

async fn truncate(client: &FdfsClient) -> Check {
    let mut expected = content(15, 10_000);
    let id = appender(client, &expected).await?;
    for size in [5_000, 5_000, 7_000, 1] {
        client.truncate_file(&id, size).await?;
        expected.resize(size as usize, 0);
        same_bytes("content", &whole(client, &id).await?, &expected)?;
    }
    client.truncate_file0(&id).await?;
    same("size", client.get_file_info(&id).await?.file_size, 0)?;
    client.append_file_buf(&id, b"again").await?;
    same_bytes("content", &whole(client, &id).await?, b"again")
}

async fn regenerate(client: &FdfsClient) -> Check {
    let content = content(16, 20_000);
    let old = appender(client, &content[..1_000]).await?;
    client.append_file_buf(&old, &content[1_000..]).await?;
    let new = client.regenerate_appender_filename(&old).await?;
    same("extension", new.remote_filename.ends_with(".log"), true)?;
    same_bytes("content", &whole(client, &new).await?, &content)?;
    let info = client.get_file_info(&new).await?;
    same(
        "size and checksum",
        (info.file_size, info.crc32),
        (20_000, crc32(&content)),
    )?;
    not_found("the old name", client.download_file_buf(&old, 0, 0).await)?;
    Ok(client.delete_file(&new).await?)
}

async fn delete(client: &FdfsClient) -> Check {
    for (length, is_appender) in [(10, false), (5 << 20, false), (10, true)] {
        let content = content(17, length);
        let id = client
            .upload_file_buf(&content, "bin", None, is_appender)
            .await?;
        client.delete_file(&id).await?;
        not_found("download", client.download_file_buf(&id, 0, 0).await)?;
        not_found("delete", client.delete_file(&id).await)?;
        let meta = map(&[("a", "b")]);
        let set = client.set_metadata(&id, &meta, MetadataFlag::Overwrite);
        not_found("metadata", set.await)?;
        if is_appender {
            not_found("append", client.append_file_buf(&id, b"x").await)?;
            not_found("modify", client.modify_file_buf(&id, 0, b"x").await)?;
            not_found("truncate", client.truncate_file0(&id).await)?;
            not_found("regenerate", client.regenerate_appender_filename(&id).await)?;
        }
    }
    Ok(())
}

async fn many_at_once(client: &FdfsClient) -> Check {
    let one = |seed| {
        let client = client.clone();
        tokio::spawn(async move {
            let content = content(seed, 1_000 * seed as usize);
            let id = client.upload_file_buf(&content, "bin", None, false).await?;
            Ok::<_, FastDFSError>(whole(&client, &id).await? == content)
        })
    };
    let tasks: Vec<_> = (1..=100).map(one).collect();
    for task in tasks {
        same("content", task.await??, true)?;
    }
    Ok(())
}

/// The storage closes the connection after each, and the crate keeps it: a client for each.
async fn wrong_requests(tracker: &str) -> Check {
    let fresh = || ClientOptions::new(vec![tracker]).build();
    let id = fresh()?
        .upload_file_buf(b"12345", "bin", None, false)
        .await?;
    let grows = appender(&fresh()?, b"12345").await?;
    let results = [
        (
            "append to a normal file",
            fresh()?.append_file_buf(&id, b"x").await,
        ),
        (
            "modify behind the end",
            fresh()?.modify_file_buf(&grows, 6, b"x").await,
        ),
        ("truncate a normal file", fresh()?.truncate_file0(&id).await),
        (
            "download behind the end",
            fresh()?.download_file_buf(&id, 5, 1).await.map(drop),
        ),
        (
            "a slash",
            fresh()?
                .upload_file_buf(b"x", "a/b", None, false)
                .await
                .map(drop),
        ),
    ];
    for (what, result) in results {
        match result {
            Err(FastDFSError::InvalidArgument(_)) => {}
            other => return Err(format!("{what}: {other:?}").into()),
        }
    }
    Ok(())
}

async fn close(client: &FdfsClient) -> Check {
    client.close().await;
    match client.list_groups().await {
        Err(FastDFSError::ClientClosed) => Ok(()),
        other => Err(format!("after it: {other:?}").into()),
    }
}
