//! A store path of a FastDFS storage on this machine: `data/00/00/` and so on, files beside their
//! metadata.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use sdfs_fastdfs::FileName;

use super::listed::{Listed, is_metadata};
use crate::args::PathArg;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};

/// Store paths by number.
#[derive(Debug, Default)]
pub(super) struct StorePaths(BTreeMap<u8, PathBuf>);

/// What lies in a folder of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    /// Of a file beside it.
    Metadata,
    /// Small files merged into one.
    TrunkContainer,
    /// Nothing that has an id.
    Other,
}

impl StorePaths {
    /// As typed: those without a number have that of their place.
    pub(super) fn of(args: &[PathArg]) -> Outcome<StorePaths> {
        let mut paths = BTreeMap::new();
        for (place, arg) in args.iter().enumerate() {
            let wrong = |what| Failure::new(Code::Usage, what);
            let number = arg.number.map_or_else(|| u8::try_from(place), Ok);
            let number = number.map_err(|_| wrong("there are at most 256 --path".to_owned()))?;
            if !arg.folder.join("data").is_dir() {
                let what = format!("{} has no folder `data`", arg.folder.display());
                return Err(Failure::new(Code::Local, what)
                    .advise("--path takes a `store_path` of the storage's configuration"));
            }
            if let Some(other) = paths.insert(number, arg.folder.clone()) {
                let other = other.display();
                let what = format!(
                    "{other} and {} are both M{number:02X}",
                    arg.folder.display()
                );
                return Err(wrong(what));
            }
        }
        Ok(StorePaths(paths))
    }

    /// Everything in them that has an id, in the order of names.
    pub(super) async fn list(&self, group: &str) -> Outcome<Listed> {
        let mut listed = Listed::default();
        for (number, folder) in &self.0 {
            let data = folder.join("data");
            for upper in numbered(&data)? {
                let folder = data.join(&upper);
                for lower in numbered(&folder)? {
                    let prefix = format!("M{number:02X}/{upper}/{lower}/");
                    take_folder(&folder.join(&lower), (group, &prefix), &mut listed)?;
                    // Whoever is to stop this is heard between two folders.
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(listed)
    }

    /// Where the file of a name lies; nothing when its store path was not given.
    pub(super) fn place(&self, name: &FileName<'_>) -> Option<PathBuf> {
        let number = u8::try_from(name.place >> 16).ok()?;
        // Behind `M00/`.
        let below = name.text.get(4..)?;
        Some(self.0.get(&number)?.join("data").join(below))
    }
}

/// Where the metadata of a file lies.
pub(super) fn metadata_of(file: &Path) -> PathBuf {
    let mut path = OsString::from(file);
    path.push("-m");
    path.into()
}

/// The names in a folder, in order; those that are no text are no names of FastDFS.
fn names(folder: &Path) -> Outcome<Vec<String>> {
    let fault = |error| Failure::local("read", folder, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The folders of a folder that hold files or more folders of that kind: two digits each.
fn numbered(folder: &Path) -> Outcome<Vec<String>> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    let mut names = names(folder)?;
    names.retain(|name| name.len() == 2 && name.bytes().all(is_digit));
    names.retain(|name| folder.join(name).is_dir());
    Ok(names)
}

fn take_folder(folder: &Path, (group, prefix): (&str, &str), listed: &mut Listed) -> Outcome {
    let names = names(folder)?;
    let has = |file: &str| names.binary_search_by(|name| (**name).cmp(file)).is_ok();
    for name in &names {
        match kind_of(prefix, name, has) {
            Kind::File if folder.join(name).is_file() => {
                listed.ids.insert(format!("{group}/{prefix}{name}"));
            }
            Kind::Metadata => {}
            Kind::TrunkContainer => listed.trunk_containers += 1,
            Kind::File | Kind::Other => listed.passed_over += 1,
        }
    }
    Ok(())
}

/// What an entry of a folder is; `has` says what else is there.
fn kind_of(prefix: &str, name: &str, has: impl Fn(&str) -> bool) -> Kind {
    let whole = format!("{prefix}{name}");
    let beside = |whole: &str| whole.strip_prefix(prefix).is_some_and(&has);
    let is_beside = |name: &str| name.strip_suffix("-m").is_some_and(&has);
    let is_digits = name.len() >= 6 && name.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits {
        Kind::TrunkContainer
    } else if FileName::parse(whole.as_bytes()).is_err() {
        Kind::Other
    } else if !is_metadata(&whole, beside) {
        Kind::File
    } else if is_beside(name) {
        Kind::Metadata
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin";
    const EMPTY_EXTENSION: &str = "fwAAAmsAIJ6AC9vbAAATiNzyTgQ5561570";
    const SLAVE: &str = "fwAAAmsAIJ6AC9vbAAATiNzyTgQ805_150x150.jpg";
    const SHORT_SLAVE: &str = "fwAAAmsAIJ6AC9vbAAATiNzyTgQ805_b";

    #[test]
    fn what_lies_there_is_told_apart() {
        let table: &[(&str, &[&str], Kind)] = &[
            (FILE, &[], Kind::File),
            (EMPTY_EXTENSION, &[], Kind::File),
            (SLAVE, &[], Kind::File),
            (SHORT_SLAVE, &[], Kind::File),
            (&format!("{FILE}-m"), &[FILE], Kind::Metadata),
            (&format!("{SLAVE}-m"), &[SLAVE], Kind::Metadata),
            (&format!("{FILE}-m"), &[], Kind::Other),
            ("000001", &[], Kind::TrunkContainer),
            ("1000000", &[], Kind::TrunkContainer),
            ("00001", &[], Kind::Other),
            ("lost+found", &[], Kind::Other),
            (".fdfs_vote.flag", &[], Kind::Other),
            (&FILE[1..], &[], Kind::File),
            (&FILE[8..], &[], Kind::Other),
        ];
        for (name, others, expected) in table {
            let found = kind_of("M00/00/00/", name, |file| others.contains(&file));
            assert_eq!(found, *expected, "{name} beside {others:?}");
        }
    }

    #[test]
    fn store_paths_have_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = |name: &str| {
            fs::create_dir_all(folder.path().join(name).join("data")).expect("made");
            folder.path().join(name)
        };
        let (a, b) = (made("a"), made("b"));
        let arg = |number, folder: &Path| PathArg {
            number,
            folder: folder.to_owned(),
        };
        let name = |text: &str| format!("{text}/0A/FF/{FILE}");
        let place = |paths: &StorePaths, text: &str| {
            let text = name(text);
            paths.place(&FileName::parse(text.as_bytes()).expect("a name"))
        };
        let paths = StorePaths::of(&[arg(None, &a), arg(Some(5), &b)]).expect("two");
        let below = Path::new("data/0A/FF").join(FILE);
        assert_eq!(place(&paths, "M00"), Some(a.join(&below)));
        assert_eq!(place(&paths, "M05"), Some(b.join(&below)));
        assert_eq!(place(&paths, "M01"), None);
        assert!(StorePaths::of(&[arg(Some(1), &a), arg(None, &b)]).is_err());
        assert!(
            StorePaths::of(&[arg(None, folder.path())]).is_err(),
            "no data"
        );
    }
}
