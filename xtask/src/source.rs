//! A source file, split into the part that ships and its tests.

use std::fs;
use std::io;
use std::path::Path;

/// A Rust file of the checkout.
pub struct Source {
    /// Its path, relative to the root, with forward slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Whether the file holds only tests or benches.
    pub fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.contains("/examples/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("_test")
            || self.path.starts_with("benches/")
    }

    /// The lines before the file's unit tests, numbered from 1.
    pub fn shipped_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
    }

    /// The shipped lines without comments and text in quotes.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, String)> {
        self.shipped_lines()
            .map(|(number, line)| (number, without_words(line)))
    }
}

fn without_words(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut quoted = false;
    let mut before = ' ';
    for letter in line.chars() {
        if letter == '"' && before != '\\' {
            quoted = !quoted;
        } else if !quoted {
            if letter == '/' && before == '/' {
                code.pop();
                break;
            }
            code.push(letter);
        }
        before = letter;
    }
    code
}

/// Reads every Rust file under `root`, build output and data left out.
///
/// # Errors
/// When a file or folder cannot be read.
pub fn read_sources(root: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    read_folder(root, root, &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn read_folder(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name else { continue };
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "data" {
                read_folder(root, &path, sources)?;
            }
        } else if name.ends_with(".rs") {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            sources.push(Source {
                path: relative.to_string_lossy().replace('\\', "/"),
                text: fs::read_to_string(&path)?,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_no_code() {
        assert_eq!(
            without_words("let a = \"std::fs\"; // std::fs"),
            "let a = ; "
        );
        assert_eq!(without_words("std::fs::read()"), "std::fs::read()");
    }
}
