//! A door for the fuzzer alone: the lines of a console and what they ask for.

use crate::console::{Lines, command};

/// The lines in bytes that arrive in these pieces, each with what is answered when it is no
/// command, and whether the session goes on.
#[must_use]
pub fn lines(pieces: &[&[u8]]) -> (Vec<(String, Option<String>)>, bool) {
    let mut lines = Lines::default();
    let mut told = Vec::new();
    for piece in pieces {
        lines.push(piece);
        loop {
            match lines.next() {
                Ok(Some(line)) => {
                    let fault = command(&line).err().map(|fault| fault.to_string());
                    told.push((line, fault));
                }
                Ok(None) => break,
                Err(_) => return (told, false),
            }
        }
    }
    (told, true)
}
