//! What is to be imported, and what was left out when it was listed. Pure.

use std::collections::BTreeSet;

use sdfs_fastdfs::FileName;

/// A file id taken apart: `group1/M00/00/00/..`.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileId<'a> {
    pub(super) group: &'a str,
    pub(super) name: FileName<'a>,
}

impl<'a> FileId<'a> {
    /// Takes an id apart; nothing when it is none.
    pub(super) fn parse(text: &'a str) -> Option<FileId<'a>> {
        let (group, name) = text.split_once('/')?;
        let is_group = (1..=16).contains(&group.len())
            && group.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let name = FileName::parse(name.as_bytes()).ok()?;
        is_group.then_some(FileId { group, name })
    }
}

/// Ids in order, each once.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) ids: BTreeSet<String>,
    /// What is no file of a known name, or of a group that was not asked for.
    pub(super) passed_over: u64,
    /// Lines that are no ids.
    pub(super) wrong: u64,
    /// Storages that did not tell what they have, and why.
    pub(super) silent: Vec<String>,
    /// Files that hold small files merged into them: their ids are not told there.
    pub(super) trunk_containers: u64,
}

impl Listed {
    /// The ids of a text, one a line; of one group only when that is wanted. Gives the lines that
    /// are no ids, by number.
    pub(super) fn take_lines<'a>(
        &mut self,
        text: &'a str,
        group: Option<&str>,
    ) -> Vec<(usize, &'a str)> {
        let mut wrong = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let line = line.strip_prefix('/').unwrap_or(line);
            match FileId::parse(line) {
                _ if line.is_empty() => {}
                Some(id) if group.is_none_or(|group| group == id.group) => {
                    self.ids.insert(line.to_owned());
                }
                Some(_) => self.passed_over += 1,
                None => {
                    self.wrong += 1;
                    wrong.push((number, line));
                }
            }
        }
        wrong
    }

    /// The groups its files are of.
    pub(super) fn groups(&self) -> BTreeSet<&str> {
        let ids = self.ids.iter().filter_map(|id| FileId::parse(id));
        ids.map(|id| id.group).collect()
    }

    /// Bytes that names tell.
    pub(super) fn told_bytes(&self) -> u64 {
        let ids = self.ids.iter().filter_map(|id| FileId::parse(id));
        ids.filter_map(|id| super::check::told(&id.name))
            .fold(0, |sum: u64, told| sum.saturating_add(told.bytes))
    }
}

/// Whether a name is that of the metadata of another file, of which `has` says whether it is there:
/// `-m` behind its name, which the name of a slave may end in, too.
pub(super) fn is_metadata(name: &str, has: impl Fn(&str) -> bool) -> bool {
    let Some(file) = name.strip_suffix("-m") else {
        return false;
    };
    let is_whole = FileName::parse(name.as_bytes()).is_ok_and(|name| !name.is_slave());
    has(file) || !is_whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin";

    #[test]
    fn ids_are_taken_a_line() {
        let text = format!(
            "group1/{NAME}\r\n\n  /group1/{NAME}\ngroup2/{NAME}\n{NAME}\ngroup1/M00/x\n\
             a_b/{NAME}\nanother12345678901/{NAME}\n"
        );
        let mut all = Listed::default();
        let wrong = all.take_lines(&text, None);
        let numbers: Vec<usize> = wrong.iter().map(|(number, _)| *number).collect();
        // A name without its group reads as one of a group M00.
        assert_eq!(numbers, [5, 6, 7, 8]);
        assert_eq!(all.groups(), BTreeSet::from(["group1", "group2"]));
        assert_eq!((all.ids.len(), all.passed_over, all.wrong), (2, 0, 4));
        assert_eq!(all.told_bytes(), 10_000);
        let mut one = Listed::default();
        one.take_lines(&text, Some("group2"));
        assert_eq!(one.groups(), BTreeSet::from(["group2"]));
        assert_eq!((one.ids.len(), one.passed_over, one.wrong), (1, 2, 4));
    }

    #[test]
    fn metadata_stands_beside_its_file() {
        let slave = "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805_150x150.jpg";
        let ends_so = "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.x-m";
        let table = [
            (format!("{NAME}-m"), true, true),
            (format!("{slave}-m"), true, true),
            // What it belongs to is gone.
            (format!("{NAME}-m"), false, true),
            (format!("{slave}-m"), false, true),
            (NAME.to_owned(), true, false),
            (slave.to_owned(), true, false),
            // An extension that ends so.
            (ends_so.to_owned(), false, false),
            (ends_so.to_owned(), true, true),
        ];
        for (name, has, expected) in table {
            assert_eq!(is_metadata(&name, |_| has), expected, "{name} {has}");
        }
    }
}
