//! The double of a mserver.

use bytes::Bytes;
use sdfs_server_group::{IncomingCall, ServerId};
use sdfs_types::calls::names::*;
use sdfs_types::calls::servers::{GetServers, ServersTold};
use sdfs_types::calls::status::{PeerStatus, ServerStatus};
use sdfs_types::calls::{Call, CallKind};
use sdfs_types::{
    BlockDescriptor, BlockEntry, EntryKind, FileMetaData, FileMetaMetaData, PutProof, Refusal,
    RequestId, Role, wire,
};

use super::model::{Entry, Model};

type Done<C> = Result<<C as Call>::Reply, Refusal>;

pub fn answer(model: &mut Model, me: ServerId, kind: CallKind, call: &IncomingCall) -> Bytes {
    match kind {
        CallKind::CreateFile => change(model, call, |one: &CreateFile| one.request, create),
        CallKind::BeginPut => ask(model, call, begin),
        CallKind::RenewGrant => ask(model, call, renew),
        CallKind::AbortPut => ask(model, call, abort),
        CallKind::FinishPut => change(model, call, |one: &FinishPut| one.request, finish),
        CallKind::GetFile => ask(model, call, get),
        CallKind::GetBlocks => ask(model, call, get_blocks),
        CallKind::ResizeFile => change(model, call, |one: &ResizeFile| one.request, resize),
        CallKind::CommitBlocks => change(model, call, |one: &CommitBlocks| one.request, commit),
        CallKind::DeleteFile => change(model, call, |one: &DeleteFile| one.request, delete),
        CallKind::Rename => change(model, call, |one: &Rename| one.request, rename),
        CallKind::MakeDirectory => change(model, call, |one: &MakeDirectory| one.request, mkdir),
        CallKind::ListDirectory => ask(model, call, list),
        CallKind::Stat => ask(model, call, stat),
        CallKind::SetAttributes => change(
            model,
            call,
            |one: &SetAttributes| one.request,
            set_attributes,
        ),
        CallKind::SetQuota => change(model, call, |one: &SetQuota| one.request, set_quota),
        CallKind::GetVolumeMap => ask(model, call, |model, one: &GetVolumeMap| {
            Ok((one.known_version != model.map.version).then(|| model.map.clone()))
        }),
        CallKind::PutUser => change(model, call, |one: &PutUser| one.request, put_user),
        CallKind::DeleteUser => change(model, call, |one: &DeleteUser| one.request, delete_user),
        CallKind::ListUsers => ask(model, call, |model, _: &ListUsers| {
            Ok(model.rights.values().cloned().collect())
        }),
        CallKind::GetStatus => status(model, me),
        // It knows of nobody who has joined since the configuration was written.
        CallKind::GetServers => ask(model, call, |model, _: &GetServers| {
            Ok(ServersTold {
                up: model.servers.iter().map(|server| server.0).collect(),
                ..ServersTold::default()
            })
        }),
        _ => wire::encode_answer::<()>(&Err(Refusal::NotServed)),
    }
}

fn ask<C: Call>(
    model: &mut Model,
    call: &IncomingCall,
    answer: impl Fn(&mut Model, &C) -> Done<C>,
) -> Bytes {
    let asked: C = wire::decode(&call.head).unwrap();
    wire::encode_answer(&answer(model, &asked))
}

/// Answers a repeated request with its first outcome.
fn change<C: Call>(
    model: &mut Model,
    call: &IncomingCall,
    request: impl Fn(&C) -> RequestId,
    answer: impl Fn(&mut Model, &C) -> Done<C>,
) -> Bytes {
    let asked: C = wire::decode(&call.head).unwrap();
    if let Some(first) = model.outcomes.get(&request(&asked)) {
        return first.clone();
    }
    let outcome = answer(model, &asked);
    let bytes = wire::encode_answer(&outcome);
    let is_redo = C::KIND == CallKind::FinishPut && !model.begun.contains_key(&request(&asked));
    if outcome.is_ok() && !is_redo {
        model.outcomes.insert(request(&asked), bytes.clone());
    }
    bytes
}

