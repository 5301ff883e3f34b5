//! Files that were given up as nobody's: whoever finishes them later is refused, for good.

use sdfs_mserver::root::{Begun, Decide, RootAnswer, RootCommand};
use sdfs_types::{FileDescriptor, FileId, FileVersion, Refusal};

use crate::driver::{Answer, Names, name_of};

/// A descriptor that was leased to a coordinator.
fn leased(names: &mut Names) -> FileDescriptor {
    match names.run(RootCommand::LeaseFileIds { count: 1 }) {
        Ok(RootAnswer::Leased { first, .. }) => FileDescriptor {
            id: first,
            version: FileVersion(1),
        },
        other => panic!("not leased: {other:?}"),
    }
}

fn put(names: &mut Names, at: &str, descriptor: FileDescriptor) -> Decide {
    Decide {
        begun: Begun::Blocks(descriptor),
        ..names.decide(at)
    }
}

fn decided(names: &mut Names, decide: &Decide) -> Answer {
    names.run(RootCommand::Decide(Box::new(decide.clone())))
}

fn give_up(names: &mut Names, files: &[FileDescriptor]) -> Answer {
    let files = files.to_vec();
    names.run(RootCommand::GiveUp { files })
}

#[test]
fn a_file_given_up_gets_no_name() {
    let mut names = Names::new();
    let (file, other) = (leased(&mut names), leased(&mut names));
    assert_eq!(give_up(&mut names, &[file]), Ok(RootAnswer::Done));
    let late = put(&mut names, "/late", file);
    let refused = Err(Refusal::Gone { descriptor: file });
    assert_eq!(decided(&mut names, &late), refused);
    // What was made of it by then is removed again.
    assert_eq!(names.removals(), [file]);
    // Whatever name it asks for, however often, and after every restart.
    let mut names = names.reopened();
    assert_eq!(decided(&mut names, &late), refused);
    let elsewhere = put(&mut names, "/elsewhere", file);
    assert_eq!(decided(&mut names, &elsewhere), refused);
    assert!(names.view.is_given_up(file));
    assert!(names.stat("/late").is_err());
    let fine = put(&mut names, "/late", other);
    assert_eq!(name_of(decided(&mut names, &fine)).descriptor, other);
}

#[test]
fn a_named_file_keeps_its_name() {
    let mut names = Names::new();
    let file = leased(&mut names);
    let finish = put(&mut names, "/a", file);
    let named = name_of(decided(&mut names, &finish));
    assert_eq!(give_up(&mut names, &[file]), Ok(RootAnswer::Done));
    // The repeated end of its put is answered as the first.
    assert_eq!(name_of(decided(&mut names, &finish)), named);
    names.rename("/a", "/b", false).unwrap();
    assert_eq!(names.stat("/b").unwrap().descriptor, file);
}

#[test]
fn a_create_given_up_gets_another_descriptor() {
    let mut names = Names::new();
    let file = leased(&mut names);
    give_up(&mut names, &[file]).unwrap();
    let create = Decide {
        begun: Begun::Record(file),
        ..names.decide("/a")
    };
    assert_ne!(name_of(decided(&mut names, &create)).descriptor, file);
    assert_eq!(names.removals(), [file]);
}

#[test]
fn files_given_up_are_bounded() {
    let mut names = Names::new();
    let file = |id: u32| FileDescriptor {
        id: FileId(id),
        version: FileVersion(1),
    };
    let all: Vec<FileDescriptor> = (1..=1_000_000).map(file).collect();
    for some in all.chunks(50_000) {
        give_up(&mut names, some).unwrap();
    }
    // Those that are marked cost nothing again, and none makes room for another.
    give_up(&mut names, &all[..10]).unwrap();
    let refused = give_up(&mut names, &[file(1_000_001)]);
    assert!(matches!(refused, Err(Refusal::OutOfRange { .. })));
    assert!(names.view.is_given_up(file(1)));
}
