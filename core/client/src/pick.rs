//! Which mserver a client asks.

use std::net::SocketAddr;

use crate::client::Shared;
use crate::journey::Journey;
use crate::nearest::{Candidate, nearest};
use crate::pause::random;

impl Shared {
    /// The mserver for the next attempt.
    pub(crate) fn pick(&self, journey: &Journey) -> Option<SocketAddr> {
        if let Some(via) = self.via.get() {
            return Some(*via);
        }
        let current = *self.current.borrow();
        if let Some(address) = current
            && !journey.has_tried(address)
            && !self.pool.way(address).is_avoided()
            && self.pool.standing(address).is_some()
        {
            return current;
        }
        let chosen = self.nearest(|address| journey.has_tried(address));
        self.current.send_replace(chosen);
        chosen
    }

    /// Weighs all mservers again and keeps the one chosen.
    pub(crate) fn settle(&self) {
        let chosen = self.nearest(|_| false);
        self.current.send_if_modified(|current| {
            let is_other = *current != chosen;
            *current = chosen;
            is_other
        });
    }

    fn nearest(&self, is_tried: impl Fn(SocketAddr) -> bool) -> Option<SocketAddr> {
        let topology = self.pool.topology();
        let candidates: Vec<_> = topology
            .mservers
            .iter()
            .map(|address| {
                let way = self.pool.way(*address);
                let is_avoided = way.is_avoided() || self.pool.is_down(*address);
                Candidate {
                    address: *address,
                    rtt: way.rtt,
                    is_avoided,
                    is_tried: is_tried(*address),
                }
            })
            .collect();
        nearest(*self.current.borrow(), &candidates, random())
    }
}
