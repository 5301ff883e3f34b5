//! `scrub`: has every dserver read and verify all it keeps, and shows how far they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sdfs_client::Client;
use sdfs_server_group::{Config, Role};
use sdfs_types::calls::status::ScrubStatus;
use serde_json::json;

use crate::args::{Global, ScrubArgs};
use crate::commands::heal::{damage, dservers};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::session;
use crate::units;
use crate::view::{Seen, seen, server_name};

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How long repairs of the last blocks that were found damaged are waited for.
const REPAIRED_WITHIN: Duration = Duration::from_secs(10);

/// How long a dserver may be silent while it is waited for: longer than a start takes on a busy
/// machine.
const SILENT_FOR: Duration = Duration::from_secs(20);

/// Runs `scrub`.
pub(crate) async fn run(global: &Global, args: &ScrubArgs, out: Output) -> Outcome {
    let (client, config) = session::cluster(global).await?;
    let before = seen(&client, &config, global.timeout).await;
    if args.status {
        show(&before, out);
        return Ok(());
    }
    let begun = client.scrub().await?;
    if !begun.unreached.is_empty() {
        let unreached = begun.unreached.iter();
        let names = unreached.map(|server| server_name(&config, *server));
        let names = names.collect::<Vec<_>>().join(", ");
        let what = format!("{names}: no answer, not scrubbed; start it and scrub again");
        return Err(Failure::new(Code::NotNow, what));
    }
    if !args.wait {
        out.say(&format!(
            "{} dservers verify all they keep",
            begun.begun.len()
        ));
        out.say("sdfs scrub --status shows how far they are");
        out.json(&json!({ "begun": begun.begun.len() }));
        return Ok(());
    }
    let (after, missing) = wait(&client, (&config, global.timeout), &before, out).await;
    show(&after, out);
    let (found, repaired) = damage(&after);
    if found > repaired {
        let what = format!("{} damaged blocks are not repaired", found - repaired);
        return Err(Failure::new(Code::Damaged, what));
    }
    if !missing.is_empty() {
        let what = format!("not verified: {}", missing.join(", "));
        return Err(Failure::new(Code::NotNow, what)
            .advise("`sdfs status` tells what became of them; scrub again when they are back"));
    }
    Ok(())
}