fn create(model: &mut Model, one: &CreateFile) -> Done<CreateFile> {
    model.parent_exists(&one.path)?;
    if let Ok(entry) = model.find(&one.path) {
        let descriptor = entry.name.descriptor;
        return Err(Refusal::Exists {
            path: one.path.clone(),
            descriptor,
        });
    }
    let path = one.path.as_str();
    let entry = model.new_file(path, one.request, one.size_bytes, &one.options);
    let open = model.open(&entry, true);
    model.entries.insert(path.to_owned(), entry);
    Ok(FileCreated {
        open,
        trace: one.explain.then(Default::default),
    })
}

fn begin(model: &mut Model, one: &BeginPut) -> Done<BeginPut> {
    if let Some(first) = model.outcomes.get(&one.request) {
        let finished = wire::decode_answer::<PutFinished>(first).unwrap()?;
        if let PutFinished::Done { name } = finished {
            return Ok(PutBeginning::Finished { name });
        }
    }
    model.parent_exists(&one.path)?;
    match model.find(&one.path) {
        Ok(entry) if entry.name.kind == EntryKind::Directory => {
            return Err(Refusal::IsDirectory {
                path: one.path.clone(),
            });
        }
        Ok(entry) if !one.replace => {
            let descriptor = entry.name.descriptor;
            return Err(Refusal::Exists {
                path: one.path.clone(),
                descriptor,
            });
        }
        _ => {}
    }
    let descriptor = model.next_descriptor();
    model.begun.insert(one.request, descriptor);
    Ok(PutBeginning::Begun(begun(model, one.request, &one.options)))
}

fn renew(model: &mut Model, one: &RenewGrant) -> Done<RenewGrant> {
    let descriptor = one.descriptor;
    if model.begun.get(&one.request) != Some(&descriptor) {
        return Err(Refusal::Gone { descriptor });
    }
    Ok(model.grant(descriptor, true))
}

fn begun(model: &Model, request: RequestId, options: &FileOptions) -> PutBegun {
    let descriptor = model.begun[&request];
    PutBegun {
        descriptor,
        block_size: options.block_size.unwrap_or_default(),
        locate: model.locate(),
        plan: model.plan(),
        grant: model.grant(descriptor, true),
        proof: PutProof([0; 16]),
    }
}

fn finish(model: &mut Model, one: &FinishPut) -> Done<FinishPut> {
    if std::mem::take(&mut model.redo_next) {
        let descriptor = model.next_descriptor();
        model.begun.insert(one.request, descriptor);
        let begun = begun(model, one.request, &one.options);
        // Not an outcome: the same request finishes for good later.
        model.begun.remove(&one.request);
        return Ok(PutFinished::Redo { begun });
    }
    model.begun.insert(one.request, one.descriptor);
    if !model.allows(Some(&one.grant), one.descriptor, true) {
        return Err(Refusal::NotGranted);
    }
    let path = one.path.as_str();
    let mut entry = model.new_file(path, one.request, one.size_bytes, &one.options);
    entry.name.descriptor = one.descriptor;
    entry.name.block_size = one.block_size;
    if let Some(file) = &mut entry.file {
        file.descriptor = one.descriptor;
        file.block_size = one.block_size;
        file.digest = one.digest;
    }
    entry.blocks = one.blocks.clone();
    let name = entry.name.clone();
    model.entries.insert(path.to_owned(), entry);
    Ok(PutFinished::Done { name })
}

fn abort(model: &mut Model, one: &AbortPut) -> Done<AbortPut> {
    let descriptor = one.descriptor;
    if model.outcomes.contains_key(&one.request) {
        let path = one.path.clone();
        return Err(Refusal::Exists { path, descriptor });
    }
    model.begun.remove(&one.request);
    let is_named = |block: &BlockDescriptor| {
        let entry = one.blocks.get(usize::from(block.block.0));
        block.file == descriptor && entry.is_some_and(|entry| entry.version == block.version)
    };
    model.blocks.retain(|(_, _, block), _| !is_named(block));
    Ok(())
}

fn get(model: &mut Model, one: &GetFile) -> Done<GetFile> {
    model.find_file(&one.path)?;
    Ok(model.open(model.find(&one.path)?, one.write))
}

