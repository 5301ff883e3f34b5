//! The calls of the file store. A call names its reply; its kind tells a server whom to hand it
//! to and who may send it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use sdfs_server_group::Role;

use crate::path::FilePath;

pub mod activity;
pub mod anonymous;
pub mod behalf;
pub mod blocks;
pub mod content;
pub mod inspect;
pub mod maintenance;
pub mod names;
pub mod negotiation;
pub mod servers;
pub mod status;
pub mod trace_paths;
pub mod trash;

/// A request that one server answers.
pub trait Call: Serialize + DeserializeOwned + Send + 'static {
    /// What it is answered with.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// Its number on the wire.
    const KIND: CallKind;

    /// The paths it names.
    fn paths(&self) -> Vec<&FilePath>;
}

/// Numbers of calls on the wire. Never reused; new ones are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum CallKind {
    /// [`names::CreateFile`].
    CreateFile = 0x0200,
    /// [`names::BeginPut`].
    BeginPut = 0x0201,
    /// [`names::FinishPut`].
    FinishPut = 0x0202,
    /// [`names::GetFile`].
    GetFile = 0x0203,
    /// [`names::GetBlocks`].
    GetBlocks = 0x0204,
    /// [`names::ResizeFile`].
    ResizeFile = 0x0205,
    /// [`names::CommitBlocks`].
    CommitBlocks = 0x0206,
    /// [`names::DeleteFile`].
    DeleteFile = 0x0207,
    /// [`names::Rename`].
    Rename = 0x0208,
    /// [`names::MakeDirectory`].
    MakeDirectory = 0x0209,
    /// [`names::ListDirectory`].
    ListDirectory = 0x020a,
    /// [`names::Stat`].
    Stat = 0x020b,
    /// [`names::SetAttributes`].
    SetAttributes = 0x020c,
    /// [`names::SetQuota`].
    SetQuota = 0x020d,
    /// [`names::GetVolumeMap`].
    GetVolumeMap = 0x020e,
    /// [`names::PutUser`].
    PutUser = 0x0210,
    /// [`names::DeleteUser`].
    DeleteUser = 0x0211,
    /// [`names::ListUsers`].
    ListUsers = 0x0212,
    /// [`names::Scrub`].
    Scrub = 0x0213,
    /// [`names::RenewGrant`].
    RenewGrant = 0x0214,
    /// [`content::LinkContent`].
    LinkContent = 0x0215,
    /// [`content::ShareContent`].
    ShareContent = 0x0216,
    /// [`content::GetSharing`].
    GetSharing = 0x0217,
    /// [`names::AbortPut`].
    AbortPut = 0x0218,
    /// [`trash::DeleteNow`].
    DeleteNow = 0x0220,
    /// [`trash::ListTrash`].
    ListTrash = 0x0221,
    /// [`trash::RestoreTrash`].
    RestoreTrash = 0x0222,
    /// [`trash::EmptyTrash`].
    EmptyTrash = 0x0223,
    /// [`maintenance::Maintain`].
    Maintain = 0x0230,
    /// [`inspect::Inspect`].
    Inspect = 0x0231,
    /// [`servers::ChangeServers`].
    ChangeServers = 0x0232,
    /// [`negotiation::CanCreate`].
    CanCreate = 0x0300,
    /// [`negotiation::Release`].
    Release = 0x0301,
    /// [`negotiation::CreateMetaData`].
    CreateMetaData = 0x0302,
    /// [`negotiation::AtMain`].
    AtMain = 0x0303,
    /// [`negotiation::ReportTrouble`].
    ReportTrouble = 0x0304,
    /// [`negotiation::ReportSync`].
    ReportSync = 0x0305,
    /// [`negotiation::MayForget`].
    MayForget = 0x0306,
    /// [`anonymous::LeaseStamps`].
    LeaseStamps = 0x0307,
    /// [`behalf::CheckLogin`].
    CheckLogin = 0x0308,
    /// [`behalf::OnBehalf`].
    OnBehalf = 0x0309,
    /// [`anonymous::LeaseReads`].
    LeaseReads = 0x030a,
    /// [`trace_paths::TracePaths`].
    TracePaths = 0x030b,
    /// [`negotiation::GetTimeline`].
    GetTimeline = 0x030c,
    /// [`negotiation::AreNeeded`].
    AreNeeded = 0x030d,
    /// [`blocks::WriteBlock`].
    WriteBlock = 0x0400,
    /// [`blocks::ReadBlock`].
    ReadBlock = 0x0401,
    /// [`blocks::WriteCopy`].
    WriteCopy = 0x0500,
    /// [`blocks::AcceptFiles`].
    AcceptFiles = 0x0501,
    /// [`blocks::FreeBlocks`].
    FreeBlocks = 0x0502,
    /// [`blocks::PushVolumes`].
    PushVolumes = 0x0503,
    /// [`blocks::ListVolume`].
    ListVolume = 0x0504,
    /// [`blocks::SyncVolume`].
    SyncVolume = 0x0505,
    /// [`status::BeginScrub`].
    BeginScrub = 0x0506,
    /// [`maintenance::SetHealRate`].
    SetHealRate = 0x0507,
    /// [`inspect::ListCopies`].
    ListCopies = 0x0508,
    /// [`blocks::FreeOldBlocks`].
    FreeOldBlocks = 0x0509,
    /// [`anonymous::FreeAnonymous`].
    FreeAnonymous = 0x050a,
    /// [`content::DigestBlock`].
    DigestBlock = 0x050b,
    /// [`status::GetStatus`].
    GetStatus = 0x0600,
    /// [`servers::GetServers`].
    GetServers = 0x0601,
    /// [`activity::GetActivity`].
    GetActivity = 0x0602,
}

