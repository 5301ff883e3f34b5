//! The root group's machine: contents names share, by tables and under random commands.

use std::collections::BTreeSet;

use proptest::prelude::*;

use sdfs_mserver::root::{Begun, ContentKey, Link, RootAnswer, RootCommand};
use sdfs_types::calls::content::Sharing;
use sdfs_types::calls::trash::TrashName;
use sdfs_types::{FileDescriptor, Refusal};

use crate::driver::{Answer, Names, descriptor_of, name_of, path, restored};

const LATER: u64 = 9_000;
const SIZE: u64 = 10;

fn names() -> Names {
    let mut names = Names::new();
    names.allow("ann", "/");
    names
}

fn content(number: u8) -> ContentKey {
    ContentKey {
        digest: [number; 32],
        owner: "ann".into(),
        within: None,
    }
}

fn share_command(names: &Names, at: &str, key: ContentKey) -> RootCommand {
    RootCommand::Share {
        path: path(at),
        descriptor: names.stat(at).unwrap().descriptor,
        key,
        size_bytes: SIZE,
    }
}

fn share(names: &mut Names, at: &str, number: u8) -> FileDescriptor {
    let command = share_command(names, at, content(number));
    descriptor_of(names.run(command))
}

fn link_command(names: &mut Names, at: &str, key: ContentKey) -> Link {
    Link {
        request: names.fresh_request(),
        path: path(at),
        key,
        size_bytes: SIZE,
        owner: "bob".into(),
        now_ms: 2_000,
        make_parents: false,
        replace: false,
    }
}

fn link(names: &mut Names, at: &str, number: u8) -> Answer {
    let link = link_command(names, at, content(number));
    names.run(RootCommand::Link(Box::new(link)))
}

fn sharing(names: &Names) -> (u64, u64, u64, u64) {
    let Sharing {
        contents,
        names,
        bytes,
        saved_bytes,
    } = names.view.sharing().unwrap();
    (contents, names, bytes, saved_bytes)
}

#[test]
fn content_stays_while_it_has_a_name() {
    let mut names = names();
    let file = descriptor_of(names.create("/a"));
    assert_eq!(share(&mut names, "/a", 1), file);
    let linked = name_of(link(&mut names, "/b", 1));
    assert_eq!((linked.descriptor, &*linked.owner), (file, "bob"));
    assert_eq!(linked.created_ms, 2_000);
    assert_eq!(descriptor_of(link(&mut names, "/c", 1)), file);
    assert_eq!(sharing(&names), (1, 3, SIZE, 2 * SIZE));
    names.delete("/a", false).unwrap();
    let mut names = names.reopened();
    names.delete("/c", false).unwrap();
    assert_eq!(
        (names.removals(), sharing(&names)),
        (vec![], (1, 1, SIZE, 0))
    );
    names.delete("/b", false).unwrap();
    assert_eq!(
        (names.removals(), sharing(&names)),
        (vec![file], (0, 0, 0, 0))
    );
    assert_eq!(link(&mut names, "/d", 1), Err(Refusal::NoSuchContent));
}

#[test]
fn the_record_goes_by_the_request_that_made_it() {
    let mut names = names();
    let made = name_of(names.create("/a"));
    share(&mut names, "/a", 1);
    link(&mut names, "/b", 1).unwrap();
    names.delete("/a", false).unwrap();
    names.delete("/b", false).unwrap();
    let group = made.locate.unwrap().group;
    let removals = names.view.removals(group, None, 9).unwrap();
    assert_eq!(removals.len(), 1);
    assert_eq!(removals[0].1.request, made.request);
}

#[test]
fn no_two_names_claim_the_next_life() {
    let mut names = names();
    let file = descriptor_of(names.create("/a"));
    share(&mut names, "/a", 1);
    link(&mut names, "/b", 1).unwrap();
    names.delete("/a", false).unwrap();
    names.delete("/b", false).unwrap();
    let (a, b) = (names.create("/a"), names.create("/b"));
    let (a, b) = (descriptor_of(a), descriptor_of(b));
    assert!(a.id != b.id && a.id != file.id && b.id != file.id);
}

