//! A change that is asked for twice, under one request id and at two mservers: as a client does
//! that has lost the answer, and one that has not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sdfs_client::{Config, RequestId};
use sdfs_server_group::{
    ClientCredentials, Deadline, Link, Payload, Role, ServerConfig, UserKey, connect_client,
};
use sdfs_types::calls::Call;
use sdfs_types::calls::names::{CreateFile, DeleteFile, FileCreated, FileOptions, Rename};
use sdfs_types::{FileDescriptor, FilePath, Refusal, wire};
use tokio::time::sleep;

use crate::history::Outcome;
use crate::network::Network;
use crate::random::Random;
use crate::stream::SimTransport;

/// How long a mserver may take to answer.
const ANSWER_MS: u64 = 5_000;
/// Between an answer and the repetition, at most: others change the name meanwhile.
const PAUSE_MS_MAX: u64 = 2_000;

/// What a mserver answered, with the file; `None` when it did not.
pub(crate) type Answer = Option<Result<FileDescriptor, Refusal>>;

/// A change that was asked for twice.
#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    /// Which.
    pub(crate) what: String,
    /// The answers, in order.
    pub(crate) answers: [Answer; 2],
}

impl Repeat {
    /// What became of the change, as far as a client can know.
    #[must_use]
    pub(crate) fn outcome(&self) -> Outcome {
        let mut answers = self.answers.iter().flatten();
        if let Some(file) = answers.find_map(|answer| answer.as_ref().ok()) {
            return Outcome::Done(Some(*file));
        }
        match &self.answers {
            [
                Some(Err(Refusal::NotFound { .. })),
                Some(Err(Refusal::NotFound { .. })),
            ] => Outcome::Absent,
            [
                Some(Err(Refusal::Exists { .. })),
                Some(Err(Refusal::Exists { .. })),
            ] => Outcome::Present,
            _ => Outcome::Unknown(format!("{:?}", self.answers)),
        }
    }

    /// Whether both mservers answered.
    #[must_use]
    pub(crate) fn is_answered(&self) -> bool {
        self.answers.iter().all(Option::is_some)
    }
}

/// Whoever repeats.
#[derive(Clone)]
pub(crate) struct Repeater {
    pub(crate) network: Network,
    pub(crate) host: IpAddr,
    pub(crate) config: Arc<Config>,
}

impl Repeater {
    /// Links to two mservers, if both take them.
    pub(crate) async fn links(&self, random: &mut Random) -> Option<[Link; 2]> {
        let mservers: Vec<_> = self.config.servers_of(Role::Mserver).collect();
        let count = mservers.len() as u64;
        let one = random.within(0..count);
        let other = (one + random.within(1..count)) % count;
        let (one, other) = (mservers[one as usize], mservers[other as usize]);
        Some([self.link(one).await?, self.link(other).await?])
    }

    async fn link(&self, server: &ServerConfig) -> Option<Link> {
        let transport = SimTransport {
            network: self.network.clone(),
            host: self.host,
        };
        let user = ClientCredentials::User {
            name: self.config.admin.name.as_str().into(),
            key: UserKey::of_secret("the secret of its administrator"),
        };
        let deadline = Deadline::after_ms(ANSWER_MS);
        let linked = connect_client(&transport, server.address, &user, deadline).await;
        linked.ok().map(|linked| linked.link)
    }
}

/// Makes a file without content, twice.
pub(crate) async fn create_twice(
    links: &[Link; 2],
    (request, path): (RequestId, FilePath),
    random: &mut Random,
) -> Repeat {
    let what = format!("create {path}");
    let call = CreateFile {
        request,
        path,
        size_bytes: 0,
        options: FileOptions::default(),
        explain: false,
    };
    let answers = twice(links, &call, random).await;
    let answers = answers
        .map(|answer| answer.map(|made| made.map(|made: FileCreated| made.open.file.descriptor)));
    Repeat { what, answers }
}

/// Deletes a file, twice.
pub(crate) async fn delete_twice(
    links: &[Link; 2],
    (request, path): (RequestId, FilePath),
    random: &mut Random,
) -> Repeat {
    let what = format!("delete {path}");
    let call = DeleteFile {
        request,
        path,
        recursive: false,
    };
    let answers = twice(links, &call, random).await;
    let answers = answers.map(|answer| answer.map(|gone| gone.map(|gone| gone.descriptor)));
    Repeat { what, answers }
}

/// Gives a file another name that must be free, twice.
pub(crate) async fn rename_twice(
    links: &[Link; 2],
    request: RequestId,
    (from, to): (FilePath, FilePath),
    random: &mut Random,
) -> Repeat {
    let what = format!("rename {from} to {to}");
    let call = Rename {
        request,
        from,
        to,
        replace: false,
    };
    let answers = twice(links, &call, random).await;
    let answers = answers.map(|answer| answer.map(|named| named.map(|named| named.descriptor)));
    Repeat { what, answers }
}

async fn twice<C: Call>(
    links: &[Link; 2],
    call: &C,
    random: &mut Random,
) -> [Option<Result<C::Reply, Refusal>>; 2] {
    let first = ask(&links[0], call).await;
    let pause_ms = random.within(0..PAUSE_MS_MAX);
    sleep(Duration::from_millis(pause_ms)).await;
    [first, ask(&links[1], call).await]
}

async fn ask<C: Call>(link: &Link, call: &C) -> Option<Result<C::Reply, Refusal>> {
    let head = wire::encode(call);
    let deadline = Deadline::after_ms(ANSWER_MS);
    let reply = link.call(
        C::KIND.to_wire(),
        head,
        Payload::from(Bytes::new()),
        deadline,
    );
    wire::decode_answer::<C::Reply>(&reply.await.ok()?.head).ok()
}