impl CallKind {
    /// Every kind; [`CallKind::from_wire`] and the tests walk it.
    pub const ALL: &[CallKind] = &[
        CallKind::CreateFile,
        CallKind::BeginPut,
        CallKind::FinishPut,
        CallKind::GetFile,
        CallKind::GetBlocks,
        CallKind::ResizeFile,
        CallKind::CommitBlocks,
        CallKind::DeleteFile,
        CallKind::Rename,
        CallKind::MakeDirectory,
        CallKind::ListDirectory,
        CallKind::Stat,
        CallKind::SetAttributes,
        CallKind::SetQuota,
        CallKind::GetVolumeMap,
        CallKind::PutUser,
        CallKind::DeleteUser,
        CallKind::ListUsers,
        CallKind::Scrub,
        CallKind::RenewGrant,
        CallKind::LinkContent,
        CallKind::ShareContent,
        CallKind::GetSharing,
        CallKind::AbortPut,
        CallKind::DeleteNow,
        CallKind::ListTrash,
        CallKind::RestoreTrash,
        CallKind::EmptyTrash,
        CallKind::Maintain,
        CallKind::Inspect,
        CallKind::ChangeServers,
        CallKind::CanCreate,
        CallKind::Release,
        CallKind::CreateMetaData,
        CallKind::AtMain,
        CallKind::ReportTrouble,
        CallKind::ReportSync,
        CallKind::MayForget,
        CallKind::LeaseStamps,
        CallKind::CheckLogin,
        CallKind::OnBehalf,
        CallKind::LeaseReads,
        CallKind::TracePaths,
        CallKind::GetTimeline,
        CallKind::AreNeeded,
        CallKind::WriteBlock,
        CallKind::ReadBlock,
        CallKind::WriteCopy,
        CallKind::AcceptFiles,
        CallKind::FreeBlocks,
        CallKind::PushVolumes,
        CallKind::ListVolume,
        CallKind::SyncVolume,
        CallKind::BeginScrub,
        CallKind::SetHealRate,
        CallKind::ListCopies,
        CallKind::FreeOldBlocks,
        CallKind::FreeAnonymous,
        CallKind::DigestBlock,
        CallKind::GetStatus,
        CallKind::GetServers,
        CallKind::GetActivity,
    ];

    /// The number on the wire.
    pub fn to_wire(self) -> u16 {
        self as u16
    }

    /// The kind with this number, if there is one.
    pub fn from_wire(kind: u16) -> Option<CallKind> {
        CallKind::ALL
            .iter()
            .copied()
            .find(|known| known.to_wire() == kind)
    }

    /// Who may send it.
    pub fn is_allowed(self, role: Role) -> bool {
        match self.to_wire() >> 8 {
            0x02 => role == Role::Client,
            0x03 => self.is_allowed_between_servers(role),
            0x04 => matches!(role, Role::Client | Role::Mserver | Role::Dserver),
            0x05 => self.is_allowed_at_dserver(role),
            0x06 => true,
            _ => false,
        }
    }

    fn is_allowed_between_servers(self, role: Role) -> bool {
        match self {
            CallKind::ReportTrouble
            | CallKind::ReportSync
            | CallKind::CheckLogin
            | CallKind::OnBehalf
            | CallKind::TracePaths
            | CallKind::GetTimeline => {
                matches!(role, Role::Mserver | Role::Dserver)
            }
            CallKind::MayForget
            | CallKind::AreNeeded
            | CallKind::LeaseStamps
            | CallKind::LeaseReads => role == Role::Dserver,
            _ => role == Role::Mserver,
        }
    }

    fn is_allowed_at_dserver(self, role: Role) -> bool {
        match self {
            CallKind::WriteCopy | CallKind::ListVolume | CallKind::FreeAnonymous => {
                role == Role::Dserver
            }
            CallKind::AcceptFiles
            | CallKind::FreeBlocks
            | CallKind::PushVolumes
            | CallKind::SyncVolume
            | CallKind::BeginScrub
            | CallKind::SetHealRate
            | CallKind::ListCopies
            | CallKind::FreeOldBlocks
            | CallKind::DigestBlock => role == Role::Mserver,
            _ => false,
        }
    }
}