#[test]
fn a_second_file_gives_its_bytes_up() {
    let mut names = names();
    let first = descriptor_of(names.create("/a"));
    share(&mut names, "/a", 1);
    let second = name_of(names.create("/b"));
    let command = share_command(&names, "/b", content(1));
    let shared = name_of(names.run(command.clone()));
    assert_eq!(shared.descriptor, first);
    assert_eq!(
        (shared.request, &shared.owner),
        (second.request, &second.owner)
    );
    assert_eq!(names.removals(), [second.descriptor]);
    assert_eq!(
        names.run(command),
        Ok(RootAnswer::Name(shared)),
        "asked again"
    );
    assert_eq!(sharing(&names), (1, 2, SIZE, SIZE));
}

#[test]
fn a_file_that_was_replaced_is_not_shared() {
    let mut names = names();
    let file = descriptor_of(names.create("/a"));
    let command = share_command(&names, "/a", content(1));
    names.delete("/a", false).unwrap();
    descriptor_of(names.create("/a"));
    assert_eq!(names.run(command), Err(Refusal::Gone { descriptor: file }));
    assert_eq!(sharing(&names), (0, 0, 0, 0));
}

#[test]
fn a_shared_file_is_decided_once() {
    let mut names = names();
    let file = descriptor_of(names.create("/a"));
    names.create("/taken").unwrap();
    share(&mut names, "/a", 1);
    for at in ["/b", "/taken"] {
        let mut put = names.decide(at);
        put.begun = Begun::Blocks(file);
        let refused = names.run(RootCommand::Decide(Box::new(put)));
        assert!(refused.is_err(), "{refused:?}");
    }
    assert_eq!(names.removals(), [], "its record stays");
}

#[test]
fn links_keep_the_rules_of_names() {
    let mut names = names();
    names.create("/a").unwrap();
    share(&mut names, "/a", 1);
    names.mkdir("/dir").unwrap();
    names.create("/taken").unwrap();
    let taken = names.stat("/taken").unwrap().descriptor;
    let exists = Refusal::Exists {
        path: path("/taken"),
        descriptor: taken,
    };
    assert_eq!(link(&mut names, "/taken", 1), Err(exists));
    let directory = Refusal::IsDirectory { path: path("/dir") };
    assert_eq!(link(&mut names, "/dir", 1), Err(directory));
    let missing = Refusal::NotFound {
        path: path("/none"),
    };
    assert_eq!(link(&mut names, "/none/x", 1), Err(missing));
    assert_eq!(link(&mut names, "/x", 2), Err(Refusal::NoSuchContent));
    let mut longer = link_command(&mut names, "/x", content(1));
    longer.size_bytes += 1;
    let longer = RootCommand::Link(Box::new(longer));
    assert_eq!(names.run(longer), Err(Refusal::NoSuchContent));
    let mut of_a_group = content(1);
    of_a_group.within = Some("group2".into());
    let mut of_another = content(1);
    of_another.owner = "bob".into();
    for others in [of_a_group, of_another] {
        let others = link_command(&mut names, "/x", others);
        let others = RootCommand::Link(Box::new(others));
        assert_eq!(names.run(others), Err(Refusal::NoSuchContent));
    }
    let mut deep = link_command(&mut names, "/dir/new/x", content(1));
    deep.make_parents = true;
    let deep = RootCommand::Link(Box::new(deep));
    let first = names.run(deep.clone());
    assert_eq!(names.run(deep), first, "asked again");
    assert_eq!(sharing(&names), (1, 2, SIZE, SIZE));
}

#[test]
fn a_link_replaces_a_file() {
    let mut names = names();
    names.create("/a").unwrap();
    let shared = share(&mut names, "/a", 1);
    let old = descriptor_of(names.create("/b"));
    let mut over = link_command(&mut names, "/b", content(1));
    over.replace = true;
    let command = Names::keeping(RootCommand::Link(Box::new(over)), LATER);
    assert_eq!(descriptor_of(names.run(command)), shared);
    assert_eq!(names.trashed()[0].entry.descriptor, old);
    names.delete("/b", false).unwrap();
    assert_eq!(Some(descriptor_of(names.create("/b"))), old.next_life());
}

