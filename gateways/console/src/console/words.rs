//! The words of a line: apart by blanks, in double quotes when they have blanks themselves. Pure.

/// Why a line has no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsFault {
    /// The second quote is missing.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A backslash in quotes stands before something else than a quote or another one.
    #[error("in quotes a backslash stands before a quote or another backslash")]
    Escape,
    /// Something follows a closing quote at once.
    #[error("a closing quote ends a word")]
    AfterQuote,
}

/// The words of a line.
pub(crate) fn words(line: &str) -> Result<Vec<String>, WordsFault> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let Some(first) = letters.next() else {
            return Ok(words);
        };
        if first != '"' {
            let mut word = String::from(first);
            while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
                word.push(letter);
            }
            words.push(word);
            continue;
        }
        let mut word = String::new();
        loop {
            match letters.next() {
                None => return Err(WordsFault::OpenQuote),
                Some('"') => break,
                Some('\\') => match letters.next() {
                    Some(letter @ ('"' | '\\')) => word.push(letter),
                    _ => return Err(WordsFault::Escape),
                },
                Some(letter) => word.push(letter),
            }
        }
        if letters.peek().is_some_and(|letter| !letter.is_whitespace()) {
            return Err(WordsFault::AfterQuote);
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_told_apart() {
        let table: [(&str, &[&str]); 4] = [
            ("", &[]),
            ("  files\t/a  ", &["files", "/a"]),
            ("stat \"/a b\" \"\"", &["stat", "/a b", ""]),
            (r#"stat "/\"\\" a"b"#, &["stat", "/\"\\", "a\"b"]),
        ];
        for (line, expected) in table {
            assert_eq!(words(line).expect(line), expected, "{line}");
        }
        assert_eq!(words("\"a"), Err(WordsFault::OpenQuote));
        assert_eq!(words("\"a\\n\""), Err(WordsFault::Escape));
        assert_eq!(words("\"a\"b"), Err(WordsFault::AfterQuote));
    }

    proptest! {
        #[test]
        fn any_word_can_be_quoted(word in any::<String>()) {
            let quoted = word.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("stat \"{quoted}\"");
            prop_assert_eq!(words(&line), Ok(vec!["stat".to_owned(), word]));
        }
    }
}