/// What a kind of call is called in logs and metrics.
pub fn call_name(kind: u16) -> String {
    match (CallKind::from_wire(kind), kind >> 8) {
        (Some(kind), _) => format!("{kind:?}"),
        (None, 0x01) => "Raft".to_owned(),
        (None, _) => "Other".to_owned(),
    }
}

/// A call, its reply, its kind, and the fields that are paths.
macro_rules! call {
    ($request:ty => $reply:ty, $kind:ident $(, $path:ident)*) => {
        impl $crate::calls::Call for $request {
            type Reply = $reply;
            const KIND: $crate::calls::CallKind = $crate::calls::CallKind::$kind;

            fn paths(&self) -> Vec<&$crate::path::FilePath> {
                vec![$(&self.$path),*]
            }
        }
    };
}
pub(crate) use call;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back() {
        for kind in CallKind::ALL {
            assert_eq!(CallKind::from_wire(kind.to_wire()), Some(*kind));
        }
        assert_eq!(CallKind::from_wire(0), None);
        assert_eq!(CallKind::from_wire(0xffff), None);
    }

    /// What clients alone may send.
    const CLIENTS: &[CallKind] = &[
        CallKind::CreateFile,
        CallKind::BeginPut,
        CallKind::FinishPut,
        CallKind::GetFile,
        CallKind::GetBlocks,
        CallKind::ResizeFile,
        CallKind::CommitBlocks,
        CallKind::DeleteFile,
        CallKind::Rename,
        CallKind::MakeDirectory,
        CallKind::ListDirectory,
        CallKind::Stat,
        CallKind::SetAttributes,
        CallKind::SetQuota,
        CallKind::GetVolumeMap,
        CallKind::PutUser,
        CallKind::DeleteUser,
        CallKind::ListUsers,
        CallKind::Scrub,
        CallKind::RenewGrant,
        CallKind::LinkContent,
        CallKind::ShareContent,
        CallKind::GetSharing,
        CallKind::AbortPut,
        CallKind::DeleteNow,
        CallKind::ListTrash,
        CallKind::RestoreTrash,
        CallKind::EmptyTrash,
        CallKind::Maintain,
        CallKind::Inspect,
        CallKind::ChangeServers,
    ];
    /// What mservers alone may send.
    const MSERVERS: &[CallKind] = &[
        CallKind::CanCreate,
        CallKind::Release,
        CallKind::CreateMetaData,
        CallKind::AtMain,
        CallKind::AcceptFiles,
        CallKind::FreeBlocks,
        CallKind::PushVolumes,
        CallKind::SyncVolume,
        CallKind::BeginScrub,
        CallKind::SetHealRate,
        CallKind::ListCopies,
        CallKind::FreeOldBlocks,
        CallKind::DigestBlock,
    ];
    /// What dservers alone may send.
    const DSERVERS: &[CallKind] = &[
        CallKind::MayForget,
        CallKind::LeaseStamps,
        CallKind::LeaseReads,
        CallKind::AreNeeded,
        CallKind::WriteCopy,
        CallKind::ListVolume,
        CallKind::FreeAnonymous,
    ];
    /// What servers may send, and no client.
    const SERVERS: &[CallKind] = &[
        CallKind::ReportTrouble,
        CallKind::ReportSync,
        CallKind::CheckLogin,
        CallKind::OnBehalf,
        CallKind::TracePaths,
        CallKind::GetTimeline,
    ];
    /// What anybody may send.
    const ALL_ROLES: &[CallKind] = &[
        CallKind::WriteBlock,
        CallKind::ReadBlock,
        CallKind::GetStatus,
        CallKind::GetServers,
        CallKind::GetActivity,
    ];

    #[test]
    fn each_kind_has_its_senders() {
        let table: &[(&[CallKind], &[Role])] = &[
            (CLIENTS, &[Role::Client]),
            (MSERVERS, &[Role::Mserver]),
            (DSERVERS, &[Role::Dserver]),
            (SERVERS, &[Role::Mserver, Role::Dserver]),
            (ALL_ROLES, &[Role::Client, Role::Mserver, Role::Dserver]),
        ];
        for kind in CallKind::ALL {
            let mut rows = table.iter().filter(|(kinds, _)| kinds.contains(kind));
            let (_, senders) = rows.next().unwrap_or_else(|| panic!("{kind:?} has no row"));
            assert!(rows.next().is_none(), "{kind:?} has two rows");
            for role in [Role::Client, Role::Mserver, Role::Dserver] {
                let is_sender = senders.contains(&role);
                assert_eq!(kind.is_allowed(role), is_sender, "{kind:?} of a {role}");
            }
        }
    }
}
