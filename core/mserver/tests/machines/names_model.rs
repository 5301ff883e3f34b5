//! The root group's machine against a plain tree of names, under random commands.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use sdfs_mserver::FileLife;
use sdfs_mserver::root::{Begun, RootAnswer, RootCommand};
use sdfs_types::calls::trash::TrashName;
use sdfs_types::{EntryKind, FileDescriptor};

use crate::driver::{Names, locate, path, restored};

#[derive(Clone, Debug)]
enum Op {
    Create {
        at: String,
        replace: bool,
        until: u64,
    },
    Put {
        at: String,
        replace: bool,
        until: u64,
    },
    MakeDirectory {
        at: String,
    },
    Delete {
        at: String,
        recursive: bool,
        until: u64,
    },
    Rename {
        from: String,
        to: String,
        replace: bool,
        until: u64,
    },
    /// Which of those in the trash, in order of their descriptors.
    Restore {
        which: usize,
        to: Option<String>,
        replace: bool,
        until: u64,
    },
    Expire {
        now: u64,
    },
    Reopen,
    Sweep,
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4)
        .prop_map(|names| format!("/{}", names.join("/")))
}

/// Until when what is taken away is kept; at 0 it is not.
fn any_until() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 10, 20, 30])
}

fn any_op() -> impl Strategy<Value = Op> {
    let target = || (any_path(), any::<bool>(), any_until());
    prop_oneof![
        4 => target().prop_map(|(at, replace, until)| Op::Create { at, replace, until }),
        3 => target().prop_map(|(at, replace, until)| Op::Put { at, replace, until }),
        4 => any_path().prop_map(|at| Op::MakeDirectory { at }),
        4 => target().prop_map(|(at, recursive, until)| Op::Delete { at, recursive, until }),
        3 => (any_path(), target())
            .prop_map(|(from, (to, replace, until))| Op::Rename { from, to, replace, until }),
        4 => (0..8_usize, prop::option::of(any_path()), any::<bool>(), any_until())
            .prop_map(|(which, to, replace, until)| Op::Restore { which, to, replace, until }),
        1 => prop::sample::select(vec![9, 10, 25]).prop_map(|now| Op::Expire { now }),
        1 => Just(Op::Reopen),
        1 => Just(Op::Sweep),
    ]
}

/// Whole paths and what they stand for.
type Tree = BTreeMap<String, EntryKind>;

fn parent(at: &str) -> &str {
    at.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn is_directory(tree: &Tree, at: &str) -> bool {
    at.is_empty() || tree.get(at) == Some(&EntryKind::Directory)
}

fn below<'a>(tree: &'a Tree, at: &str) -> impl Iterator<Item = (&'a String, &'a EntryKind)> {
    let begin = format!("{at}/");
    tree.iter()
        .filter(move |(path, _)| path.starts_with(&begin))
}

/// Does `op` to the model; whether it succeeds.
fn model(tree: &mut Tree, op: &Op) -> bool {
    match op {
        Op::Create { at, replace, .. } | Op::Put { at, replace, .. } => {
            let is_free = match tree.get(at) {
                None => true,
                Some(kind) => *replace && *kind == EntryKind::File,
            };
            let works = is_free && is_directory(tree, parent(at));
            if works {
                tree.insert(at.clone(), EntryKind::File);
            }
            works
        }
        Op::MakeDirectory { at } => {
            let works = !tree.contains_key(at) && is_directory(tree, parent(at));
            if works {
                tree.insert(at.clone(), EntryKind::Directory);
            }
            works
        }
        Op::Delete { at, recursive, .. } => {
            let is_empty = below(tree, at).next().is_none();
            let works = tree.contains_key(at) && (is_empty || *recursive);
            if works {
                let begin = format!("{at}/");
                tree.retain(|path, _| path != at && !path.starts_with(&begin));
            }
            works
        }
        Op::Rename {
            from, to, replace, ..
        } => rename(tree, from, to, *replace),
        // Done by the run, which knows what is in the trash.
        Op::Restore { .. } | Op::Expire { .. } | Op::Reopen | Op::Sweep => true,
    }
}

