//! The root group's machine: the trash, by tables.

use crate::driver::{Names, descriptor_of, path, restored};
use sdfs_mserver::root::{Begun, RootAnswer, RootCommand};
use sdfs_types::calls::trash::{TrashEmptied, TrashName};
use sdfs_types::{FileDescriptor, FileVersion, Refusal};

const LATER: u64 = 9_000;

fn names() -> Names {
    let mut names = Names::new();
    names.allow("ann", "/");
    names
}

/// What is in the trash: paths and descriptors.
fn in_trash(names: &Names) -> Vec<(String, FileDescriptor)> {
    let listed = names.trashed();
    let pair = |one: &sdfs_mserver::root::Trashed| (one.path.to_string(), one.entry.descriptor);
    listed.iter().map(pair).collect()
}

fn replace(names: &mut Names, at: &str) -> FileDescriptor {
    let mut decide = names.decide(at);
    decide.replace = true;
    let command = RootCommand::Decide(Box::new(decide));
    descriptor_of(names.run(Names::keeping(command, LATER)))
}

#[test]
fn a_deleted_file_can_be_restored() {
    let mut names = names();
    let file = descriptor_of(names.create("/a"));
    let before = names.stat("/a").unwrap();
    names.trash("/a", LATER).unwrap();
    assert_eq!(in_trash(&names), [("/a".to_owned(), file)]);
    assert_eq!(names.removals(), [], "its meta-data stays");
    let mut names = names.reopened();
    let back = restored(names.restore("/a", None));
    assert_eq!((back.path, &back.name), (path("/a"), &*before));
    assert_eq!(names.stat("/a").unwrap(), before);
    assert_eq!(in_trash(&names), []);
    assert_eq!(names.view.trash_counters().unwrap().files, 0);
    names.trash("/a", LATER).unwrap();
    assert_eq!(Some(descriptor_of(names.create("/a"))), file.next_life());
}

#[test]
fn without_trash_nothing_is_kept() {
    let mut names = names();
    let file = descriptor_of(names.create("/a"));
    names.trash("/a", 0).unwrap();
    assert_eq!((in_trash(&names), names.removals()), (vec![], vec![file]));
    let what = TrashName::Path(path("/a"));
    assert_eq!(names.restore("/a", None), Err(Refusal::NotInTrash { what }));
}

#[test]
fn a_taken_name_is_not_restored_over() {
    let mut names = names();
    let first = descriptor_of(names.create("/a"));
    names.trash("/a", LATER).unwrap();
    let second = descriptor_of(names.create("/a"));
    assert_eq!(Some(second), first.next_life());
    let taken = Refusal::Exists {
        path: path("/a"),
        descriptor: second,
    };
    assert_eq!(names.restore("/a", None), Err(taken));
    assert_eq!(in_trash(&names), [("/a".to_owned(), first)]);
    let what = TrashName::Descriptor(first);
    let over = names.restoration(what, None, true);
    assert_eq!(
        restored(names.run(Names::keeping(over, LATER)))
            .name
            .descriptor,
        first
    );
    assert_eq!(in_trash(&names), [("/a".to_owned(), second)]);
    // Neither the life that was restored nor the one it replaced is given out again.
    names.trash("/a", LATER).unwrap();
    let third = descriptor_of(names.create("/a"));
    assert_eq!(Some(third), second.next_life());
}

#[test]
fn no_life_follows_twice() {
    let mut names = names();
    let first = descriptor_of(names.create("/a"));
    names.trash("/a", LATER).unwrap();
    let second = descriptor_of(names.create("/a"));
    restored(names.restore("/a", Some("/b")));
    let mut names = names.reopened();
    assert_eq!(
        names.view.former(&path("/b")).unwrap(),
        None,
        "a put of this name must not guess the life that /a stands for"
    );
    let replacing = replace(&mut names, "/b");
    assert_ne!(replacing.id, first.id, "that life stands as /a");
    names.trash("/b", LATER).unwrap();
    restored(names.run_restore(first, "/c"));
    names.trash("/c", LATER).unwrap();
    assert_ne!(descriptor_of(names.create("/c")).id, first.id);
    assert_eq!(names.stat("/a").unwrap().descriptor, second);
}