fn get_blocks(model: &mut Model, one: &GetBlocks) -> Done<GetBlocks> {
    if !model.allows(Some(&one.grant), one.descriptor, false) {
        return Err(Refusal::NotGranted);
    }
    let volumes = model.plan();
    let entry = model.by_descriptor(one.descriptor)?;
    let entries: Vec<_> = entry
        .blocks
        .iter()
        .skip(one.first as usize)
        .take(one.count as usize)
        .copied()
        .collect();
    let page = sdfs_types::BlockPage {
        first: one.first,
        entries,
    };
    Ok(BlocksGot {
        file: entry.file.clone().expect("a file"),
        page,
        volumes,
    })
}

fn changed(entry: &mut Entry) -> &mut FileMetaData {
    let file = entry.file.as_mut().expect("a file");
    file.revision += 1;
    file.digest = None;
    file
}

/// Whether the file is at another revision than the one that was seen.
fn unseen(entry: &Entry, seen: Option<u64>) -> Option<Refusal> {
    let revision = entry.file.as_ref().expect("a file").revision;
    let is_other = seen.is_some_and(|seen| seen != revision);
    is_other.then_some(Refusal::Changed { revision })
}

fn resize(model: &mut Model, one: &ResizeFile) -> Done<ResizeFile> {
    let entry = model.find_file(&one.path)?;
    if let Some(refusal) = unseen(entry, one.revision) {
        return Err(refusal);
    }
    let file = entry.file.as_ref().expect("a file");
    let (now, block_bytes) = (file.size_bytes, file.block_size.bytes());
    let is_right = match one.resize {
        Resize::Expand => one.size_bytes >= now,
        Resize::Truncate => one.size_bytes <= now,
    };
    if !is_right {
        return Err(Refusal::OutOfRange {
            what: "the size".to_owned(),
            value: one.size_bytes.to_string(),
            allowed: now.to_string(),
        });
    }
    for (begin, block) in (0..).step_by(block_bytes as usize).zip(&mut entry.blocks) {
        let left = one.size_bytes.saturating_sub(begin).min(block_bytes);
        block.length_bytes = block.length_bytes.min(u32::try_from(left).unwrap());
    }
    let file = changed(entry);
    file.size_bytes = one.size_bytes;
    Ok(file.clone())
}

fn commit(model: &mut Model, one: &CommitBlocks) -> Done<CommitBlocks> {
    if !model.allows(Some(&one.grant), one.descriptor, true) {
        return Err(Refusal::NotGranted);
    }
    let entry = model.by_descriptor(one.descriptor)?;
    if let Some(refusal) = unseen(entry, one.revision) {
        return Err(refusal);
    }
    for change in &one.written {
        let index = usize::from(change.block.0);
        let current = entry.blocks.get(index).copied().unwrap_or_default().version;
        if current != change.previous {
            return Err(Refusal::Conflict {
                block: change.block.0.into(),
                current,
            });
        }
    }
    for change in &one.written {
        let index = usize::from(change.block.0);
        if entry.blocks.len() <= index {
            entry.blocks.resize(index + 1, BlockEntry::default());
        }
        entry.blocks[index] = change.entry;
    }
    let file = changed(entry);
    file.size_bytes = file.size_bytes.max(one.size_bytes_at_least);
    Ok(file.clone())
}

fn delete(model: &mut Model, one: &DeleteFile) -> Done<DeleteFile> {
    let descriptor = model.find(&one.path)?.name.descriptor;
    let below = format!("{}/", one.path);
    let has_more = model.entries.keys().any(|path| path.starts_with(&below));
    if has_more && !one.recursive {
        return Err(Refusal::NotEmpty {
            path: one.path.clone(),
        });
    }
    model
        .entries
        .retain(|path, _| path != one.path.as_str() && !path.starts_with(&below));
    Ok(FileDeleted { descriptor })
}

fn rename(model: &mut Model, one: &Rename) -> Done<Rename> {
    model.find(&one.from)?;
    model.parent_exists(&one.to)?;
    if let Ok(entry) = model.find(&one.to)
        && !one.replace
    {
        let descriptor = entry.name.descriptor;
        return Err(Refusal::Exists {
            path: one.to.clone(),
            descriptor,
        });
    }
    let mut entry = model.entries.remove(one.from.as_str()).expect("found");
    entry.name.name = one.to.as_str().rsplit('/').next().unwrap_or("").into();
    let name: FileMetaMetaData = entry.name.clone();
    model.entries.insert(one.to.as_str().to_owned(), entry);
    Ok(name)
}

