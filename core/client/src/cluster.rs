//! The calls on the cluster: users and the servers' status.

use sdfs_server_group::UserKey;
use sdfs_types::calls::activity::{Activity, GetActivity};
use sdfs_types::calls::inspect::{Inspect, InspectAnswer, InspectAsk};
use sdfs_types::calls::maintenance::{Maintain, Maintenance, MaintenanceOrder};
use sdfs_types::calls::names::{DeleteUser, ListUsers, PutUser, Scrub, ScrubBegun, UserListed};
use sdfs_types::calls::servers::{ChangeServers, GetServers, ServerOrder};
use sdfs_types::calls::status::{GetStatus, ServerStatus};
use sdfs_types::{PathRight, ServerId, ServerList, ServerRecord};

use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Adds a user or changes one; without a key the present one stays.
    ///
    /// # Errors
    /// `Denied`, `NoSuchUser` for a new user without a key as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::{Client, ClientOptions, UserKey};
    /// use sdfs_types::{Access, FilePath, PathRight};
    ///
    /// client.mkdir("/ann").await?;
    /// let path = FilePath::parse("/ann")?;
    /// let rights = vec![PathRight { path, access: Access::Write }];
    /// let key = UserKey::of_secret("a long secret of ann alone");
    /// client.put_user("ann", Some(key.clone()), rights).await?;
    ///
    /// let options = ClientOptions::of_config(cluster.config().clone(), "ann", key)?;
    /// let ann = Client::connect(options).await?;
    /// ann.put("/ann/a", "hers", Default::default()).await?;
    /// assert!(ann.put("/a", "not hers", Default::default()).await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn put_user(
        &self,
        name: &str,
        key: Option<UserKey>,
        rights: Vec<PathRight>,
    ) -> Result<(), Error> {
        let call = PutUser {
            request: self.request(),
            name: name.into(),
            key: key.map(|key| key.0),
            rights,
        };
        self.ask(&call, Some(call.request)).await
    }

    /// Takes a user away.
    ///
    /// # Errors
    /// `Denied`, `NoSuchUser` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::UserKey;
    ///
    /// let key = UserKey::of_secret("a long secret of ann alone");
    /// client.put_user("ann", Some(key), Vec::new()).await?;
    /// client.delete_user("ann").await?;
    /// let users = client.list_users().await?;
    /// assert!(users.iter().all(|user| &*user.name != "ann"));
    /// # Ok(()) }
    /// ```
    pub async fn delete_user(&self, name: &str) -> Result<(), Error> {
        let call = DeleteUser {
            request: self.request(),
            name: name.into(),
        };
        self.ask(&call, Some(call.request)).await
    }

    /// Who the users are and what they may do.
    ///
    /// # Errors
    /// `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_client::UserKey;
    ///
    /// let key = UserKey::of_secret("a long secret of ann alone");
    /// client.put_user("ann", Some(key), Vec::new()).await?;
    /// let users = client.list_users().await?;
    /// assert!(users.iter().any(|user| &*user.name == "ann"));
    /// # Ok(()) }
    /// ```
    pub async fn list_users(&self) -> Result<Vec<UserListed>, Error> {
        self.ask(&ListUsers {}, None).await
    }

    /// Has every dserver read and verify all it keeps, now; how far they are is in their status.
    ///
    /// # Errors
    /// `Denied` as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// let begun = client.scrub().await?;
    /// assert!(begun.unreached.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn scrub(&self) -> Result<ScrubBegun, Error> {
        self.ask(&Scrub {}, None).await
    }

    /// Gives an order for the volumes' upkeep; the orders that stand then.
    ///
    /// # Errors
    /// `Denied`, `TooFewServers`, `OutOfRange` for a server that is no dserver, as
    /// [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_types::calls::maintenance::MaintenanceOrder;
    ///
    /// let orders = client.maintain(MaintenanceOrder::PauseHealing).await?;
    /// assert!(orders.healing_paused.is_some());
    /// let orders = client.maintain(MaintenanceOrder::StartHealing).await?;
    /// assert!(orders.healing_paused.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn maintain(&self, order: MaintenanceOrder) -> Result<Maintenance, Error> {
        self.ask(&Maintain { order }, None).await
    }

    /// Looks behind the names, or takes away what is nobody's.
    ///
    /// # Errors
    /// `Denied`, and whatever the servers asked refuse, as [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_types::FilePath;
    /// use sdfs_types::calls::inspect::{InspectAnswer, InspectAsk};
    ///
    /// client.mkdir("/d").await?;
    /// let path = FilePath::parse("/d")?;
    /// let InspectAnswer::Entry(Some(name)) = client.inspect(InspectAsk::Entry { path }).await?
    /// else {
    ///     panic!("the name is there");
    /// };
    /// assert_eq!(&*name.name, "d");
    /// # Ok(()) }
    /// ```
    pub async fn inspect(&self, ask: InspectAsk) -> Result<InspectAnswer, Error> {
        self.ask(&Inspect { ask }, None).await
    }

    /// Who belongs to the cluster, as the mserver that was asked knows it; empty when it does not
    /// know yet. The client knows them from then on.
    ///
    /// # Errors
    /// When no mserver answers in time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// for server in client.servers().await?.present() {
    ///     println!("{} at {}: {}", server.name, server.address, server.state);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn servers(&self) -> Result<ServerList, Error> {
        let told = self.ask(&GetServers { known_version: 0 }, None).await?;
        let list = told.list.unwrap_or_default();
        self.shared.learn_servers(&list);
        Ok(list)
    }

    /// Gives an order for the list of servers; the server's record as it is then.
    ///
    /// # Errors
    /// `Denied`, `ServerExists`, `NoSuchServer`, `ServerState`, `TooFewServers`, `OutOfRange` as
    /// [`Error::Refused`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use sdfs_types::Role;
    /// use sdfs_types::calls::servers::ServerOrder;
    ///
    /// let join = ServerOrder::Join {
    ///     name: "dserver-9".into(),
    ///     role: Role::Dserver,
    ///     address: "127.0.0.1:7299".parse()?,
    ///     zone: "a".to_owned(),
    /// };
    /// let record = client.change_servers(join).await?;
    /// println!("it is {}; start it with the number {}", record.state, record.id);
    /// # Ok(()) }
    /// ```
    pub async fn change_servers(&self, order: ServerOrder) -> Result<ServerRecord, Error> {
        self.ask(&ChangeServers { order }, None).await
    }

    /// How a server is, in its own words; no other server is asked in its place.
    ///
    /// # Errors
    /// [`Error::UnknownServer`], [`Error::Unreachable`], [`Error::Deadline`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// let status = client.status("dserver-1").await?;
    /// assert_eq!(status.name, "dserver-1");
    /// assert!(status.spaces.iter().all(|space| space.failed.is_none()));
    /// # Ok(()) }
    /// ```
    pub async fn status(&self, server: &str) -> Result<ServerStatus, Error> {
        let topology = self.shared.pool.topology();
        match topology.named(server) {
            Some(place) => self.ask_at(place.address, &GetStatus {}).await,
            None => Err(Error::UnknownServer {
                name: server.into(),
            }),
        }
    }

    /// What a server has been doing; no other server is asked in its place.
    ///
    /// # Errors
    /// As [`Client::status`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// let activity = client.activity("mserver-1").await?;
    /// println!("{} bytes came in from {} clients", activity.bytes_in, activity.clients);
    /// # Ok(()) }
    /// ```
    pub async fn activity(&self, server: &str) -> Result<Activity, Error> {
        let topology = self.shared.pool.topology();
        match topology.named(server) {
            Some(place) => self.ask_at(place.address, &GetActivity {}).await,
            None => Err(Error::UnknownServer {
                name: server.into(),
            }),
        }
    }

    /// How the mserver is that this client talks to.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Deadline`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// let status = client.own_status().await?;
    /// println!("{} answers, {} other servers are known", status.name, status.peers.len());
    /// # Ok(()) }
    /// ```
    pub async fn own_status(&self) -> Result<ServerStatus, Error> {
        self.ask(&GetStatus {}, None).await
    }

    /// The name of a server this client knows.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// let status = client.own_status().await?;
    /// assert_eq!(client.server_name(status.server), Some(status.name));
    /// # Ok(()) }
    /// ```
    pub fn server_name(&self, server: ServerId) -> Option<String> {
        self.shared
            .pool
            .topology()
            .place(server)
            .map(|place| place.name.to_string())
    }
}