/// Whether a file of the trash may get this name; missing directories are made.
fn restore(tree: &mut Tree, to: &str, replace: bool) -> bool {
    let is_free = match tree.get(to) {
        None => true,
        Some(kind) => replace && *kind == EntryKind::File,
    };
    let mut above = vec![parent(to)];
    while let Some(at) = above.last().copied().filter(|at| !at.is_empty()) {
        above.push(parent(at));
    }
    let in_the_way = |at: &&str| tree.get(*at) == Some(&EntryKind::File);
    if !is_free || above.iter().any(in_the_way) {
        return false;
    }
    for at in above.into_iter().filter(|at| !at.is_empty()) {
        tree.insert(at.to_owned(), EntryKind::Directory);
    }
    tree.insert(to.to_owned(), EntryKind::File);
    true
}

fn rename(tree: &mut Tree, from: &str, to: &str, replace: bool) -> bool {
    let Some(kind) = tree.get(from).copied() else {
        return false;
    };
    if from == to {
        return true;
    }
    let is_free = match tree.get(to) {
        None => true,
        Some(target) => replace && *target == EntryKind::File && kind == EntryKind::File,
    };
    let into_itself = kind == EntryKind::Directory && to.starts_with(&format!("{from}/"));
    if !is_free || into_itself || !is_directory(tree, parent(to)) {
        return false;
    }
    let begin = format!("{from}/");
    let moved: Tree = tree
        .iter()
        .filter(|(path, _)| *path == from || path.starts_with(&begin))
        .map(|(path, kind)| (format!("{to}{}", &path[from.len()..]), *kind))
        .collect();
    tree.retain(|path, _| path != from && !path.starts_with(&begin));
    tree.extend(moved);
    true
}

/// Everything the machine has a name for, walked through its listings.
fn live(names: &Names) -> BTreeMap<String, (EntryKind, FileDescriptor)> {
    let mut live = BTreeMap::new();
    let mut open = vec![(String::new(), FileDescriptor::default())];
    while let Some((at, directory)) = open.pop() {
        let entries = names.view.list(directory, None, usize::MAX).unwrap();
        assert!(entries.is_sorted_by(|a, b| a.name < b.name), "in order");
        for entry in entries {
            let path = format!("{at}/{}", entry.name);
            if entry.kind == EntryKind::Directory {
                open.push((path.clone(), entry.descriptor));
            }
            live.insert(path, (entry.kind, entry.descriptor));
        }
    }
    live
}

fn names_of(names: &Names) -> Tree {
    let kind = |(at, (kind, _)): (String, (EntryKind, FileDescriptor))| (at, kind);
    live(names).into_iter().map(kind).collect()
}

/// The files there are: those with a name and those in the trash.
fn lives_of(names: &Names) -> BTreeSet<FileLife> {
    let named = live(names).into_keys().map(|at| names.stat(&at).unwrap());
    let named = named.filter(|entry| entry.kind == EntryKind::File);
    let named = named.map(|entry| (entry.descriptor, entry.request));
    let trashed = names.trashed().into_iter();
    let trashed = trashed.map(|one| (one.entry.descriptor, one.entry.request));
    named
        .chain(trashed)
        .map(|(descriptor, request)| FileLife {
            descriptor,
            request,
        })
        .collect()
}

/// The files whose meta-data is to be removed.
fn removed(names: &Names) -> BTreeSet<FileLife> {
    let listed = names.view.removals(locate().group, None, 1_000).unwrap();
    listed.into_iter().map(|(_, life)| life).collect()
}

/// The paths files had that are in the trash, and until when they are.
type Trash = BTreeMap<FileDescriptor, (String, u64)>;

