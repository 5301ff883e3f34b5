//! What is promised for a time: room to files that were accepted, and the leave to read anonymous
//! files.

use std::path::PathBuf;

use actix::prelude::*;

use crate::keeper::Keeper;

/// What is promised now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promised {
    /// Room, by space.
    pub room: Vec<RoomPromised>,
    /// Milliseconds until anonymous files may be read no more; none when they may not.
    pub reads_end_in_ms: Option<u64>,
}

/// Room promised to files that were accepted. What they write does not lessen it: it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPromised {
    /// In which space.
    pub space: PathBuf,
    /// How much.
    pub bytes: u64,
    /// Milliseconds until the last of the promises ends, by whole seconds.
    pub ends_in_ms: u64,
}

/// Asks how much room is promised.
#[derive(Message)]
#[rtype(result = "Vec<RoomPromised>")]
pub(crate) struct AskPromised;

impl Handler<AskPromised> for Keeper {
    type Result = Vec<RoomPromised>;

    fn handle(&mut self, _: AskPromised, _: &mut Self::Context) -> Self::Result {
        let now_s = self.begun.elapsed().as_secs();
        let mut room = Vec::new();
        for (number, slot) in self.shared.spaces.iter().enumerate() {
            let reservations = self.reservations.get_mut(&number);
            if let (Some((space, _)), Some(reservations)) = (slot.working(), reservations)
                && let Some((bytes, ends_s)) = reservations.standing(now_s)
            {
                room.push(RoomPromised {
                    space: space.path.clone(),
                    bytes,
                    ends_in_ms: ends_s.saturating_sub(now_s) * 1_000,
                });
            }
        }
        room
    }
}
