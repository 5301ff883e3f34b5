//! What the root leader wants to change about one volume, from the map and from what it knows of
//! the members.

use std::collections::BTreeMap;
use std::time::Duration;

use sdfs_types::calls::blocks::SyncVolume;
use sdfs_types::{Epoch, MemberState, ServerId, Volume, VolumeStatus};

use super::super::command::{MemberChange, VolumeCommand};
use super::super::limits::{
    FOUND_GRACE, FREE_BYTES_AGAIN, FREE_BYTES_MIN, STRIKE_APART, STRIKE_KEPT, STRIKES_MAX,
    SYNC_AGAIN_MAX, SYNC_AGAIN_MIN,
};
use super::super::machine::copies_needed;
use super::dserver::{Asking, Dserver, doubled};
use super::moves::{self, Around};

/// The dservers by number.
pub(crate) type Dservers = BTreeMap<ServerId, Dserver>;

/// What the leader remembers of one member of one volume. A new leader begins with nothing and
/// comes to the same changes from the map and the members' answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemberNote {
    /// Its copy is gone, by its own word.
    pub(crate) is_lost: bool,
    /// It failed while it could be reached, and is to be fenced.
    is_condemned: bool,
    condemned_at: Duration,
    condemned_often: u32,
    strikes: u32,
    struck_at: Duration,
    /// Not before this is it synced again.
    sync_after: Duration,
    /// The epoch in which it verified that it has everything.
    synced: Option<Epoch>,
    /// The asking of it to sync, and in which epoch.
    pub(crate) sync: Asking,
    sync_epoch: Epoch,
    out_since: Option<Duration>,
    /// The connection over which it was when it began to sync, while it does.
    syncs_over: Option<u64>,
    state: Option<MemberState>,
}

impl MemberNote {
    /// It failed while it could be reached: fence it, and let it wait before the next sync.
    pub(crate) fn condemn(&mut self, now: Duration) {
        if now.saturating_sub(self.condemned_at) > SYNC_AGAIN_MAX * 2 {
            self.condemned_often = 0;
        }
        self.is_condemned = true;
        self.condemned_at = now;
        self.sync_after = now + doubled(SYNC_AGAIN_MIN, self.condemned_often, SYNC_AGAIN_MAX);
        self.condemned_often += 1;
    }

    /// Another server did not hear of it. Often enough, that is a failure even though the leader
    /// hears of it.
    pub(crate) fn strike(&mut self, now: Duration) {
        let age = now.saturating_sub(self.struck_at);
        if self.strikes > 0 && age < STRIKE_APART {
            return;
        }
        self.strikes = if age > STRIKE_KEPT {
            1
        } else {
            self.strikes + 1
        };
        self.struck_at = now;
        if self.strikes >= STRIKES_MAX {
            self.strikes = 0;
            self.condemn(now);
        }
    }

    /// It keeps a volume that is not founded yet.
    pub(crate) fn registered(&mut self) {
        self.is_condemned = false;
    }

    /// It has verified that it has everything, in this epoch.
    pub(crate) fn synced(&mut self, epoch: Epoch) {
        self.synced = Some(epoch);
    }

    fn follow(&mut self, now: Duration, state: MemberState, began_over: Option<u64>) {
        if state == MemberState::Syncing && self.state != Some(MemberState::Syncing) {
            self.syncs_over = began_over;
        }
        self.state = Some(state);
        match state {
            MemberState::Out => {
                self.is_condemned = false;
                self.is_lost = false;
                self.synced = None;
                self.out_since.get_or_insert(now);
            }
            MemberState::Syncing | MemberState::InSync => self.out_since = None,
        }
    }
}

/// What the leader remembers of one volume.
#[derive(Clone, Debug)]
pub(crate) struct VolumeLife {
    members: BTreeMap<ServerId, MemberNote>,
    first_seen: Duration,
    /// Version of the map in which it was first seen: who has kept that one has registered it.
    seen_version: u64,
    full_until: Duration,
    /// One proposal at a time.
    pub(crate) proposal: Asking,
    /// Whether the one under way moves a copy: one at a time, so that each is placed knowing the
    /// others.
    pub(crate) is_move: bool,
    /// After a committed proposal: the version of the map that shows it.
    pub(crate) shown_by: u64,
}

/// Everything a decision about a volume rests on.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) now: Duration,
    pub(crate) copies_min: u8,
    pub(crate) volume: &'a Volume,
    pub(crate) map_version: u64,
    pub(crate) dservers: &'a Dservers,
}