struct Run {
    names: Names,
    tree: Tree,
    trash: Trash,
    issued: BTreeSet<FileDescriptor>,
    files: BTreeSet<FileLife>,
}

impl Run {
    fn of(mut names: Names) -> Run {
        names.allow("ann", "/");
        Run {
            names,
            tree: Tree::new(),
            trash: Trash::new(),
            issued: BTreeSet::new(),
            files: BTreeSet::new(),
        }
    }

    fn step(&mut self, op: &Op) {
        let before = live(&self.names);
        let (answer, expected) = match op {
            Op::Restore {
                which,
                to,
                replace,
                until,
            } => self.restore(*which, to.as_deref(), *replace, *until),
            Op::Expire { now } => {
                self.names.expire(*now);
                self.trash.retain(|_, (_, until)| *until > *now);
                (true, true)
            }
            _ => (self.plain(op), model(&mut self.tree, op)),
        };
        assert_eq!(answer, expected, "{op:?}");
        self.names.sweep();
        let after = live(&self.names);
        assert_eq!(names_of(&self.names), self.tree, "{op:?}");
        self.note_gone(op, &before, &after);
        let kept: Trash = (self.names.trashed().into_iter())
            .map(|one| {
                let at = one.path.to_string();
                (one.entry.descriptor, (at, one.by.until_ms))
            })
            .collect();
        assert_eq!(kept, self.trash, "{op:?}");
        let standing: BTreeSet<_> = after.values().map(|(_, descriptor)| *descriptor).collect();
        assert_eq!(
            standing.len(),
            after.len(),
            "a descriptor of two names: {op:?}"
        );
        let lives = lives_of(&self.names);
        for life in removed(&self.names) {
            assert!(!lives.contains(&life), "{life:?} is there: {op:?}");
        }
        self.files.extend(lives);
    }

    /// What has no name any more is in the trash now, or never again anywhere.
    fn note_gone(
        &mut self,
        op: &Op,
        before: &BTreeMap<String, (EntryKind, FileDescriptor)>,
        after: &BTreeMap<String, (EntryKind, FileDescriptor)>,
    ) {
        let until = match op {
            Op::Create { until, .. }
            | Op::Put { until, .. }
            | Op::Delete { until, .. }
            | Op::Rename { until, .. }
            | Op::Restore { until, .. } => *until,
            _ => 0,
        };
        let standing: BTreeSet<_> = after.values().map(|(_, descriptor)| *descriptor).collect();
        for (at, (kind, descriptor)) in before {
            if *kind == EntryKind::File && !standing.contains(descriptor) && until > 0 {
                self.trash.insert(*descriptor, (at.clone(), until));
            }
        }
        let stood: BTreeSet<_> = before.values().map(|(_, descriptor)| *descriptor).collect();
        for descriptor in standing.difference(&stood) {
            if self.trash.remove(descriptor).is_none() {
                assert!(
                    self.issued.insert(*descriptor),
                    "{descriptor} twice: {op:?}"
                );
            }
        }
    }

    fn plain(&mut self, op: &Op) -> bool {
        match op {
            Op::Create { at, replace, until } => self.create(at, *replace, *until),
            Op::Put { at, replace, until } => self.put(at, *replace, *until),
            Op::MakeDirectory { at } => self.names.mkdir(at).is_ok(),
            Op::Delete {
                at,
                recursive,
                until,
            } => {
                let command = RootCommand::Delete {
                    request: self.names.fresh_request(),
                    path: path(at),
                    recursive: *recursive,
                    now_ms: 1_000,
                };
                self.names.run(Names::keeping(command, *until)).is_ok()
            }
            Op::Rename {
                from,
                to,
                replace,
                until,
            } => {
                let command = RootCommand::Rename {
                    request: self.names.fresh_request(),
                    from: path(from),
                    to: path(to),
                    replace: *replace,
                };
                self.names.run(Names::keeping(command, *until)).is_ok()
            }
            Op::Reopen => {
                let names = std::mem::take(&mut self.names);
                self.names = names.reopened();
                true
            }
            Op::Sweep => self
                .names
                .run(RootCommand::Sweep { entries_max: 2 })
                .is_ok(),
            Op::Restore { .. } | Op::Expire { .. } => panic!("not plain"),
        }
    }

