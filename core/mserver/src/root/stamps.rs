//! Leases of stamps: to each dserver every second of its stamps goes once, whatever its clock says.

use sdfs_types::limits::STAMP_LEASE_S;
use sdfs_types::{Refusal, ServerId};

use super::command::RootAnswer;
use super::keys;
use super::machine::Applying;
use crate::fault::{Applied, Fault};

/// Leases the seconds from `wanted_s` on, or from where the last lease ended.
pub(super) fn lease(
    applying: &mut Applying<'_>,
    server: ServerId,
    wanted_s: u32,
) -> Applied<RootAnswer> {
    let key = keys::of_stamps(server);
    let ended = applying.batch.get(&key)?;
    let ended_s = ended
        .and_then(|value| value.as_ref().try_into().ok())
        .map_or(0, u32::from_be_bytes);
    let from_s = wanted_s.max(ended_s);
    let Some(until_s) = from_s.checked_add(STAMP_LEASE_S) else {
        return Err(Fault::Refused(Refusal::OutOfRange {
            what: "the second of a stamp".to_owned(),
            value: from_s.to_string(),
            allowed: format!("at most {}", u32::MAX - STAMP_LEASE_S),
        }));
    };
    applying.batch.put(key, until_s.to_be_bytes().to_vec());
    Ok(RootAnswer::StampsLeased { from_s, until_s })
}