impl Sight<'_> {
    pub(crate) fn is_known_good(&self, server: ServerId) -> bool {
        self.dservers
            .get(&server)
            .is_some_and(Dserver::is_known_good)
    }

    pub(crate) fn change(&self, change: MemberChange) -> VolumeCommand {
        VolumeCommand::Change {
            volume: self.volume.id,
            expected: self.volume.epoch,
            change,
            copies_min: self.copies_min,
        }
    }

    fn status(&self, status: VolumeStatus) -> VolumeCommand {
        VolumeCommand::SetStatus {
            volume: self.volume.id,
            expected: self.volume.epoch,
            status,
            copies_min: self.copies_min,
        }
    }

    pub(crate) fn members_in(&self, state: MemberState) -> impl Iterator<Item = ServerId> {
        let members = self.volume.members.iter();
        members
            .filter(move |member| member.state == state)
            .map(|member| member.server)
    }

    fn is_without(&self, server: ServerId) -> bool {
        self.volume.readable().all(|other| other == server)
    }
}

impl VolumeLife {
    pub(crate) fn new(now: Duration, map_version: u64) -> VolumeLife {
        VolumeLife {
            members: BTreeMap::new(),
            first_seen: now,
            seen_version: map_version,
            full_until: Duration::ZERO,
            proposal: Asking::default(),
            is_move: false,
            shown_by: 0,
        }
    }

    pub(crate) fn note(&mut self, server: ServerId) -> &mut MemberNote {
        self.members.entry(server).or_default()
    }

    pub(crate) fn full_until(&mut self, until: Duration) {
        self.full_until = until;
    }

    /// Takes in the volume as the map shows it. Whether a sync began over the present connection
    /// is known only of one that began while this leader was looking.
    pub(crate) fn follow(
        &mut self,
        now: Duration,
        volume: &Volume,
        is_known: bool,
        connection: impl Fn(ServerId) -> Option<u64>,
    ) {
        self.members
            .retain(|server, _| volume.state_of(*server).is_some());
        for member in &volume.members {
            let began_over = connection(member.server).filter(|_| is_known);
            self.note(member.server)
                .follow(now, member.state, began_over);
        }
    }

    /// Syncing members whose connection is another one than when they began.
    pub(crate) fn interrupted(
        &self,
        volume: &Volume,
        connection: impl Fn(ServerId) -> Option<u64>,
    ) -> Vec<ServerId> {
        // In a new volume there is nothing yet that could be missed.
        if volume.readable().next().is_none() {
            return Vec::new();
        }
        let is_interrupted = |server: &ServerId| {
            let over = self.members.get(server).and_then(|note| note.syncs_over);
            volume.state_of(*server) == Some(MemberState::Syncing)
                && (over.is_none() || over != connection(*server))
        };
        volume.acknowledging().filter(is_interrupted).collect()
    }

    /// Whether the member's copy is the last one in sync and gone.
    pub(crate) fn lost_for_good(&self, volume: &Volume) -> Option<ServerId> {
        let last = volume.readable().next()?;
        let is_alone = volume.readable().count() == 1;
        (is_alone && self.members.get(&last).is_some_and(|note| note.is_lost)).then_some(last)
    }

    /// The next change of the volume, most urgent first: a copy that is gone, then members that
    /// writes wait for in vain, then copies that are ready, then copies that are missing, then
    /// copies that are wanted elsewhere; and whether it moves a copy.
    pub(crate) fn wanted(
        &self,
        sight: Sight<'_>,
        around: &Around<'_>,
        may_move: bool,
    ) -> Option<(VolumeCommand, bool)> {
        if sight.volume.readable().next().is_none() {
            return Some((self.founding(sight)?, false));
        }
        let is_held = around.orders.healing_paused.is_some();
        let stays = |command| (command, false);
        let moves = |command| (command, true);
        let move_copy = |is_late| {
            let may_begin = may_move && !is_held;
            may_begin.then(|| moves::replacing(self, sight, around, is_late))?
        };
        let urgent = self
            .losing(sight)
            .or_else(|| self.fencing(sight))
            .or_else(|| self.admitting(sight))
            .or_else(|| moves::leaving(self, sight, around));
        urgent
            .map(stays)
            .or_else(|| move_copy(false).map(moves))
            .or_else(|| self.syncing(sight).filter(|_| !is_held).map(stays))
            .or_else(|| move_copy(true).map(moves))
            .or_else(|| {
                let may_begin = may_move && !is_held;
                may_begin.then(|| moves::joining(self, sight, around).map(moves))?
            })
            .or_else(|| self.room(sight).map(stays))
    }

