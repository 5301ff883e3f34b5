//! Changing names: deletion, renaming, directories, quotas, users.

use std::sync::Arc;

use sdfs_server_group::{Deadline, Role};
use sdfs_types::calls::names::{
    DeleteFile, DeleteUser, FileDeleted, MakeDirectory, PutUser, Quota, Rename, ScrubBegun,
    SetQuota, UserListed,
};
use sdfs_types::calls::status::BeginScrub;
use sdfs_types::calls::trash::DeleteNow;
use sdfs_types::{Access, CLUSTER_USER, FileMetaMetaData, FilePath, Refusal, UserName, clock};

use crate::core::{Core, unknown};
use crate::root::{RootAnswer, RootCommand};
use crate::trash::trashing;

/// Answers `DeleteFile`.
pub(crate) async fn delete(
    core: Arc<Core>,
    call: DeleteFile,
    user: UserName,
    deadline: Deadline,
) -> Result<FileDeleted, Refusal> {
    let core = &core;
    core.check_right(&user, Access::Write, &call.path, deadline)
        .await?;
    let now_ms = clock::now_ms();
    let command = RootCommand::Delete {
        request: call.request,
        path: call.path,
        recursive: call.recursive,
        now_ms,
    };
    propose_delete(core, trashing(core, command, &user, now_ms), deadline).await
}

/// Answers `DeleteNow`.
pub(crate) async fn delete_now(
    core: Arc<Core>,
    call: DeleteNow,
    user: UserName,
    deadline: Deadline,
) -> Result<FileDeleted, Refusal> {
    let core = &core;
    core.check_right(&user, Access::Write, &call.path, deadline)
        .await?;
    let command = RootCommand::Delete {
        request: call.request,
        path: call.path,
        recursive: call.recursive,
        now_ms: clock::now_ms(),
    };
    propose_delete(core, command, deadline).await
}

async fn propose_delete(
    core: &Core,
    command: RootCommand,
    deadline: Deadline,
) -> Result<FileDeleted, Refusal> {
    match core.propose_root(command, deadline).await? {
        RootAnswer::Deleted { descriptor } => Ok(FileDeleted { descriptor }),
        _ => Err(other_answer()),
    }
}

/// Answers `Rename`.
pub(crate) async fn rename(
    core: Arc<Core>,
    call: Rename,
    user: UserName,
    deadline: Deadline,
) -> Result<FileMetaMetaData, Refusal> {
    let core = &core;
    core.check_right(&user, Access::Write, &call.from, deadline)
        .await?;
    core.check_right(&user, Access::Write, &call.to, deadline)
        .await?;
    let Rename {
        request,
        from,
        to,
        replace,
    } = call;
    let mut command = RootCommand::Rename {
        request,
        from,
        to,
        replace,
    };
    if replace {
        command = trashing(core, command, &user, clock::now_ms());
    }
    name_of(core.propose_root(command, deadline).await?)
}

/// Answers `MakeDirectory`.
pub(crate) async fn make_directory(
    core: Arc<Core>,
    call: MakeDirectory,
    user: UserName,
    deadline: Deadline,
) -> Result<FileMetaMetaData, Refusal> {
    let core = &core;
    core.check_right(&user, Access::Write, &call.path, deadline)
        .await?;
    let command = RootCommand::MakeDirectory {
        request: call.request,
        path: call.path,
        parents: call.parents,
        owner: user,
        now_ms: clock::now_ms(),
    };
    name_of(core.propose_root(command, deadline).await?)
}

/// Answers `SetQuota`.
pub(crate) async fn set_quota(
    core: Arc<Core>,
    call: SetQuota,
    user: UserName,
    deadline: Deadline,
) -> Result<Quota, Refusal> {
    let core = &core;
    core.check_right(&user, Access::Admin, &call.path, deadline)
        .await?;
    let SetQuota {
        path,
        files_max,
        bytes_max,
        ..
    } = call;
    match core
        .propose_root(
            RootCommand::SetQuota {
                path,
                files_max,
                bytes_max,
            },
            deadline,
        )
        .await?
    {
        RootAnswer::Quota(quota) => Ok(quota),
        _ => Err(other_answer()),
    }
}

/// Refuses whoever is no administrator of the whole.
fn check_admin(core: &Core, user: &UserName) -> Result<(), Refusal> {
    core.root
        .users()
        .check(user, Access::Admin, &FilePath::root())
}

/// Answers `PutUser`. Repeating it sets the same again, so it needs no memory of requests.
pub(crate) async fn put_user(
    core: Arc<Core>,
    call: PutUser,
    user: UserName,
    deadline: Deadline,
) -> Result<(), Refusal> {
    let core = &core;
    check_admin(core, &user)?;
    let PutUser {
        name, key, rights, ..
    } = call;
    if &*name == CLUSTER_USER {
        return Err(Refusal::OutOfRange {
            what: "the user's name".to_owned(),
            value: name.to_string(),
            allowed: "any other: that is who comes with the cluster's secret".to_owned(),
        });
    }
    core.propose_root(RootCommand::PutUser { name, key, rights }, deadline)
        .await?;
    Ok(())
}

/// Answers `DeleteUser`.
pub(crate) async fn delete_user(
    core: Arc<Core>,
    call: DeleteUser,
    user: UserName,
    deadline: Deadline,
) -> Result<(), Refusal> {
    let core = &core;
    check_admin(core, &user)?;
    let DeleteUser { request, name } = call;
    core.propose_root(RootCommand::DeleteUser { request, name }, deadline)
        .await?;
    Ok(())
}

/// Answers `ListUsers`.
pub(crate) async fn list_users(
    core: &Arc<Core>,
    user: UserName,
    deadline: Deadline,
) -> Result<Vec<UserListed>, Refusal> {
    core.root_barrier(deadline).await?;
    check_admin(core, &user)?;
    let all = core.root.users().all();
    let listed = |user: &Arc<sdfs_types::User>| UserListed {
        name: Arc::clone(&user.name),
        rights: user.rights.clone(),
    };
    Ok(all.iter().map(listed).collect())
}

/// Has every dserver read and verify all it keeps.
pub(crate) async fn scrub(
    core: &Arc<Core>,
    user: UserName,
    deadline: Deadline,
) -> Result<ScrubBegun, Refusal> {
    core.root_barrier(deadline).await?;
    check_admin(core, &user)?;
    let dservers = core.mesh.all(Role::Dserver);
    let told = dservers.into_iter().map(|server| async move {
        let begun = core.ask(server, &BeginScrub {}, deadline).await;
        (server, begun.is_ok())
    });
    let mut answer = ScrubBegun::default();
    for (server, has_begun) in futures::future::join_all(told).await {
        match has_begun {
            true => answer.begun.push(server),
            false => answer.unreached.push(server),
        }
    }
    Ok(answer)
}

pub(crate) fn name_of(answer: RootAnswer) -> Result<FileMetaMetaData, Refusal> {
    match answer {
        RootAnswer::Name(name) => Ok(name),
        _ => Err(other_answer()),
    }
}

pub(crate) fn other_answer() -> Refusal {
    unknown("the command was answered with something else")
}
