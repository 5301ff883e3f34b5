//! The root group's machine against a plain tree of names, under random commands.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use sdfs_mserver::root::{Begun, RootAnswer, RootCommand};
use sdfs_types::{EntryKind, FileDescriptor};

use crate::driver::{Names, path};

#[derive(Clone, Debug)]
enum Op {
    Create {
        at: String,
        replace: bool,
    },
    Put {
        at: String,
        replace: bool,
    },
    MakeDirectory {
        at: String,
    },
    Delete {
        at: String,
        recursive: bool,
    },
    Rename {
        from: String,
        to: String,
        replace: bool,
    },
    Reopen,
    Sweep,
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4)
        .prop_map(|names| format!("/{}", names.join("/")))
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any_path(), any::<bool>()).prop_map(|(at, replace)| Op::Create { at, replace }),
        3 => (any_path(), any::<bool>()).prop_map(|(at, replace)| Op::Put { at, replace }),
        4 => any_path().prop_map(|at| Op::MakeDirectory { at }),
        3 => (any_path(), any::<bool>()).prop_map(|(at, recursive)| Op::Delete { at, recursive }),
        3 => (any_path(), any_path(), any::<bool>())
            .prop_map(|(from, to, replace)| Op::Rename { from, to, replace }),
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
        Op::Create { at, replace } | Op::Put { at, replace } => {
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
        Op::Delete { at, recursive } => {
            let is_empty = below(tree, at).next().is_none();
            let works = tree.contains_key(at) && (is_empty || *recursive);
            if works {
                let begin = format!("{at}/");
                tree.retain(|path, _| path != at && !path.starts_with(&begin));
            }
            works
        }
        Op::Rename { from, to, replace } => rename(tree, from, to, *replace),
        Op::Reopen | Op::Sweep => true,
    }
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

/// The names of the machine, walked through its listings.
fn names_of(names: &Names) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![(String::new(), FileDescriptor::default())];
    while let Some((at, directory)) = open.pop() {
        let entries = names.view.list(directory, None, usize::MAX).unwrap();
        assert!(entries.is_sorted_by(|a, b| a.name < b.name), "in order");
        for entry in entries {
            let path = format!("{at}/{}", entry.name);
            if entry.kind == EntryKind::Directory {
                open.push((path.clone(), entry.descriptor));
            }
            tree.insert(path, entry.kind);
        }
    }
    tree
}

struct Run {
    names: Names,
    tree: Tree,
    issued: BTreeSet<FileDescriptor>,
}

impl Run {
    fn step(&mut self, op: &Op) {
        let answer = match op {
            Op::Create { at, replace } => self.create(at, *replace),
            Op::Put { at, replace } => self.put(at, *replace),
            Op::MakeDirectory { at } => {
                let answer = self.names.mkdir(at);
                self.issue(&answer);
                answer.is_ok()
            }
            Op::Delete { at, recursive } => self.names.delete(at, *recursive).is_ok(),
            Op::Rename { from, to, replace } => self.names.rename(from, to, *replace).is_ok(),
            Op::Reopen => {
                let names = std::mem::take(&mut self.names);
                self.names = names.reopened();
                true
            }
            Op::Sweep => self
                .names
                .run(RootCommand::Sweep { entries_max: 2 })
                .is_ok(),
        };
        assert_eq!(answer, model(&mut self.tree, op), "{op:?}");
        assert_eq!(names_of(&self.names), self.tree, "{op:?}");
    }

    fn create(&mut self, at: &str, replace: bool) -> bool {
        let mut decide = self.names.decide(at);
        decide.replace = replace;
        let answer = self.names.run(RootCommand::Decide(Box::new(decide)));
        self.issue(&answer);
        answer.is_ok()
    }

    /// A put under a fresh id.
    fn put(&mut self, at: &str, replace: bool) -> bool {
        let Ok(RootAnswer::Leased { first, .. }) =
            self.names.run(RootCommand::LeaseFileIds { count: 1 })
        else {
            panic!("no lease")
        };
        let version = sdfs_types::FileVersion(1);
        let mut decide = self.names.decide(at);
        decide.replace = replace;
        decide.begun = Begun::Blocks(FileDescriptor { id: first, version });
        let answer = self.names.run(RootCommand::Decide(Box::new(decide)));
        self.issue(&answer);
        answer.is_ok()
    }

    fn issue(&mut self, answer: &crate::driver::Answer) {
        if let Ok(RootAnswer::Name(name)) = answer {
            assert!(
                self.issued.insert(name.descriptor),
                "{} twice",
                name.descriptor
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn names_behave_like_a_tree(ops in prop::collection::vec(any_op(), 1..60)) {
        let mut run = Run { names: Names::new(), tree: Tree::new(), issued: BTreeSet::new() };
        for op in &ops {
            run.step(op);
        }
        // Every descriptor of a name that is gone is on its way out, none that stands is.
        while run.names.run(RootCommand::Sweep { entries_max: 8 })
            == Ok(RootAnswer::Swept { more: true }) {}
        let removed: BTreeSet<FileDescriptor> = run.names.removals().into_iter().collect();
        for (at, kind) in &run.tree {
            let descriptor = run.names.stat(at).unwrap().descriptor;
            prop_assert!(*kind == EntryKind::Directory || !removed.contains(&descriptor), "{at}");
        }
    }

    #[test]
    fn quota_equals_what_is_there(ops in prop::collection::vec(any_op(), 1..60)) {
        let mut names = Names::new();
        names.mkdir("/a").unwrap();
        let quota = RootCommand::SetQuota { path: path("/a"), files_max: Some(3), bytes_max: None };
        names.run(quota).unwrap();
        let holder = names.stat("/a").unwrap().descriptor;
        let mut run = Run { names, tree: Tree::new(), issued: BTreeSet::new() };
        for op in &ops {
            match op {
                Op::Create { at, replace } => drop(run.create(at, *replace)),
                Op::Put { at, replace } => drop(run.put(at, *replace)),
                Op::MakeDirectory { at } => drop(run.names.mkdir(at)),
                Op::Delete { at, recursive } => drop(run.names.delete(at, *recursive)),
                Op::Rename { from, to, replace } => drop(run.names.rename(from, to, *replace)),
                Op::Reopen => run.names = run.names.reopened(),
                Op::Sweep => {}
            }
            while run.names.run(RootCommand::Sweep { entries_max: 8 })
                == Ok(RootAnswer::Swept { more: true }) {}
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
