//! Every call of the file store, its answer, and the records on their own. The first byte of the
//! input says which, the second what of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdfs_fuzz::{Parts, is_kept};
use sdfs_types::calls::{
    Call, activity, anonymous, behalf, blocks, content, inspect, maintenance, names, negotiation,
    servers, status, trace_paths, trash,
};
use sdfs_types::{
    BlockPage, FileMetaData, FileMetaMetaData, Grant, Refusal, ServerList, Trace, User, VolumeMap,
    wire,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const CALLS: &[fn(u8, &[u8])] = &[
    call::<activity::GetActivity>,
    call::<anonymous::LeaseStamps>,
    call::<anonymous::LeaseReads>,
    call::<anonymous::FreeAnonymous>,
    call::<behalf::CheckLogin>,
    call::<blocks::WriteBlock>,
    call::<blocks::WriteCopy>,
    call::<blocks::ReadBlock>,
    call::<blocks::AcceptFiles>,
    call::<blocks::FreeBlocks>,
    call::<blocks::FreeOldBlocks>,
    call::<blocks::PushVolumes>,
    call::<blocks::ListVolume>,
    call::<blocks::SyncVolume>,
    call::<inspect::Inspect>,
    call::<inspect::ListCopies>,
    call::<maintenance::Maintain>,
    call::<maintenance::SetHealRate>,
    call::<names::CreateFile>,
    call::<names::BeginPut>,
    call::<names::RenewGrant>,
    call::<names::FinishPut>,
    call::<names::AbortPut>,
    call::<names::GetFile>,
    call::<names::GetBlocks>,
    call::<names::ResizeFile>,
    call::<names::CommitBlocks>,
    call::<names::DeleteFile>,
    call::<names::Rename>,
    call::<names::MakeDirectory>,
    call::<names::ListDirectory>,
    call::<names::Stat>,
    call::<names::SetAttributes>,
    call::<names::SetQuota>,
    call::<names::GetVolumeMap>,
    call::<names::PutUser>,
    call::<names::DeleteUser>,
    call::<names::Scrub>,
    call::<names::ListUsers>,
    call::<negotiation::CanCreate>,
    call::<negotiation::Release>,
    call::<negotiation::CreateMetaData>,
    call::<negotiation::AtMain>,
    call::<negotiation::ReportTrouble>,
    call::<negotiation::ReportSync>,
    call::<negotiation::MayForget>,
    call::<servers::GetServers>,
    call::<servers::ChangeServers>,
    call::<status::GetStatus>,
    call::<status::BeginScrub>,
    call::<trash::DeleteNow>,
    call::<trash::ListTrash>,
    call::<trash::RestoreTrash>,
    call::<trash::EmptyTrash>,
    call::<trace_paths::TracePaths>,
    call::<content::LinkContent>,
    call::<content::ShareContent>,
    call::<content::GetSharing>,
    call::<content::DigestBlock>,
    call::<negotiation::AreNeeded>,
];

const RECORDS: &[fn(&[u8])] = &[
    record::<behalf::OnBehalf>,
    record::<BlockPage>,
    record::<FileMetaData>,
    record::<FileMetaMetaData>,
    record::<Grant>,
    record::<Refusal>,
    record::<ServerList>,
    record::<Trace>,
    record::<User>,
    record::<VolumeMap>,
];

fuzz_target!(|input: &[u8]| {
    let mut input = Parts(input);
    let (which, what) = (usize::from(input.byte()), input.byte());
    match CALLS.get(which) {
        Some(call) => call(what, input.0),
        None => RECORDS[(which - CALLS.len()) % RECORDS.len()](input.0),
    }
});

fn call<C: Call>(what: u8, bytes: &[u8]) {
    if what & 1 == 0 {
        record::<C>(bytes);
    } else {
        is_kept(bytes, |bytes| {
            let answer = wire::decode_answer::<C::Reply>(bytes).ok()?;
            Some(wire::encode_answer(&answer).into())
        });
    }
}

fn record<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    is_kept(bytes, |bytes| {
        Some(wire::encode(&wire::decode::<T>(bytes).ok()?).into())
    });
}
