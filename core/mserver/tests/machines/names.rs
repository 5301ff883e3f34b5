//! The root group's machine: names, tombstones, quotas, users, by tables.

use crate::driver::{Names, descriptor_of, locate, name_of, path};
use sdfs_mserver::root::{Begun, Decide, RootAnswer, RootCommand};
use sdfs_types::{
    Access, FileDescriptor, FileId, FileVersion, PathRight, Refusal, RequestId, ServerId,
};

#[test]
fn recreated_name_has_next_version() {
    let mut names = Names::new();
    let first = descriptor_of(names.create("/a"));
    assert_eq!(first.version, FileVersion(1));
    names.delete("/a", false).unwrap();
    let second = descriptor_of(names.create("/a"));
    assert_eq!(Some(second), first.next_life());
    let mut names = names.reopened();
    names.delete("/a", false).unwrap();
    assert_eq!(Some(descriptor_of(names.create("/a"))), second.next_life());
    assert_ne!(descriptor_of(names.create("/b")).id, first.id);
}

#[test]
fn second_creator_gets_the_winner() {
    let mut names = Names::new();
    let winner = descriptor_of(names.create("/a"));
    let refused = names.create("/a");
    assert_eq!(
        refused,
        Err(Refusal::Exists {
            path: path("/a"),
            descriptor: winner
        })
    );
}

#[test]
fn repetition_gets_the_first_outcome() {
    let mut names = Names::new();
    let decide = RootCommand::Decide(Box::new(names.decide("/a")));
    let first = names.run(decide.clone());
    names.delete("/a", false).unwrap();
    let mut names = names.reopened();
    assert_eq!(names.run(decide), first);
    assert!(names.stat("/a").is_err(), "the repetition created nothing");
    let mkdir = RootCommand::MakeDirectory {
        request: names.fresh_request(),
        path: path("/d"),
        parents: false,
        owner: "ann".into(),
        now_ms: 1,
    };
    let made = names.run(mkdir.clone());
    assert!(made.is_ok());
    assert_eq!(names.run(mkdir), made);
}

#[test]
fn names_need_a_directory() {
    let mut names = Names::new();
    assert_eq!(
        names.create("/d/a"),
        Err(Refusal::NotFound { path: path("/d") })
    );
    let mut decide = names.decide("/x/y/a");
    decide.make_parents = true;
    let made = names.run(RootCommand::Decide(Box::new(decide)));
    assert_eq!(&*name_of(made).name, "a");
    assert_eq!(names.list("/x"), ["y"]);
    assert_eq!(
        names.create("/x/y/a/b"),
        Err(Refusal::NotDirectory {
            path: path("/x/y/a")
        })
    );
    assert_eq!(
        names.create("/x/y"),
        Err(Refusal::IsDirectory { path: path("/x/y") })
    );
    assert_eq!(
        names.mkdir("/x/y/a/b"),
        Err(Refusal::NotDirectory {
            path: path("/x/y/a")
        })
    );
}

#[test]
fn any_script_is_a_name() {
    let mut names = Names::new();
    let longest = format!("/{}", "名".repeat(85));
    assert_eq!(&*name_of(names.create("/文件")).name, "文件");
    assert!(names.create(&longest).is_ok());
    assert!(names.stat(&longest).is_ok());
}

#[test]
fn directory_must_be_empty() {
    let mut names = Names::new();
    names.mkdir("/d").unwrap();
    names.create("/d/a").unwrap();
    assert_eq!(
        names.delete("/d", false),
        Err(Refusal::NotEmpty { path: path("/d") })
    );
    names.delete("/d/a", false).unwrap();
    assert!(names.delete("/d", false).is_ok());
    assert!(names.delete("/", true).is_err());
}

#[test]
fn subtree_is_gone_at_once() {
    let mut names = Names::new();
    names.mkdir("/d").unwrap();
    names.mkdir("/d/e").unwrap();
    let files: Vec<FileDescriptor> = (0..40)
        .map(|file| descriptor_of(names.create(&format!("/d/{}{file}", ["", "e/"][file % 2]))))
        .collect();
    let before = names.stat("/d").unwrap().descriptor;
    names.delete("/d", true).unwrap();
    assert!(names.stat("/d/e/1").is_err());
    names.mkdir("/d").unwrap();
    assert_eq!(
        Some(names.stat("/d").unwrap().descriptor),
        before.next_life()
    );
    assert_eq!(names.list("/d"), Vec::<String>::new());
    let mut steps = 0;
    while names.run(RootCommand::Sweep { entries_max: 7 }) == Ok(RootAnswer::Swept { more: true }) {
        steps += 1;
        assert!(steps < 100, "sweeping ends");
    }
    assert!(steps >= 40 / 7, "in bounded steps");
    let removed = names.removals();
    let mut files = files;
    files.sort_unstable();
    assert_eq!(removed, files);
    assert!(!names.view.has_unlinked().unwrap());
}

