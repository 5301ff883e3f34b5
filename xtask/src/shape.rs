//! Sizes: a reader holds one thing at a time.

use crate::{Fault, Source};

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 500;
/// Columns of a line.
const LINE_COLUMNS_MAX: usize = 100;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[(
    "core/types/src/calls/names.rs",
    "the calls of a client are one list, with a line of documentation a field",
)];

/// Too long a file or line, or a file that does not say what it holds.
pub fn check(source: &Source) -> Vec<Fault> {
    let fault = |line, what| Fault {
        file: source.path.clone(),
        line,
        what,
    };
    let mut faults = Vec::new();
    let lines = source.shipped_lines().count();
    let longer = LONGER.iter().any(|(file, _)| *file == source.path);
    if lines > FILE_LINES_MAX && !longer && !source.is_test() {
        faults.push(fault(
            0,
            format!("{lines} lines before its tests; split it, or say why not"),
        ));
    }
    if !source.text.starts_with("//!") && !source.text.starts_with("#![") {
        faults.push(fault(
            1,
            "begins without a `//!` line saying what it holds".to_owned(),
        ));
    }
    for (index, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX && !line.contains("http") {
            faults.push(fault(
                index + 1,
                format!("{columns} columns; {LINE_COLUMNS_MAX} at most"),
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let source = Source {
            path: "a/src/b.rs".to_owned(),
            text: text.to_owned(),
        };
        check(&source).into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn long_files_are_found() {
        let text = format!("//! A.\n{}", "x\n".repeat(500));
        assert_eq!(
            faults(&text),
            ["501 lines before its tests; split it, or say why not"]
        );
        let tested = format!("//! A.\n#[cfg(test)]\n{}", "x\n".repeat(500));
        assert_eq!(faults(&tested), [""; 0]);
    }

    #[test]
    fn files_say_what_they_hold() {
        assert_eq!(faults("fn a() {}\n").len(), 1);
    }
}
