//! Words that hide what a thing is, and marks of unfinished work.

use crate::{Fault, Source};

const EMPTY_NAMES: &[&str] = &["Manager", "Helper", "Util", "Wrapper", "Processor"];
const UNFINISHED: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Type names that say nothing, ignored tests, unfinished work.
pub fn check(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    if source.path.starts_with("xtask/") {
        return faults;
    }
    for (index, line) in source.text.lines().enumerate() {
        let mut fault = |what| {
            faults.push(Fault {
                file: source.path.clone(),
                line: index + 1,
                what,
            })
        };
        if let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
            fault(format!("`{word}`: finish it or say what is so"));
        }
        if line.trim_start().starts_with("#[ignore") {
            fault("an ignored test proves nothing".to_owned());
        }
        if let Some(name) = defined_type(line)
            && let Some(word) = EMPTY_NAMES.iter().find(|word| name.ends_with(**word))
        {
            fault(format!("`{name}`: `{word}` says nothing; name what it is"));
        }
    }
    faults
}

fn defined_type(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line
        .strip_prefix("pub ")
        .or(line.strip_prefix("pub(crate) "))
        .unwrap_or(line);
    let rest = ["struct ", "enum ", "trait ", "type "]
        .iter()
        .find_map(|keyword| line.strip_prefix(keyword))?;
    rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> usize {
        check(&Source {
            path: "a/src/b.rs".to_owned(),
            text: text.to_owned(),
        })
        .len()
    }

    #[test]
    fn empty_names_are_found() {
        assert_eq!(faults("pub struct BlockManager {"), 1);
        assert_eq!(faults("pub struct BlockStore {"), 0);
        assert_eq!(faults("// TODO: later"), 1);
        assert_eq!(faults("    #[ignore]"), 1);
    }
}