/// Waits until each disk that was there has had a whole pass more, and a little for repairs; orders
/// it again from a dserver that was started again meanwhile. Gives the disks that were not
/// verified: they have failed, or nobody answers for them.
pub(crate) async fn wait<'a>(
    client: &Client,
    (config, within): (&'a Config, Duration),
    before: &Seen<'_>,
    out: Output,
) -> (Seen<'a>, Vec<String>) {
    let spaces = dservers(before).flat_map(|(_, status)| &status.spaces);
    let total = spaces.map(|space| space.live_bytes).sum();
    let progress = Progress::new("verifying", Some(total), !out.is_json());
    let begun = Instant::now();
    let mut passing = Passing::new(config, before);
    let mut over_since = None;
    loop {
        let now = seen(client, config, within).await;
        progress.reach(checked_bytes(&now));
        match passing.look(begun.elapsed(), &disks(&now)) {
            Looked::Passing => {}
            Looked::Forgotten => {
                // Whoever is not reached is told at the next look.
                if let Err(error) = client.scrub().await {
                    tracing::debug!(%error, "the scrub is not ordered again");
                }
            }
            Looked::Over => {
                let over: &Instant = over_since.get_or_insert_with(Instant::now);
                let (found, repaired) = damage(&now);
                // What a dserver found that does not answer is not among it.
                let silent = passing.silent(&now);
                let is_all = found == repaired && silent.is_empty();
                if is_all || over.elapsed() > REPAIRED_WITHIN {
                    progress.finish();
                    passing.missing.extend(silent);
                    return (now, passing.missing);
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn checked_bytes(seen: &Seen<'_>) -> u64 {
    let spaces = dservers(seen).flat_map(|(_, status)| &status.spaces);
    let checked = spaces.map(|space| match space.scrub.is_hurried {
        false => space.live_bytes,
        true => space.scrub.checked_bytes,
    });
    checked.sum()
}

/// The disks of the dservers that answer.
fn disks(seen: &Seen<'_>) -> Disks {
    let mut disks = Disks::new();
    for (server, status) in dservers(seen) {
        for space in &status.spaces {
            let disk = (server.name.to_string(), space.path.clone());
            let scrub = space.failed.is_none().then_some(space.scrub);
            disks.insert(disk, scrub);
        }
    }
    disks
}

/// A disk, by its server and place.
type Disk = (String, String);

/// How far the scrub of each disk is; nothing of one that has failed.
type Disks = BTreeMap<Disk, Option<ScrubStatus>>;

/// Which disks have had their pass.
#[derive(Debug, Default)]
struct Passing {
    /// Dservers that have not answered yet.
    unseen: BTreeSet<String>,
    /// Of each disk that is waited for: the passes it had, and when it was last seen at it.
    waited_for: BTreeMap<Disk, (u64, Duration)>,
    /// What is not verified, and why.
    missing: Vec<String>,
}

/// What a look at all disks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// Some have not been verified yet.
    Passing,
    /// Some know nothing of the order.
    Forgotten,
    /// All have been, or will not be.
    Over,
}

impl Passing {
    fn new(config: &Config, before: &Seen<'_>) -> Passing {
        let answered: Vec<_> = dservers(before).map(|(server, _)| server.id).collect();
        let all = config.servers_of(Role::Dserver);
        let unseen = all.filter(|server| !answered.contains(&server.id));
        let unseen = unseen.map(|server| server.name.to_string()).collect();
        Passing::of(&disks(before), unseen)
    }

    fn of(before: &Disks, unseen: BTreeSet<String>) -> Passing {
        let mut passing = Passing {
            unseen,
            ..Passing::default()
        };
        passing.wait_for(before.iter(), Duration::ZERO);
        passing
    }

    fn wait_for<'a>(
        &mut self,
        disks: impl Iterator<Item = (&'a Disk, &'a Option<ScrubStatus>)>,
        now: Duration,
    ) {
        for (disk, scrub) in disks {
            // Of one that has failed that is told at the next look.
            let passes = scrub.map_or(0, |scrub| scrub.passes);
            self.waited_for.insert(disk.clone(), (passes, now));
        }
    }

    /// The dservers that do not answer now, but for those of which something is told as missing.
    fn silent(&self, now: &Seen<'_>) -> Vec<String> {
        let silent = now.silent().filter(|server| server.role == Role::Dserver);
        let is_told = |name: &String| {
            let mut told = self
                .missing
                .iter()
                .map(|told| told.split([' ', ':']).next());
            told.any(|told| told == Some(name))
        };
        let names = silent.map(|server| server.name.to_string());
        let names = names.filter(|name| !is_told(name));
        names.map(|name| format!("{name} (no answer)")).collect()
    }

    /// So long after the order.
    fn look(&mut self, now: Duration, disks: &Disks) -> Looked {
        for server in std::mem::take(&mut self.unseen) {
            let mut of_it = disks.iter().filter(|(disk, _)| disk.0 == server).peekable();
            if of_it.peek().is_some() {
                self.wait_for(of_it, now);
            } else if now < SILENT_FOR {
                self.unseen.insert(server);
            } else {
                self.missing.push(format!("{server} (no answer)"));
            }
        }
        let mut is_forgotten = false;
        let missing = &mut self.missing;
        self.waited_for.retain(|disk, (passes, seen_at)| {
            let is_patient = now < *seen_at + SILENT_FOR;
            let why = match disks.get(disk) {
                Some(Some(scrub)) if scrub.is_hurried => {
                    (*passes, *seen_at) = (scrub.passes, now);
                    return true;
                }
                Some(Some(scrub)) if scrub.passes > *passes => return false,
                // It counts its passes since it was started.
                Some(Some(scrub)) if is_patient => {
                    *passes = scrub.passes;
                    is_forgotten = true;
                    return true;
                }
                None if is_patient => return true,
                Some(Some(_)) => "does not begin",
                Some(None) => "failed",
                None => "no answer",
            };
            missing.push(format!("{}: {} ({why})", disk.0, disk.1));
            false
        });
        if is_forgotten {
            Looked::Forgotten
        } else if self.waited_for.is_empty() && self.unseen.is_empty() {
            Looked::Over
        } else {
            Looked::Passing
        }
    }
}

fn show(seen: &Seen<'_>, out: Output) {
    let (found, repaired) = damage(seen);
    if out.is_json() {
        let disks = dservers(seen).flat_map(|(server, status)| {
            status.spaces.iter().map(|space| {
                json!({
                    "server": server.name.to_string(), "path": space.path,
                    "live_bytes": space.live_bytes, "scrub": space.scrub,
                })
            })
        });
        let disks: Vec<_> = disks.collect();
        out.json(&json!({ "disks": disks, "damaged_blocks": found, "repaired_blocks": repaired }));
        return;
    }
    let mut table = crate::table::Table::new(&[
        "server",
        "disk",
        ">keeps",
        ">checked",
        ">passes",
        ">damaged",
        ">repaired",
    ]);
    for (server, status) in dservers(seen) {
        for space in &status.spaces {
            table.row([
                server.name.to_string(),
                space.path.clone(),
                units::size(space.live_bytes),
                units::size(space.scrub.checked_bytes),
                units::count(space.scrub.passes),
                units::count(space.scrub.damaged),
                units::count(space.scrub.repaired),
            ]);
        }
    }
    table.print(out, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERED: Duration = Duration::ZERO;

    fn disk(number: u8) -> (String, String) {
        ("dserver-1".to_owned(), format!("/disk-{number}"))
    }

    fn scrub(passes: u64, is_hurried: bool) -> Option<ScrubStatus> {
        Some(ScrubStatus {
            passes,
            is_hurried,
            ..ScrubStatus::default()
        })
    }

    /// Two disks that had three passes each when they were told to begin another one.
    fn passing() -> Passing {
        let before = [(disk(1), scrub(3, false)), (disk(2), scrub(3, false))];
        Passing::of(&before.into(), BTreeSet::new())
    }

    fn two(one: Option<ScrubStatus>, other: Option<ScrubStatus>) -> Disks {
        [(disk(1), one), (disk(2), other)].into()
    }

    #[test]
    fn each_disk_is_waited_for() {
        let mut passing = passing();
        let table = [
            (scrub(3, true), scrub(3, true), Looked::Passing),
            (scrub(4, false), scrub(3, true), Looked::Passing),
            // A slow pass that ends just before the order is not the one that was asked for.
            (scrub(4, false), scrub(4, true), Looked::Passing),
            (scrub(4, false), scrub(5, false), Looked::Over),
        ];
        for (one, other, expected) in table {
            assert_eq!(passing.look(ORDERED, &two(one, other)), expected);
        }
        assert!(passing.missing.is_empty());
    }

    #[test]
    fn a_restart_forgets_the_order() {
        let mut passing = passing();
        let table = [
            (scrub(3, true), scrub(4, false), Looked::Passing),
            // The second one had its pass before.
            (scrub(0, false), scrub(0, false), Looked::Forgotten),
            (scrub(0, true), scrub(0, true), Looked::Passing),
            (scrub(1, false), scrub(0, true), Looked::Over),
        ];
        for (one, other, expected) in table {
            assert_eq!(passing.look(ORDERED, &two(one, other)), expected);
        }
        assert!(passing.missing.is_empty());
    }

    #[test]
    fn a_failed_disk_is_not_verified() {
        let mut meanwhile = passing();
        let look = meanwhile.look(ORDERED, &two(None, scrub(3, true)));
        assert_eq!(look, Looked::Passing, "the other one is waited for");
        let look = meanwhile.look(ORDERED, &two(None, scrub(4, false)));
        assert_eq!(look, Looked::Over);
        assert_eq!(meanwhile.missing, ["dserver-1: /disk-1 (failed)"]);
        let mut before = Passing::of(&two(scrub(3, false), None), BTreeSet::new());
        before.look(ORDERED, &two(scrub(4, false), None));
        assert_eq!(before.missing, ["dserver-1: /disk-2 (failed)"]);
    }

    #[test]
    fn a_dserver_may_be_silent_for_a_while() {
        let mut passing = passing();
        let one = || [(disk(1), scrub(4, false))].into();
        assert_eq!(passing.look(SILENT_FOR / 2, &one()), Looked::Passing);
        let both = two(scrub(4, false), scrub(3, true));
        assert_eq!(
            passing.look(SILENT_FOR - LOOK_EVERY, &both),
            Looked::Passing
        );
        assert_eq!(passing.look(SILENT_FOR * 3 / 2, &one()), Looked::Passing);
        assert_eq!(passing.look(SILENT_FOR * 2, &one()), Looked::Over);
        assert_eq!(passing.missing, ["dserver-1: /disk-2 (no answer)"]);
    }

    #[test]
    fn who_answers_late_is_waited_for() {
        let unseen = || BTreeSet::from(["dserver-1".to_owned()]);
        let mut late = Passing::of(&Disks::new(), unseen());
        assert_eq!(late.look(ORDERED, &Disks::new()), Looked::Passing);
        // Whether it had its pass nobody knows.
        let look = late.look(LOOK_EVERY, &two(scrub(1, true), scrub(1, false)));
        assert_eq!(look, Looked::Forgotten);
        let look = late.look(LOOK_EVERY, &two(scrub(2, false), scrub(2, false)));
        assert_eq!((look, late.missing.len()), (Looked::Over, 0));
        let mut never = Passing::of(&Disks::new(), unseen());
        assert_eq!(never.look(SILENT_FOR, &Disks::new()), Looked::Over);
        assert_eq!(never.missing, ["dserver-1 (no answer)"]);
    }
}