#[test]
fn directory_rename_takes_all_along() {
    let mut names = Names::new();
    names.mkdir("/d").unwrap();
    names.mkdir("/d/e").unwrap();
    let file = descriptor_of(names.create("/d/e/a"));
    names.mkdir("/x").unwrap();
    names.rename("/d", "/x/moved", false).unwrap();
    assert_eq!(names.stat("/x/moved/e/a").unwrap().descriptor, file);
    assert!(names.stat("/d").is_err());
    assert_eq!(
        names.rename("/x", "/x/moved/e/x", false),
        Err(Refusal::IntoItself { path: path("/x") })
    );
}

#[test]
fn rename_replaces_only_when_asked() {
    let mut names = Names::new();
    let moved = descriptor_of(names.create("/a"));
    let replaced = descriptor_of(names.create("/b"));
    assert_eq!(
        names.rename("/a", "/b", false),
        Err(Refusal::Exists {
            path: path("/b"),
            descriptor: replaced
        })
    );
    names.rename("/a", "/b", true).unwrap();
    assert_eq!(names.stat("/b").unwrap().descriptor, moved);
    assert_eq!(names.removals(), [replaced]);
    // The id moved along: the former name starts anew, so no descriptor is given out twice.
    assert_ne!(descriptor_of(names.create("/a")).id, moved.id);
    names.mkdir("/d").unwrap();
    assert_eq!(
        names.rename("/b", "/d", true),
        Err(Refusal::IsDirectory { path: path("/d") })
    );
    assert_eq!(
        names.rename("/d", "/b", true),
        Err(Refusal::NotDirectory { path: path("/b") })
    );
}

