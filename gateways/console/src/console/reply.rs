//! Answers: rows, fields or a sentence, as text for people or one JSON object for programs. Pure.

use serde_json::{Map, Value, json};

use crate::ask::AskFault;

/// What a command is answered with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// It was done, and there is nothing to say.
    Done,
    /// A sentence.
    Said(String),
    /// Named values.
    Fields(Vec<(&'static str, Value)>),
    /// A table.
    Rows {
        columns: Vec<String>,
        rows: Vec<Vec<Value>>,
    },
    /// The name is to be typed before it goes on.
    Confirm(String),
    /// It was not done.
    Refused { code: &'static str, what: String },
}

impl Reply {
    /// A table with these columns.
    pub(crate) fn rows<const N: usize>(
        columns: [&str; N],
        rows: impl IntoIterator<Item = [Value; N]>,
    ) -> Reply {
        Reply::Rows {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: rows.into_iter().map(Vec::from).collect(),
        }
    }

    /// A refusal.
    pub(crate) fn refused(code: &'static str, what: impl ToString) -> Reply {
        Reply::Refused {
            code,
            what: what.to_string(),
        }
    }

    /// The refusal of a command that could not go on without an answer.
    pub(crate) fn unanswered(fault: &AskFault) -> Reply {
        Reply::refused(fault.code(), fault)
    }

    /// What became of it, in a word: for counting and for the audit log.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Reply::Refused { code, .. } => code,
            Reply::Confirm(_) => "to_be_confirmed",
            _ => "ok",
        }
    }

    /// The bytes that are sent.
    pub(crate) fn text(&self, is_json: bool) -> String {
        if is_json {
            return format!("{}\n", self.object());
        }
        match self {
            Reply::Done => "ok\n".to_owned(),
            Reply::Said(what) => format!("  {}\nok\n", on_one_line(what)),
            Reply::Fields(fields) => {
                let rows: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| vec![(*name).to_owned(), plain(value)])
                    .collect();
                format!("{}ok\n", table(&rows))
            }
            Reply::Rows { columns, rows } => {
                let cells = rows.iter().map(|row| row.iter().map(plain).collect());
                let rows: Vec<Vec<String>> =
                    std::iter::once(columns.clone()).chain(cells).collect();
                format!("{}ok\n", table(&rows))
            }
            Reply::Confirm(name) => format!("confirm by typing {name}\n"),
            Reply::Refused { code, what } => format!("error {code} {}\n", on_one_line(what)),
        }
    }

    fn object(&self) -> Value {
        match self {
            Reply::Done => json!({ "ok": true }),
            Reply::Said(what) => json!({ "ok": true, "said": what }),
            Reply::Fields(fields) => {
                let fields = fields.iter().cloned();
                let fields: Map<_, _> = fields
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect();
                json!({ "ok": true, "fields": fields })
            }
            Reply::Rows { columns, rows } => {
                let row = |row: &Vec<Value>| {
                    let cells = columns.iter().cloned().zip(row.iter().cloned());
                    Value::Object(cells.collect())
                };
                let rows: Vec<_> = rows.iter().map(row).collect();
                json!({ "ok": true, "rows": rows })
            }
            Reply::Confirm(name) => json!({ "ok": false, "confirm": name }),
            Reply::Refused { code, what } => {
                json!({ "ok": false, "error": { "code": code, "what": what } })
            }
        }
    }
}

/// Aligned columns, each line after two blanks, so that none is taken for the end of an answer.
fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let pad = width - cell.chars().count();
            line.push_str("  ");
            line.push_str(cell);
            line.push_str(&" ".repeat(pad));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => on_one_line(text),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A name may hold anything; a line ends once.
fn on_one_line(text: &str) -> String {
    let letter = |letter: char| match letter {
        letter if letter.is_control() => letter.escape_default().collect(),
        letter => String::from(letter),
    };
    text.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_indented() {
        let reply = Reply::rows(
            ["name", "bytes"],
            [
                [json!("a\nok"), json!(7)],
                [json!("longer-name"), Value::Null],
            ],
        );
        assert_eq!(
            reply.text(false),
            "  name         bytes\n  a\\nok        7\n  longer-name  -\nok\n"
        );
        assert_eq!(
            reply.text(true),
            "{\"ok\":true,\"rows\":[{\"bytes\":7,\"name\":\"a\\nok\"},\
             {\"bytes\":null,\"name\":\"longer-name\"}]}\n"
        );
    }

    #[test]
    fn refusals_end_an_answer() {
        let reply = Reply::refused("usage", "usage:\nstat PATH");
        assert_eq!(reply.text(false), "error usage usage:\\nstat PATH\n");
        assert_eq!(reply.outcome(), "usage");
        let confirm = Reply::Confirm("d-1".to_owned());
        assert_eq!(confirm.text(false), "confirm by typing d-1\n");
        assert_eq!(confirm.text(true), "{\"confirm\":\"d-1\",\"ok\":false}\n");
    }
}