    fn founding(&self, sight: Sight<'_>) -> Option<VolumeCommand> {
        if sight.volume.epoch != Epoch(1) {
            return None;
        }
        let dserver = |server: ServerId| sight.dservers.get(&server);
        let has_registered = |server: &ServerId| {
            dserver(*server)
                .and_then(|d| d.kept)
                .is_some_and(|kept| kept >= self.seen_version)
        };
        let is_awaited = |server: &ServerId| {
            dserver(*server).is_some_and(Dserver::is_up) && !has_registered(server)
        };
        let all: Vec<ServerId> = sight.members_in(MemberState::Syncing).collect();
        let is_late = sight.now >= self.first_seen + FOUND_GRACE;
        if all.iter().any(is_awaited) && !is_late {
            return None;
        }
        let members: Vec<ServerId> = all
            .into_iter()
            .filter(|s| has_registered(s) && self.is_sound(*s))
            .collect();
        let is_enough = members.len() >= copies_needed(sight.volume, sight.copies_min);
        is_enough.then(|| sight.change(MemberChange::Found { members }))
    }

    /// Members of a volume that is not founded yet which had no disk for it, and may have one now.
    pub(crate) fn to_register_again(&self, now: Duration) -> impl Iterator<Item = ServerId> {
        let is_due = move |note: &MemberNote| note.is_condemned && now >= note.sync_after;
        let notes = self.members.iter().filter(move |(_, note)| is_due(note));
        notes.map(|(server, _)| *server)
    }

    /// A version of the map that whoever has registered the volume has left behind.
    pub(crate) fn unseen_version(&self) -> u64 {
        self.seen_version.saturating_sub(1)
    }

    fn losing(&self, sight: Sight<'_>) -> Option<VolumeCommand> {
        let is_lost = |server: &ServerId| self.members.get(server).is_some_and(|n| n.is_lost);
        let member = sight
            .volume
            .acknowledging()
            .find(|member| is_lost(member) && !sight.is_without(*member));
        if let Some(member) = member {
            return Some(sight.change(MemberChange::Lose { member }));
        }
        let is_gone = self.lost_for_good(sight.volume).is_some() && sight.volume.is_writable();
        is_gone.then(|| sight.status(VolumeStatus::ReadOnly))
    }

    fn fencing(&self, sight: Sight<'_>) -> Option<VolumeCommand> {
        let must_go = |server: &ServerId| {
            let is_condemned = self
                .members
                .get(server)
                .is_some_and(|note| note.is_condemned);
            is_condemned
                || sight
                    .dservers
                    .get(server)
                    .is_none_or(|d| d.must_go(sight.now))
        };
        let connection = |server| sight.dservers.get(&server).and_then(|d| d.connection);
        let interrupted = self.interrupted(sight.volume, connection);
        let mut syncing = sight.members_in(MemberState::Syncing);
        if let Some(member) = syncing.find(|s| must_go(s) || interrupted.contains(s)) {
            return Some(sight.change(MemberChange::Fence { member }));
        }
        let has_settled = |server: &ServerId| {
            sight
                .dservers
                .get(server)
                .is_some_and(|d| d.has_settled(sight.now))
        };
        let staying: Vec<ServerId> = sight.volume.readable().filter(|s| !must_go(s)).collect();
        let is_enough = staying.len() >= copies_needed(sight.volume, sight.copies_min);
        if !is_enough || !staying.iter().all(has_settled) {
            return None;
        }
        let member = sight.volume.readable().find(must_go)?;
        Some(sight.change(MemberChange::Fence { member }))
    }

    fn admitting(&self, sight: Sight<'_>) -> Option<VolumeCommand> {
        let is_ready = |server: &ServerId| {
            let synced = self.members.get(server).and_then(|note| note.synced);
            synced == Some(sight.volume.epoch) && sight.is_known_good(*server)
        };
        let member = sight.members_in(MemberState::Syncing).find(is_ready)?;
        Some(sight.change(MemberChange::Admit { member }))
    }

    fn syncing(&self, sight: Sight<'_>) -> Option<VolumeCommand> {
        if self.sources(sight).is_empty() {
            return None;
        }
        let may_sync = |server: &ServerId| {
            let is_time = self
                .members
                .get(server)
                .is_none_or(|n| sight.now >= n.sync_after);
            is_time && sight.is_known_good(*server)
        };
        let member = sight.members_in(MemberState::Out).find(may_sync)?;
        Some(sight.change(MemberChange::Sync { member }))
    }