#[test]
fn only_the_last_name_goes_to_the_trash() {
    let mut names = names();
    let file = descriptor_of(names.create("/a"));
    share(&mut names, "/a", 1);
    link(&mut names, "/b", 1).unwrap();
    names.trash("/a", LATER).unwrap();
    assert_eq!(names.trashed().len(), 0);
    names.trash("/b", LATER).unwrap();
    assert_eq!(names.trashed()[0].entry.descriptor, file);
    // What is in the trash may still be linked to; the name that is deleted last is there.
    assert_eq!(descriptor_of(link(&mut names, "/c", 1)), file);
    names.trash("/c", LATER + 1).unwrap();
    let trashed = names.trashed();
    assert_eq!((trashed.len(), &trashed[0].path), (1, &path("/c")));
    assert_eq!(sharing(&names), (1, 1, SIZE, 0));
    names.expire(LATER);
    assert_eq!(names.removals(), []);
    let mut names = names.reopened();
    assert_eq!(restored(names.restore("/c", None)).name.descriptor, file);
    names.trash("/c", 0).unwrap();
    assert_eq!(
        (names.removals(), sharing(&names)),
        (vec![file], (0, 0, 0, 0))
    );
}

#[test]
fn a_deleted_directory_lets_its_links_go() {
    let mut names = names();
    let file = descriptor_of(names.create("/a"));
    share(&mut names, "/a", 1);
    names.mkdir("/dir").unwrap();
    for at in ["/dir/x", "/dir/y", "/dir/z"] {
        link(&mut names, at, 1).unwrap();
    }
    names.trash("/dir", 0).unwrap();
    assert_eq!(sharing(&names), (1, 1, SIZE, 0));
    names.delete("/a", false).unwrap();
    assert_eq!(names.removals(), [file]);
}

#[test]
fn quotas_count_every_name() {
    let mut names = names();
    names.mkdir("/dir").unwrap();
    names
        .run(RootCommand::SetQuota {
            path: path("/dir"),
            files_max: None,
            bytes_max: Some(2 * SIZE),
        })
        .unwrap();
    names.create("/dir/a").unwrap();
    share(&mut names, "/dir/a", 1);
    link(&mut names, "/dir/b", 1).unwrap();
    let full = link(&mut names, "/dir/c", 1);
    assert!(matches!(full, Err(Refusal::Quota { used, .. }) if used == 2 * SIZE));
    names.delete("/dir/a", false).unwrap();
    link(&mut names, "/dir/c", 1).unwrap();
}

#[derive(Clone, Debug)]
enum Op {
    Create {
        at: String,
        replace: bool,
        until: u64,
    },
    Share {
        at: String,
        number: u8,
    },
    Link {
        at: String,
        number: u8,
        replace: bool,
        until: u64,
    },
    Delete {
        at: String,
        until: u64,
    },
    Rename {
        from: String,
        to: String,
        until: u64,
    },
    Restore {
        which: usize,
        to: String,
    },
    Expire {
        now: u64,
    },
    Reopen,
}

fn any_op() -> impl Strategy<Value = Op> {
    let at = || prop::sample::select(vec!["/a", "/b", "/d/a", "/d/b"]).prop_map(str::to_owned);
    let until = || prop::sample::select(vec![0, 10, 20]);
    let number = || 0..3_u8;
    prop_oneof![
        3 => (at(), any::<bool>(), until())
            .prop_map(|(at, replace, until)| Op::Create { at, replace, until }),
        4 => (at(), number()).prop_map(|(at, number)| Op::Share { at, number }),
        6 => (at(), number(), any::<bool>(), until())
            .prop_map(|(at, number, replace, until)| Op::Link { at, number, replace, until }),
        4 => (prop_oneof![at(), Just("/d".to_owned())], until())
            .prop_map(|(at, until)| Op::Delete { at, until }),
        2 => (at(), at(), until()).prop_map(|(from, to, until)| Op::Rename { from, to, until }),
        2 => (0..4_usize, at()).prop_map(|(which, to)| Op::Restore { which, to }),
        1 => prop::sample::select(vec![10, 25]).prop_map(|now| Op::Expire { now }),
        1 => Just(Op::Reopen),
    ]
}