fn mkdir(model: &mut Model, one: &MakeDirectory) -> Done<MakeDirectory> {
    let mut path = sdfs_types::FilePath::root();
    let names: Vec<_> = one.path.names().collect();
    for (index, name) in names.iter().enumerate() {
        path = path.join(name)?;
        let is_last = index + 1 == names.len();
        match model.find(&path) {
            Ok(entry) if is_last && !one.parents => {
                let descriptor = entry.name.descriptor;
                return Err(Refusal::Exists { path, descriptor });
            }
            Ok(_) => {}
            Err(missing) if !is_last && !one.parents => return Err(missing),
            Err(_) => {
                let entry = model.entry(path.as_str(), EntryKind::Directory, one.request, 0);
                model.entries.insert(path.as_str().to_owned(), entry);
            }
        }
    }
    Ok(model.find(&path)?.name.clone())
}

fn list(model: &mut Model, one: &ListDirectory) -> Done<ListDirectory> {
    model.find(&one.path)?;
    let mut entries: Vec<_> = model
        .entries
        .iter()
        .filter(|(path, _)| {
            let path = sdfs_types::FilePath::parse(path).unwrap();
            path.split_last()
                .is_some_and(|(parent, _)| parent == one.path)
        })
        .map(|(_, entry)| DirectoryEntry {
            name: entry.name.name.clone(),
            descriptor: entry.name.descriptor,
            kind: entry.name.kind,
            size_bytes: entry.file.as_ref().map_or(0, |file| file.size_bytes),
            created_ms: 1,
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.retain(|entry| one.after.as_ref().is_none_or(|after| entry.name > *after));
    // Small pages, so that tests see many.
    let limit = (one.limit as usize).min(10);
    let more = entries.len() > limit;
    entries.truncate(limit);
    Ok(DirectoryPage { entries, more })
}

fn stat(model: &mut Model, one: &Stat) -> Done<Stat> {
    let entry = model.find(&one.path)?;
    Ok(FileStat {
        name: entry.name.clone(),
        file: entry.file.clone(),
        quota: None,
    })
}

fn set_attributes(model: &mut Model, one: &SetAttributes) -> Done<SetAttributes> {
    let file = changed(model.find_file(&one.path)?);
    file.attributes.extend(one.set.clone());
    for name in &one.remove {
        file.attributes.remove(name);
    }
    Ok(file.clone())
}

fn set_quota(model: &mut Model, one: &SetQuota) -> Done<SetQuota> {
    model.find(&one.path)?;
    let (files_max, bytes_max) = (one.files_max, one.bytes_max);
    Ok(Quota {
        files_max,
        bytes_max,
        ..Quota::default()
    })
}

fn put_user(model: &mut Model, one: &PutUser) -> Done<PutUser> {
    let name = one.name.to_string();
    if let Some(key) = one.key {
        model.users.insert(name.clone(), sdfs_client::UserKey(key));
    }
    let listed = UserListed {
        name: one.name.clone(),
        rights: one.rights.clone(),
    };
    model.rights.insert(name, listed);
    Ok(())
}

fn delete_user(model: &mut Model, one: &DeleteUser) -> Done<DeleteUser> {
    let missing = || Refusal::NoSuchUser {
        name: one.name.to_string(),
    };
    model
        .rights
        .remove(&*one.name)
        .map(drop)
        .ok_or_else(missing)
}

pub fn status(model: &Model, me: ServerId) -> Bytes {
    let peer = |(server, name, role, address): &(ServerId, String, Role, _)| PeerStatus {
        server: *server,
        name: name.clone(),
        role: *role,
        address: format!("{address}"),
        state: "Up".to_owned(),
        rtt_us: None,
        rtt_min_us: None,
        jitter_us: None,
        free_bytes: None,
        established: 1,
    };
    let mut peers: Vec<_> = model.servers.iter().map(peer).collect();
    let own = peers
        .iter()
        .position(|peer| peer.server == me)
        .expect("one of them");
    let own = peers.remove(own);
    wire::encode_answer(&Ok(ServerStatus {
        server: me,
        name: own.name,
        role: own.role,
        address: own.address,
        program: "double".to_owned(),
        up_s: 0,
        peers,
        groups: Vec::new(),
        volumes: Vec::new(),
        spaces: Vec::new(),
        kept: Vec::new(),
        hears_majority: true,
    }))
}
