//! The end of a run: everything is read, compared and looked for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sdfs_client::{Client, Error};
use sdfs_server_group::Role;
use tokio::time::sleep;

use crate::clients::{Actor, EMPTY_NAMES};
use crate::cluster::client_ip;
use crate::copies::Copies;
use crate::host::Host;
use crate::intruder::intrude;
use crate::leaks::Search;
use crate::pages::{BLOCKS, PAGES};
use crate::properties::{self, Found, Violation};
use crate::replicas::{self, Compared};
use crate::simulation::{HEAL_MAX, STEP, Simulation};

/// How long members of a group may take to be as far as each other, when nobody changes anything.
const LEVEL_MAX: Duration = Duration::from_secs(60);
/// How long it may take to read everything and to ask every member what it keeps.
const LOOK_MAX: Duration = Duration::from_secs(240);

impl Simulation {
    /// Has every dserver read what it keeps, and waits until what is damaged is repaired.
    pub(crate) fn scrub(&mut self) -> io::Result<()> {
        let host = Host::new("operator", client_ip(self.setting.clients + 1))?;
        self.serve(host, async move |client| {
            while client
                .scrub()
                .await
                .map_or(true, |begun| !begun.unreached.is_empty())
            {
                sleep(STEP).await;
            }
        });
        self.run_while(HEAL_MAX, |run| {
            !properties::rot_is_repaired(&run.cluster).is_empty()
        })?;
        Ok(())
    }

    /// Compares what the members of each group have made of its log.
    pub(crate) fn compare_replicas(&mut self) -> io::Result<Vec<Violation>> {
        self.run_while(LEVEL_MAX, |run| {
            matches!(replicas::compare(&run.cluster), Compared::Apart(_))
        })?;
        Ok(properties::replicas_agree(&self.cluster))
    }

    /// Looks at the copies of all files there may be.
    pub(crate) fn look_at_copies(&mut self) -> io::Result<Vec<Copies>> {
        let Some(looker) = self.looker() else {
            return Ok(Vec::new());
        };
        let host = Host::new("looker", client_ip(self.setting.clients + 3))?;
        let found: Rc<RefCell<Option<Vec<Copies>>>> = Rc::default();
        let (names, told) = (self.history.names(), Rc::clone(&found));
        self.serve(host, async move |client| {
            let copies = looker.look_at_all(&client, &names).await;
            *told.borrow_mut() = Some(copies);
        });
        self.run_while(LOOK_MAX, |_| found.borrow().is_none())?;
        Ok(found.take().unwrap_or_default())
    }

    /// Reads every name twice and lists them, looks at the copies of what is found and for what is
    /// left over, and tries what nobody may.
    pub(crate) fn look(&mut self, at_heal: Vec<Copies>) -> io::Result<Option<Found>> {
        let Some(looker) = self.looker() else {
            return Ok(None);
        };
        let (host, actor) = self.client("checker", self.setting.clients)?;
        let found: Rc<RefCell<Option<Found>>> = Rc::default();
        let (ip, names, told) = (host.ip, self.history.names(), Rc::clone(&found));
        let search = Search {
            looker: looker.clone(),
            mservers: self.cluster.slots(Role::Mserver),
            dservers: self.cluster.slots(Role::Dserver),
            clean: self.history.clean_files(),
        };
        let (config, network) = (Arc::clone(&self.config), self.cluster.network.clone());
        let trace = self.trace.clone();
        self.serve(host, async move |client| {
            for name in names.iter().chain(&names) {
                read(&actor, &client, name).await;
                sleep(STEP).await;
            }
            let listed = list(&client).await.map_err(|error| error.to_string());
            let after_scrub = looker.look_at_all(&client, &names).await;
            let intrusions = intrude((&network, ip), &config, (&client, &names)).await;
            // Which files have names is looked up on a thread of its own, whose time is not the
            // run's.
            trace.end();
            let leaks = search.leaks(&client).await;
            *told.borrow_mut() = Some(Found {
                listed,
                at_heal,
                after_scrub,
                intrusions,
                leaks,
            });
        });
        self.run_while(LOOK_MAX, |_| found.borrow().is_none())?;
        Ok(found.take())
    }
}

async fn read(actor: &Actor, client: &Client, name: &str) {
    if PAGES.contains(&name) {
        for block in 0..BLOCKS {
            actor.read_block(client, name, block).await;
        }
    } else if EMPTY_NAMES.contains(&name) {
        actor.look(client, name).await;
    } else {
        actor.get(client, name).await;
    }
}

/// All names there are.
async fn list(client: &Client) -> Result<BTreeSet<String>, Error> {
    let entries = client.list("/").map_ok(|entry| format!("/{}", entry.name));
    entries.try_collect().await
}
