//! The orders for the volumes' upkeep as the root group keeps them: what each one changes, and when
//! it is refused.

use std::sync::Arc;

use tokio::sync::watch;

use sdfs_types::calls::maintenance::{Maintenance, MaintenanceOrder, Ordered};

use super::command::{MaintenanceCommand, VolumeAnswer};

/// The key of the orders that stand.
pub(crate) const KEY: u8 = b'm';

/// The orders that stand, for everybody on this server.
pub type MaintenanceWatch = watch::Receiver<Arc<Maintenance>>;

/// The orders after one more; nothing when it changes nothing.
pub(super) fn ordered(
    now: &Maintenance,
    command: &MaintenanceCommand,
) -> Result<Option<Maintenance>, VolumeAnswer> {
    if command
        .expected
        .is_some_and(|version| version != now.version)
    {
        return Err(VolumeAnswer::Stale);
    }
    let mut next = now.clone();
    let given = || Ordered {
        by: command.by.clone(),
        at_ms: command.at_ms,
    };
    match command.order {
        MaintenanceOrder::Show => {}
        MaintenanceOrder::Drain { server } => {
            let stays = |other: &&_| **other != server && !now.draining.contains_key(*other);
            let staying = command.up.iter().filter(stays).count();
            let is_new = !now.draining.contains_key(&server);
            if is_new && staying < usize::from(command.copies) {
                return Err(VolumeAnswer::NotAllowed);
            }
            next.draining.entry(server).or_insert_with(given);
        }
        MaintenanceOrder::StopDrain { server } => {
            next.draining.remove(&server);
        }
        MaintenanceOrder::PauseHealing => {
            next.healing_paused.get_or_insert_with(given);
        }
        MaintenanceOrder::StartHealing => next.healing_paused = None,
        MaintenanceOrder::LimitHealing { bytes_per_s } => next.heal_bytes_per_s = bytes_per_s,
        MaintenanceOrder::Rebalance => {
            next.rebalancing.get_or_insert_with(given);
        }
        MaintenanceOrder::StopRebalance => next.rebalancing = None,
    }
    if next == *now {
        return Ok(None);
    }
    next.version += 1;
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::ServerId;

    fn command(order: MaintenanceOrder) -> MaintenanceCommand {
        MaintenanceCommand {
            order,
            by: "ann".to_owned(),
            at_ms: 7,
            expected: None,
            up: (1..=5).map(ServerId).collect(),
            copies: 3,
        }
    }

    fn drain(server: u16) -> MaintenanceOrder {
        let server = ServerId(server);
        MaintenanceOrder::Drain { server }
    }

    fn after(now: &Maintenance, order: MaintenanceOrder) -> Maintenance {
        let next = ordered(now, &command(order)).expect("an order that may be given");
        next.expect("a change")
    }

    #[test]
    fn drains_leave_enough_dservers() {
        let one = after(&Maintenance::default(), drain(5));
        let two = after(&one, drain(4));
        assert_eq!(
            ordered(&two, &command(drain(3))),
            Err(VolumeAnswer::NotAllowed)
        );
        let stopped = after(
            &two,
            MaintenanceOrder::StopDrain {
                server: ServerId(5),
            },
        );
        let again = after(&stopped, drain(3));
        assert_eq!(again.draining.len(), 2);
        assert_eq!(again.version, 4);
    }

    #[test]
    fn an_order_given_twice_changes_nothing() {
        let limit = MaintenanceOrder::LimitHealing {
            bytes_per_s: Some(1),
        };
        let orders = [
            drain(5),
            MaintenanceOrder::PauseHealing,
            limit,
            MaintenanceOrder::Rebalance,
        ];
        for order in orders {
            let once = after(&Maintenance::default(), order);
            let mut again = command(order);
            again.by = "bob".to_owned();
            assert_eq!(ordered(&once, &again), Ok(None), "{order:?}");
        }
        assert_eq!(
            ordered(&Maintenance::default(), &command(MaintenanceOrder::Show)),
            Ok(None)
        );
    }

    #[test]
    fn an_order_of_older_ones_is_stale() {
        let once = after(&Maintenance::default(), MaintenanceOrder::Rebalance);
        let mut stop = command(MaintenanceOrder::StopRebalance);
        stop.expected = Some(0);
        assert_eq!(ordered(&once, &stop), Err(VolumeAnswer::Stale));
        stop.expected = Some(1);
        assert!(ordered(&once, &stop).expect("not stale").is_some());
    }
}