/// A file's real content is its first: a second digest of it would be a lie of the test's.
fn perform(names: &mut Names, op: Op, issued: &mut BTreeSet<FileDescriptor>) {
    match op {
        Op::Create { at, replace, until } => {
            let mut decide = names.decide(&at);
            (decide.replace, decide.make_parents) = (replace, true);
            let command = RootCommand::Decide(Box::new(decide));
            if let Ok(RootAnswer::Name(name)) = names.run(Names::keeping(command, until)) {
                assert!(issued.insert(name.descriptor), "{name:?} was issued before");
            }
        }
        Op::Share { at, number } => {
            if names.stat(&at).is_ok() {
                let command = share_command(names, &at, content(number));
                drop(names.run(command));
            }
        }
        Op::Link {
            at,
            number,
            replace,
            until,
        } => {
            let mut link = link_command(names, &at, content(number));
            (link.replace, link.make_parents) = (replace, true);
            let command = RootCommand::Link(Box::new(link));
            drop(names.run(Names::keeping(command, until)));
        }
        Op::Delete { at, until } => drop(names.trash(&at, until)),
        Op::Rename { from, to, until } => {
            let request = names.fresh_request();
            let (from, to) = (path(&from), path(&to));
            let command = RootCommand::Rename {
                request,
                from,
                to,
                replace: true,
            };
            drop(names.run(Names::keeping(command, until)));
        }
        Op::Restore { which, to } => {
            if let Some(one) = names.trashed().get(which) {
                let what = TrashName::Descriptor(one.entry.descriptor);
                let command = names.restoration(what, Some(&to), true);
                drop(names.run(command));
            }
        }
        Op::Expire { now } => names.expire(now),
        Op::Reopen => {}
    }
}

/// The descriptors of all names, and of what is in the trash.
fn standing(names: &Names) -> Vec<FileDescriptor> {
    let mut standing = Vec::new();
    for directory in ["/", "/d"] {
        let Ok(at) = names.stat(directory) else {
            continue;
        };
        let entries = names.view.list(at.descriptor, None, 9).unwrap();
        let files = entries.iter().filter(|entry| entry.locate.is_some());
        standing.extend(files.map(|file| file.descriptor));
    }
    let trashed = names.trashed();
    standing.extend(trashed.iter().map(|one| one.entry.descriptor));
    standing
}

proptest! {
    #[test]
    fn nothing_named_is_removed_and_nothing_else_stays(
        ops in prop::collection::vec(any_op(), 1..60)
    ) {
        let mut names = names();
        let mut issued = BTreeSet::new();
        for op in ops {
            if matches!(op, Op::Reopen) {
                names = names.reopened();
            }
            perform(&mut names, op, &mut issued);
            let mut expected = standing(&names);
            let shared = names.view.sharing().unwrap();
            expected.sort_unstable();
            let removals = names.removals();
            for file in &removals {
                prop_assert!(!expected.contains(file), "{file} has a name and is removed");
            }
            let count = expected.len() as u64;
            expected.dedup();
            prop_assert_eq!(removals.len() + expected.len(), issued.len(), "one is lost");
            prop_assert_eq!(shared.saved_bytes, (shared.names - shared.contents) * SIZE);
            prop_assert_eq!(count - expected.len() as u64, shared.names - shared.contents);
        }
        for at in ["/a", "/b", "/d"] {
            drop(names.trash(at, 0));
        }
        names.expire(u64::MAX);
        prop_assert_eq!(names.removals(), issued.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(sharing(&names), (0, 0, 0, 0));
    }
}