    /// A member that has been out for so long.
    pub(crate) fn long_out(&self, sight: Sight<'_>, time: Duration) -> Option<ServerId> {
        sight.members_in(MemberState::Out).find(|server| {
            let since = self.members.get(server).and_then(|note| note.out_since);
            since.is_some_and(|since| sight.now >= since + time)
        })
    }

    /// Whether there is something to copy from.
    pub(crate) fn has_source(&self, sight: Sight<'_>) -> bool {
        !self.sources(sight).is_empty()
    }

    fn room(&self, sight: Sight<'_>) -> Option<VolumeCommand> {
        let free = |server: ServerId| sight.dservers.get(&server).and_then(|d| d.free_bytes);
        let least = sight.volume.acknowledging().filter_map(free).min();
        let is_full = sight.now < self.full_until || least.is_some_and(|l| l < FREE_BYTES_MIN);
        let is_roomy = least.is_some_and(|least| least >= FREE_BYTES_AGAIN);
        if is_full && sight.volume.is_writable() {
            Some(sight.status(VolumeStatus::Full))
        } else if !is_full && is_roomy && sight.volume.status == VolumeStatus::Full {
            Some(sight.status(VolumeStatus::Writable))
        } else {
            self.found_again(sight)
        }
    }

    /// A volume whose last copy was gone takes writes again when that is there after all: its disk
    /// was put back, or answers again.
    fn found_again(&self, sight: Sight<'_>) -> Option<VolumeCommand> {
        let is_closed = sight.volume.status == VolumeStatus::ReadOnly;
        let is_enough =
            sight.volume.readable().count() >= copies_needed(sight.volume, sight.copies_min);
        // Whoever answers over this connection says anew what it has lost; that its disk had failed
        // says nothing of now.
        let is_lost = |server: ServerId| self.members.get(&server).is_some_and(|note| note.is_lost);
        let is_there = |server| sight.is_known_good(server) && !is_lost(server);
        let is_back = is_closed && is_enough && sight.volume.readable().all(is_there);
        is_back.then(|| sight.status(VolumeStatus::Writable))
    }

    /// Whether nothing speaks against a member's copy: it has not failed and is not gone. One that
    /// has is still in sync until it can be fenced.
    pub(crate) fn is_sound(&self, server: ServerId) -> bool {
        let note = self.members.get(&server);
        note.is_none_or(|note| !note.is_condemned && !note.is_lost)
    }

    /// Members a copy may be taken from: in sync, reachable, and not known to have lost theirs.
    fn sources(&self, sight: Sight<'_>) -> Vec<ServerId> {
        let is_lost = |server: &ServerId| self.members.get(server).is_some_and(|n| n.is_lost);
        let usable = |server: &ServerId| sight.is_known_good(*server) && !is_lost(server);
        sight.volume.readable().filter(usable).collect()
    }

    /// The syncs to ask for now.
    pub(crate) fn syncs_due(&mut self, sight: Sight<'_>) -> Vec<(ServerId, SyncVolume)> {
        let sources = self.sources(sight);
        if sources.is_empty() {
            return Vec::new();
        }
        let epoch = sight.volume.epoch;
        let mut due = Vec::new();
        for member in sight.members_in(MemberState::Syncing) {
            // It refuses to sync in an epoch it was not told of.
            let is_told = sight
                .dservers
                .get(&member)
                .is_some_and(|d| d.is_up() && d.kept == Some(sight.map_version));
            let note = self.note(member);
            if note.sync_epoch != epoch {
                note.sync_epoch = epoch;
                note.sync = Asking::default();
            }
            if is_told && note.synced != Some(epoch) && note.sync.may_begin(sight.now) {
                note.sync.begin();
                let (volume, sources) = (sight.volume.clone(), sources.clone());
                due.push((member, SyncVolume { volume, sources }));
            }
        }
        due
    }

    /// The note of a member whose asking belongs to this epoch.
    pub(crate) fn sync_note(&mut self, member: ServerId, epoch: Epoch) -> Option<&mut MemberNote> {
        self.members
            .get_mut(&member)
            .filter(|note| note.sync_epoch == epoch)
    }

    /// The connection with a member is another one now: what it was asked may be forgotten.
    pub(crate) fn reconnected(&mut self, member: ServerId) {
        if let Some(note) = self.members.get_mut(&member) {
            note.sync = Asking::default();
            note.is_lost = false;
            // It may have lost everything since it reported.
            note.synced = None;
        }
    }
}