    /// What the machine did, and what it should have.
    fn restore(
        &mut self,
        which: usize,
        to: Option<&str>,
        replace: bool,
        until: u64,
    ) -> (bool, bool) {
        let Some((descriptor, (at, _))) = self.trash.iter().nth(which) else {
            return (true, true);
        };
        let (descriptor, at) = (*descriptor, at.clone());
        let what = TrashName::Descriptor(descriptor);
        let command = self.names.restoration(what, to, replace);
        let answer = self.names.run(Names::keeping(command, until));
        let expected = restore(&mut self.tree, to.unwrap_or(&at), replace);
        if let Ok(answer) = &answer {
            assert_eq!(restored(Ok(answer.clone())).name.descriptor, descriptor);
        }
        (answer.is_ok(), expected)
    }

    fn create(&mut self, at: &str, replace: bool, until: u64) -> bool {
        let mut decide = self.names.decide(at);
        decide.replace = replace;
        let command = RootCommand::Decide(Box::new(decide));
        self.names.run(Names::keeping(command, until)).is_ok()
    }

    /// A put under a fresh id.
    fn put(&mut self, at: &str, replace: bool, until: u64) -> bool {
        let Ok(RootAnswer::Leased { first, .. }) =
            self.names.run(RootCommand::LeaseFileIds { count: 1 })
        else {
            panic!("no lease")
        };
        let version = sdfs_types::FileVersion(1);
        let mut decide = self.names.decide(at);
        decide.replace = replace;
        decide.begun = Begun::Blocks(FileDescriptor { id: first, version });
        let command = RootCommand::Decide(Box::new(decide));
        self.names.run(Names::keeping(command, until)).is_ok()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn names_behave_like_a_tree(ops in prop::collection::vec(any_op(), 1..60)) {
        let mut run = Run::of(Names::new());
        for op in &ops {
            run.step(op);
        }
        // Every file that is neither named nor in the trash is on its way out.
        let (lives, removed) = (lives_of(&run.names), removed(&run.names));
        for life in &run.files {
            prop_assert!(lives.contains(life) != removed.contains(life), "{life:?}");
        }
    }

    #[test]
    fn quota_equals_what_is_there(ops in prop::collection::vec(any_op(), 1..60)) {
        let mut names = Names::new();
        names.mkdir("/a").unwrap();
        let quota = RootCommand::SetQuota { path: path("/a"), files_max: Some(3), bytes_max: None };
        names.run(quota).unwrap();
        let holder = names.stat("/a").unwrap().descriptor;
        let mut run = Run::of(names);
        for op in &ops {
            match op {
                Op::Restore { which, to, replace, until } => {
                    run.trash = run.names.trashed().into_iter()
                        .map(|one| (one.entry.descriptor, (one.path.to_string(), 0)))
                        .collect();
                    run.restore(*which, to.as_deref(), *replace, *until);
                }
                Op::Expire { now } => run.names.expire(*now),
                op => {
                    run.plain(op);
                }
            }
            run.names.sweep();
            let tree = names_of(&run.names);
            let at = tree.keys().find(|at| {
                run.names.stat(at).is_ok_and(|entry| entry.descriptor == holder)
            });
            let Some(at) = at else { break };
            let files = below(&tree, at).filter(|(_, kind)| **kind == EntryKind::File).count();
            let quota = run.names.view.quota(holder).unwrap();
            prop_assert_eq!(quota.files_used, files as u64);
            prop_assert_eq!(quota.bytes_used, 10 * files as u64);
            prop_assert!(files <= 3);
        }
    }
}
