//! Whoever looks, while faults strike, whether copies that are said to be in sync are.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sdfs_client::Client;
use tokio::time::sleep;

use crate::clients::NAMES;
use crate::cluster::Slot;
use crate::copies::{Copies, Looker};
use crate::course::{Course, Phase};
use crate::ledger::Ledger;
use crate::pages::PAGES;
use crate::random::Random;

/// Between two looks, at most.
const PAUSE_MS_MAX: u64 = 3_000;
/// A copy that is missed is looked for again so often: its file may be going away just now.
const LOOKS: u32 = 4;
/// How long it is left alone between two of these.
const LOOK_AGAIN: Duration = Duration::from_millis(700);

/// Whoever looks.
pub(crate) struct Auditor {
    pub(crate) random: Random,
    pub(crate) course: Rc<Course>,
    /// Dservers, of which any that stands may ask the others.
    pub(crate) dservers: Vec<Slot>,
    pub(crate) ledger: Ledger,
}

impl Auditor {
    /// Looks at one name after the other until the cluster has healed; what was missed.
    pub(crate) async fn run(mut self, client: &Client) -> Vec<Copies> {
        let mut missed = Vec::new();
        while self.course.phase() != Phase::Proving {
            let name = match self.random.percent(70) {
                true => *self.random.pick(&NAMES),
                false => *self.random.pick(&PAGES),
            };
            missed.extend(self.look(client, name).await);
            let pause_ms = self.random.within(0..PAUSE_MS_MAX);
            sleep(Duration::from_millis(pause_ms)).await;
        }
        missed
    }

    /// Blocks of a file that a member in sync lacks, again and again, while the file and the epoch
    /// of its volume stay as they are.
    async fn look(&self, client: &Client, name: &str) -> Vec<Copies> {
        let mut missed: Option<Vec<Copies>> = None;
        for _ in 0..LOOKS {
            // Held no longer than that: the server may go down meanwhile.
            let mesh = self.dservers.iter().find_map(|slot| {
                let standing = slot.borrow();
                standing.as_ref().map(|running| running.mesh().clone())
            });
            let (Some(mesh), Ok(file)) = (mesh, client.open(name).await) else {
                return Vec::new();
            };
            let ledger = self.ledger.clone();
            let looker = Looker { mesh, ledger };
            let lists = &mut BTreeMap::new();
            let mut now = looker.look_at(name, &file.record(), lists).await;
            now.retain(|copies| copies.are_all_in_sync && copies.are_missed());
            if let Some(before) = missed {
                now.retain(|copies| before.contains(copies));
            }
            if now.is_empty() {
                return now;
            }
            missed = Some(now);
            sleep(LOOK_AGAIN).await;
        }
        missed.unwrap_or_default()
    }
}
