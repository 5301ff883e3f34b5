//! A cluster that has healed takes changes: each client has a put, a rename and a delete done.

use super::{Judged, Violation};
use crate::clients::proof_names;

/// What each client has done then; a rename is one of each of its names.
const CHANGES: usize = 4;

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let clients = 0..judged.clients;
    clients
        .filter_map(|client| {
            let (first, last) = proof_names(client);
            let history = judged.history.iter();
            let of_proof = history.filter(|o| o.name == first || o.name == last);
            let of_proof: Vec<_> = of_proof.collect();
            let done = of_proof.iter().filter(|o| o.is_done()).count();
            let ends: Vec<_> = of_proof.iter().map(|o| (o.what, &o.end)).collect();
            let what = format!("client {client}: {ends:?}");
            (done != CHANGES).then(|| Violation::new("writes go on", what))
        })
        .collect()
}