#[test]
fn a_life_moves_with_its_file() {
    let mut names = names();
    let first = descriptor_of(names.create("/a"));
    names.trash("/a", LATER).unwrap();
    restored(names.restore("/a", Some("/b")));
    assert_ne!(descriptor_of(names.create("/a")).id, first.id);
    assert_eq!(Some(replace(&mut names, "/b")), first.next_life());
}

#[test]
fn replaced_files_go_to_the_trash() {
    let mut names = names();
    let first = descriptor_of(names.create("/a"));
    let second = replace(&mut names, "/a");
    assert_eq!(Some(second), first.next_life());
    let other = descriptor_of(names.create("/b"));
    let command = RootCommand::Rename {
        request: names.fresh_request(),
        from: path("/b"),
        to: path("/a"),
        replace: true,
    };
    names.run(Names::keeping(command, LATER)).unwrap();
    let both = [("/a".to_owned(), first), ("/a".to_owned(), second)];
    assert_eq!(in_trash(&names), both, "in the order they went");
    names.trash("/a", LATER).unwrap();
    let last = restored(names.restore("/a", None));
    assert_eq!(last.name.descriptor, other, "the last one first");
}

#[test]
fn a_repeated_put_trashes_once() {
    let mut names = names();
    let first = descriptor_of(names.create("/a"));
    let mut decide = names.decide("/a");
    decide.replace = true;
    let Ok(RootAnswer::Leased { first: leased, .. }) =
        names.run(RootCommand::LeaseFileIds { count: 1 })
    else {
        panic!("no lease")
    };
    let put = FileDescriptor {
        id: leased,
        version: FileVersion(1),
    };
    decide.begun = Begun::Blocks(put);
    let command = Names::keeping(RootCommand::Decide(Box::new(decide)), LATER);
    let done = names.run(command.clone());
    assert_eq!(descriptor_of(done.clone()), put);
    assert_eq!(names.run(command), done, "repeated");
    assert_eq!(in_trash(&names), [("/a".to_owned(), first)]);
    // Nothing else goes on from the replaced life, so the name it gets does.
    restored(names.restore("/a", Some("/b")));
    assert_eq!(Some(replace(&mut names, "/b")), first.next_life());
}

#[test]
fn a_directory_goes_file_by_file() {
    let mut names = names();
    for directory in ["/d", "/d/e"] {
        names.mkdir(directory).unwrap();
    }
    let files: Vec<_> = ["/d/1", "/d/2", "/d/e/1", "/d/e/2"]
        .map(|at| (at.to_owned(), descriptor_of(names.create(at))))
        .into();
    names.create("/da").unwrap();
    names.trash("/d", LATER).unwrap();
    assert!(!names.view.is_trash_growing().unwrap());
    assert_eq!(in_trash(&names), files);
    let back = restored(names.restore("/d/e/1", None));
    assert_eq!(back.name.descriptor, files[2].1);
    assert_eq!(names.list("/d"), ["e"], "missing directories are made");
    assert_eq!(&*names.stat("/d/e").unwrap().owner, "ann");
    // Nothing else goes on from this life, so the name does.
    assert_eq!(Some(replace(&mut names, "/d/e/1")), files[2].1.next_life());
    names.trash("/da", LATER).unwrap();
    let (found, next) = names.view.trash(&path("/d"), None, 2).unwrap();
    let paths: Vec<_> = found.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(
        (paths, next.clone()),
        (vec!["/d/1", "/d/2"], Some(path("/d/2")))
    );
    let (found, next) = names.view.trash(&path("/d"), next.as_ref(), 9).unwrap();
    let paths: Vec<_> = found.iter().map(|one| one.path.as_str()).collect();
    assert_eq!((paths, next), (vec!["/d/e/1", "/d/e/2"], None));
}