#[test]
fn no_stamp_is_leased_twice() {
    let mut names = Names::new();
    let lease = |names: &mut Names, server, wanted_s| {
        let server = ServerId(server);
        match names.run(RootCommand::LeaseStamps { server, wanted_s }) {
            Ok(RootAnswer::StampsLeased { from_s, until_s }) => (from_s, until_s),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lease(&mut names, 4, 1_000), (1_000, 1_020));
    assert_eq!(
        lease(&mut names, 5, 1_000),
        (1_000, 1_020),
        "each has its own"
    );
    assert_eq!(lease(&mut names, 4, 1_005), (1_020, 1_040));
    let mut names = names.reopened();
    assert_eq!(lease(&mut names, 4, 7), (1_040, 1_060), "a clock set back");
    assert_eq!(lease(&mut names, 4, 5_000), (5_000, 5_020));
    let server = ServerId(4);
    let wanted_s = u32::MAX - 19;
    let last = names.run(RootCommand::LeaseStamps { server, wanted_s });
    assert!(matches!(last, Err(Refusal::OutOfRange { .. })), "{last:?}");
}

#[test]
fn each_put_has_a_descriptor_of_its_own() {
    let mut names = Names::new();
    let lease = names.run(RootCommand::LeaseFileIds { count: 10 });
    let Ok(RootAnswer::Leased { first, .. }) = lease else {
        panic!("{lease:?}")
    };
    let leased = FileDescriptor {
        id: first,
        version: FileVersion(1),
    };
    let mut put = names.decide("/a");
    put.begun = Begun::Blocks(leased);
    let command = RootCommand::Decide(Box::new(put.clone()));
    assert_eq!(descriptor_of(names.run(command.clone())), leased);
    assert_eq!(descriptor_of(names.run(command)), leased);

    // Another put of the name has a descriptor of its own.
    let mut other = names.decide("/a");
    other.replace = true;
    let own = FileDescriptor {
        id: FileId(first.0 + 1),
        version: FileVersion(2),
    };
    other.begun = Begun::Blocks(own);
    let answer = names.run(RootCommand::Decide(Box::new(other)));
    assert_eq!(descriptor_of(answer), own);
    assert_eq!(names.removals(), [leased]);
    // And the name goes on from there.
    names.delete("/a", false).unwrap();
    assert_eq!(Some(descriptor_of(names.create("/a"))), own.next_life());
}

#[test]
fn put_under_an_unleased_id_is_refused() {
    let mut names = Names::new();
    let mut put = names.decide("/a");
    put.begun = Begun::Blocks(FileDescriptor {
        id: FileId(77),
        version: FileVersion(1),
    });
    let answer = names.run(RootCommand::Decide(Box::new(put)));
    assert_eq!(answer, Err(Refusal::NotGranted));
    assert!(names.stat("/a").is_err());
}

#[test]
fn refused_put_gives_its_blocks_up() {
    let mut names = Names::new();
    names.run(RootCommand::LeaseFileIds { count: 10 }).unwrap();
    let winner = descriptor_of(names.create("/a"));
    let mut put = names.decide("/a");
    let written = FileDescriptor {
        id: FileId(3),
        version: FileVersion(1),
    };
    put.begun = Begun::Blocks(written);
    let command = RootCommand::Decide(Box::new(put));
    let refused = Err(Refusal::Exists {
        path: path("/a"),
        descriptor: winner,
    });
    assert_eq!(names.run(command.clone()), refused);
    assert_eq!(names.removals(), [written]);
    // Its blocks are gone, so it must not succeed later.
    names.delete("/a", false).unwrap();
    assert_eq!(names.run(command), refused);
}

#[test]
fn withdrawn_create_may_be_repeated() {
    let mut names = Names::new();
    let decide = names.decide("/a");
    let command = RootCommand::Decide(Box::new(decide.clone()));
    let first = descriptor_of(names.run(command.clone()));
    names
        .run(RootCommand::Withdraw {
            request: decide.request,
            path: path("/a"),
            descriptor: first,
            now_ms: 1,
        })
        .unwrap();
    assert!(names.stat("/a").is_err());
    let mut names = names.reopened();
    assert_eq!(Some(descriptor_of(names.run(command))), first.next_life());
}

/// The first attempt reaches a mserver when the client was long refused at another one, and
/// somebody else has made the file.
#[test]
fn a_refused_change_that_comes_again_stays_refused() {
    let mut names = Names::new();
    names.create("/from").unwrap();
    let request = |sequence| RequestId {
        client: 77,
        sequence,
    };
    let changes = [
        RootCommand::Delete {
            request: request(1),
            path: path("/a"),
            recursive: false,
            now_ms: 1,
        },
        RootCommand::Rename {
            request: request(2),
            from: path("/a"),
            to: path("/b"),
            replace: false,
        },
    ];
    let refused = Err(Refusal::NotFound { path: path("/a") });
    for change in &changes {
        assert_eq!(names.run(change.clone()), refused);
    }
    names.create("/a").unwrap();
    let mut names = names.reopened();
    for change in &changes {
        assert_eq!(names.run(change.clone()), refused);
    }
    assert!(names.stat("/a").is_ok());
}

/// The same of a create: somebody else has deleted the file that had the name.
#[test]
fn a_refused_create_that_comes_again_stays_refused() {
    let mut names = Names::new();
    let descriptor = descriptor_of(names.create("/a"));
    let create = RootCommand::Decide(Box::new(names.decide("/a")));
    let path = path("/a");
    let refused = Err(Refusal::Exists { path, descriptor });
    assert_eq!(names.run(create.clone()), refused);
    names.delete("/a", false).unwrap();
    let mut names = names.reopened();
    assert_eq!(names.run(create), refused);
    assert!(names.stat("/a").is_err());
}

/// A create that found the name taken asks for its refusal alone: no dserver has accepted its file.
#[test]
fn a_name_that_has_become_free_is_not_decided_in_passing() {
    let mut names = Names::new();
    let mut decide = names.decide("/a");
    decide.begun = Begun::Refused;
    let create = RootCommand::Decide(Box::new(decide.clone()));
    assert!(matches!(
        names.run(create.clone()),
        Err(Refusal::Busy { .. })
    ));
    assert!(names.stat("/a").is_err());
    // Which is no outcome: it is tried again.
    decide.begun = Begun::Nothing;
    assert!(names.run(RootCommand::Decide(Box::new(decide))).is_ok());
    assert!(names.run(create).is_ok());
}

#[test]
fn removed_files_leave_the_list() {
    let mut names = Names::new();
    let gone = descriptor_of(names.create("/a"));
    names.delete("/a", false).unwrap();
    assert_eq!(names.removals(), [gone]);
    let listed = names.view.removals(locate().group, None, 10).unwrap();
    let removed = RootCommand::Removed {
        group: locate().group,
        sequences: vec![listed[0].0],
    };
    names.run(removed).unwrap();
    assert_eq!(names.removals(), []);
}

#[test]
fn quota_counts_up_the_directories() {
    let mut names = Names::new();
    names.mkdir("/d").unwrap();
    names.mkdir("/d/e").unwrap();
    names.create("/d/e/0").unwrap();
    let set = |files_max, bytes_max| RootCommand::SetQuota {
        path: path("/d"),
        files_max,
        bytes_max,
    };
    let Ok(RootAnswer::Quota(quota)) = names.run(set(Some(2), Some(1_000))) else {
        panic!()
    };
    assert_eq!((quota.files_used, quota.bytes_used), (1, 10));
    names.create("/d/e/1").unwrap();
    let refused = names.create("/d/e/2");
    assert!(
        matches!(
            &refused,
            Err(Refusal::Quota { path: at, used: 2, limit: 2, .. }) if *at == path("/d")
        ),
        "{refused:?}"
    );
    names.create("/x").unwrap();
    assert!(names.rename("/x", "/d/x", false).is_err());
    assert!(names.stat("/x").is_ok());
    names.rename("/d/e/0", "/d/0", false).unwrap();
    names.delete("/d/0", false).unwrap();
    names.rename("/x", "/d/x", false).unwrap();
    let mut names = names.reopened();
    let directory = names.stat("/d").unwrap().descriptor;
    assert_eq!(
        names.view.quota(directory).map(|quota| quota.files_used),
        Some(2)
    );
    names.run(set(None, None)).unwrap();
    assert_eq!(names.view.quota(directory), None);
}

#[test]
fn swept_files_are_given_back_to_the_quota() {
    let mut names = Names::new();
    names.mkdir("/d").unwrap();
    names.mkdir("/d/e").unwrap();
    for file in 0..5 {
        names.create(&format!("/d/e/{file}")).unwrap();
    }
    let set = RootCommand::SetQuota {
        path: path("/d"),
        files_max: Some(5),
        bytes_max: None,
    };
    names.run(set).unwrap();
    names.delete("/d/e", true).unwrap();
    while names.run(RootCommand::Sweep { entries_max: 2 }) == Ok(RootAnswer::Swept { more: true }) {
    }
    let directory = names.stat("/d").unwrap().descriptor;
    let quota = names.view.quota(directory).unwrap();
    assert_eq!((quota.files_used, quota.bytes_used), (0, 0));
}

#[test]
fn expanding_counts_against_the_quota() {
    let mut names = Names::new();
    names.mkdir("/d").unwrap();
    let file = descriptor_of(names.create("/d/a"));
    let set = RootCommand::SetQuota {
        path: path("/d"),
        files_max: None,
        bytes_max: Some(100),
    };
    names.run(set).unwrap();
    let grow = |size_bytes| RootCommand::Redeclare {
        path: path("/d/a"),
        descriptor: file,
        size_bytes,
    };
    assert!(names.run(grow(100)).is_ok());
    assert!(matches!(
        names.run(grow(101)),
        Err(Refusal::Quota {
            used: 100,
            limit: 100,
            ..
        })
    ));
}

#[test]
fn first_admin_is_founded_once() {
    let mut names = Names::new();
    let found = |name: &str| RootCommand::FoundAdmin {
        name: name.into(),
        key: [1; 32],
    };
    names.run(found("admin")).unwrap();
    names.run(found("other")).unwrap();
    let users = names.view.users();
    assert!(users.check("admin", Access::Admin, &path("/x")).is_ok());
    assert!(users.get("other").is_none());
}

#[test]
fn rights_hold_below_their_path() {
    let mut names = Names::new();
    let rights = vec![PathRight {
        path: path("/home/bob"),
        access: Access::Write,
    }];
    let put = |key| RootCommand::PutUser {
        name: "bob".into(),
        key,
        rights: rights.clone(),
    };
    assert_eq!(
        names.run(put(None)),
        Err(Refusal::NoSuchUser {
            name: "bob".to_owned()
        })
    );
    names.run(put(Some([2; 32]))).unwrap();
    names.run(put(None)).unwrap();
    let mut names = names.reopened();
    let users = names.view.users().clone();
    assert!(
        users
            .check("bob", Access::Write, &path("/home/bob/a"))
            .is_ok()
    );
    assert!(
        users
            .check("bob", Access::Admin, &path("/home/bob/a"))
            .is_err()
    );
    assert!(
        users
            .check("bob", Access::Read, &path("/home/bobby"))
            .is_err()
    );
    let request = names.fresh_request();
    let delete = RootCommand::DeleteUser {
        request,
        name: "bob".into(),
    };
    assert_eq!(names.run(delete.clone()), Ok(RootAnswer::Done));
    assert_eq!(names.run(delete), Ok(RootAnswer::Done));
    assert!(users.get("bob").is_none());
}

#[test]
fn ids_are_never_leased_twice() {
    let mut names = Names::new();
    let lease = |names: &mut Names| match names.run(RootCommand::LeaseFileIds { count: 100 }) {
        Ok(RootAnswer::Leased { first, count }) => first.0..first.0 + count,
        other => panic!("{other:?}"),
    };
    let first = lease(&mut names);
    let between = descriptor_of(names.create("/a")).id.0;
    let mut names = names.reopened();
    let second = lease(&mut names);
    assert!(
        first.end <= between && between < second.start,
        "{first:?} {between} {second:?}"
    );
}

#[test]
fn commands_in_one_batch_see_each_other() {
    let mut names = Names::new();
    let commands = vec![
        RootCommand::Decide(Box::new(names.decide("/a"))),
        RootCommand::Decide(Box::new(names.decide("/a"))),
        RootCommand::Rename {
            request: names.fresh_request(),
            from: path("/a"),
            to: path("/b"),
            replace: false,
        },
        RootCommand::Decide(Box::new(names.decide("/a"))),
    ];
    let answers = names.run_all(commands);
    let seen: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(seen, [true, false, true, true]);
    assert_eq!(names.list("/"), ["a", "b"]);
}

/// A create whose main works under a leased descriptor meanwhile.
fn early(names: &mut Names, at: &str) -> (Decide, FileDescriptor) {
    let lease = names.run(RootCommand::LeaseFileIds { count: 1 });
    let Ok(RootAnswer::Leased { first, .. }) = lease else {
        panic!("{lease:?}")
    };
    let leased = FileDescriptor {
        id: first,
        version: FileVersion(1),
    };
    let mut create = names.decide(at);
    create.begun = Begun::Record(leased);
    (create, leased)
}

#[test]
fn early_record_becomes_the_name_or_goes() {
    let mut names = Names::new();
    let (create, leased) = early(&mut names, "/a");
    let command = RootCommand::Decide(Box::new(create.clone()));
    assert_eq!(descriptor_of(names.run(command.clone())), leased);
    assert_eq!(descriptor_of(names.run(command)), leased);
    assert_eq!(names.removals(), []);
    // Tried again by another coordinator: its record is of no use.
    let (mut again, other) = early(&mut names, "/a");
    again.request = create.request;
    let answer = names.run(RootCommand::Decide(Box::new(again)));
    assert_eq!(descriptor_of(answer), leased);
    assert_eq!(names.removals(), [other]);
    // The name is taken.
    let (late, third) = early(&mut names, "/a");
    assert!(names.run(RootCommand::Decide(Box::new(late))).is_err());
    assert_eq!(names.removals(), [other, third]);
    // The name has stood for something meanwhile: it gets that one's next life.
    names.delete("/a", false).unwrap();
    let (next, fourth) = early(&mut names, "/a");
    let answer = names.run(RootCommand::Decide(Box::new(next)));
    assert_eq!(descriptor_of(answer), leased.next_life().unwrap());
    assert_eq!(names.removals(), [leased, other, third, fourth]);
}

#[test]
fn nameless_request_is_refused() {
    let mut names = Names::new();
    let withdrawn = descriptor_of(names.create("/a"));
    let request = names.stat("/a").unwrap().request;
    names
        .run(RootCommand::Withdraw {
            request,
            path: path("/a"),
            descriptor: withdrawn,
            now_ms: 1,
        })
        .unwrap();
    // The place of the forgotten outcome is read back as that of request 0.
    let mut names = names.reopened();
    let mut decide = names.decide("/b");
    decide.request = sdfs_types::RequestId::default();
    let answer = names.run(RootCommand::Decide(Box::new(decide)));
    assert!(
        matches!(answer, Err(Refusal::Malformed { .. })),
        "{answer:?}"
    );
    assert!(names.create("/b").is_ok());
}