#[test]
fn what_is_due_is_removed() {
    let mut names = names();
    let files: Vec<_> = (0..7)
        .map(|file| {
            let at = format!("/{file}");
            let file = descriptor_of(names.create(&at));
            names
                .trash(&at, 8_000 - 100 * u64::from(file.id.0))
                .unwrap();
            file
        })
        .collect();
    names.expire(7_299);
    assert_eq!(names.removals(), []);
    names.expire(7_500);
    assert_eq!(names.removals(), files[4..]);
    let mut names = names.reopened();
    assert!(!names.view.has_due_trash(7_500).unwrap());
    assert!(names.view.has_due_trash(7_600).unwrap());
    let early = descriptor_of(names.create("/early"));
    names.trash("/early", 7_000).unwrap();
    assert!(
        names.view.has_due_trash(7_000).unwrap(),
        "due before others"
    );
    names.expire(u64::MAX);
    assert_eq!(names.removals().len(), 8);
    assert!(names.removals().contains(&early));
    assert_eq!(in_trash(&names), []);
    // The name comes back as if its file had been removed at once.
    assert_eq!(
        Some(descriptor_of(names.create("/0"))),
        files[0].next_life()
    );
}

#[test]
fn rights_are_those_of_the_path() {
    let mut names = names();
    names.allow("bob", "/bob");
    for directory in ["/bob", "/ann"] {
        names.mkdir(directory).unwrap();
        names.create(&format!("{directory}/a")).unwrap();
        names.trash(&format!("{directory}/a"), LATER).unwrap();
    }
    let as_bob = |command: RootCommand| match command {
        RootCommand::Restore {
            request,
            what,
            to,
            replace,
            now_ms,
            ..
        } => RootCommand::Restore {
            request,
            what,
            to,
            replace,
            by: "bob".into(),
            now_ms,
        },
        other => other,
    };
    let what = TrashName::Path(path("/ann/a"));
    let command = as_bob(names.restoration(what.clone(), Some("/bob/mine"), false));
    assert_eq!(names.run(command), Err(Refusal::NotInTrash { what }));
    let what = TrashName::Path(path("/bob/a"));
    let command = as_bob(names.restoration(what.clone(), Some("/ann/b"), false));
    assert!(matches!(names.run(command), Err(Refusal::Denied { .. })));
    let command = as_bob(names.restoration(what, None, false));
    let once = names.run(command.clone());
    restored(once.clone());
    assert_eq!(names.run(command), once, "repeated");
    names.trash("/bob/a", LATER).unwrap();
    let empty = |request, by: &str, before_ms| RootCommand::EmptyTrash {
        request,
        path: path("/"),
        after: None,
        before_ms,
        by: by.into(),
        paths_max: 10,
    };
    let emptied = |files| {
        Ok(RootAnswer::Emptied(TrashEmptied {
            files,
            bytes: 10 * files,
            next: None,
        }))
    };
    let request = names.fresh_request();
    assert_eq!(names.run(empty(request, "bob", 999)), emptied(0), "younger");
    let request = names.fresh_request();
    assert_eq!(names.run(empty(request, "bob", 1_000)), emptied(1));
    assert_eq!(in_trash(&names).len(), 1);
    names.create("/bob/a").unwrap();
    names.trash("/bob/a", LATER).unwrap();
    assert_eq!(
        names.run(empty(request, "bob", 1_000)),
        emptied(1),
        "repeated"
    );
    assert_eq!(in_trash(&names).len(), 2);
}

#[test]
fn a_path_keeps_its_last_sixteen() {
    let mut names = names();
    let first = descriptor_of(names.create("/a"));
    for _ in 0..17 {
        replace(&mut names, "/a");
    }
    assert_eq!(in_trash(&names).len(), 16);
    assert_eq!(names.removals(), [first]);
}

#[test]
fn a_quota_counts_no_trash() {
    let mut names = names();
    names.mkdir("/q").unwrap();
    let quota = RootCommand::SetQuota {
        path: path("/q"),
        files_max: Some(1),
        bytes_max: None,
    };
    names.run(quota).unwrap();
    names.create("/q/a").unwrap();
    names.trash("/q/a", LATER).unwrap();
    names.create("/q/b").unwrap();
    let full = names.restore("/q/a", None);
    assert!(matches!(full, Err(Refusal::Quota { .. })), "{full:?}");
    names.trash("/q/b", LATER).unwrap();
    restored(names.restore("/q/a", None));
    let holder = names.stat("/q").unwrap().descriptor;
    assert_eq!(names.view.quota(holder).unwrap().files_used, 1);
}

impl Names {
    fn run_restore(&mut self, descriptor: FileDescriptor, to: &str) -> crate::driver::Answer {
        let what = TrashName::Descriptor(descriptor);
        let command = self.restoration(what, Some(to), false);
        self.run(command)
    }
}
