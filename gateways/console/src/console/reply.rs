//! Answers: rows, fields or a sentence, as text for people or one JSON object for programs. Pure.

use sdfs_types::readable;
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
    /// Named values, and a table after them.
    Both {
        fields: Vec<(&'static str, Value)>,
        columns: Vec<String>,
        rows: Vec<Vec<Value>>,
    },
    /// An answer that may be old, and why.
    Old { why: String, answer: Box<Reply> },
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

    /// A line of an answer that goes on.
    pub(crate) fn line(cells: [String; 3]) -> String {
        format!("  {}\n", cells.map(|cell| on_one_line(&cell)).join("  "))
    }

    /// What became of it, in a word: for counting and for the audit log.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Reply::Refused { code, .. } => code,
            Reply::Confirm(_) => "to_be_confirmed",
            Reply::Old { answer, .. } => answer.outcome(),
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
            Reply::Fields(fields) => format!("{}ok\n", field_table(fields)),
            Reply::Rows { columns, rows } => format!("{}ok\n", row_table(columns, rows)),
            Reply::Both {
                fields,
                columns,
                rows,
            } => {
                let (fields, rows) = (field_table(fields), row_table(columns, rows));
                format!("{fields}  \n{rows}ok\n")
            }
            Reply::Old { why, answer } => {
                format!("  {}\n{}", on_one_line(why), answer.text(false))
            }
            Reply::Confirm(name) => format!("confirm by typing {name}\n"),
            Reply::Refused { code, what } => format!("error {code} {}\n", on_one_line(what)),
        }
    }

    fn object(&self) -> Value {
        match self {
            Reply::Done => json!({ "ok": true }),
            Reply::Said(what) => json!({ "ok": true, "said": what }),
            Reply::Fields(fields) => json!({ "ok": true, "fields": field_object(fields) }),
            Reply::Rows { columns, rows } => {
                json!({ "ok": true, "rows": row_objects(columns, rows) })
            }
            Reply::Both {
                fields,
                columns,
                rows,
            } => json!({
                "ok": true,
                "fields": field_object(fields),
                "rows": row_objects(columns, rows),
            }),
            Reply::Old { why, answer } => {
                let mut object = answer.object();
                object["old"] = json!(why);
                object
            }
            Reply::Confirm(name) => json!({ "ok": false, "confirm": name }),
            Reply::Refused { code, what } => {
                json!({ "ok": false, "error": { "code": code, "what": what } })
            }
        }
    }
}

fn field_table(fields: &[(&'static str, Value)]) -> String {
    let rows: Vec<_> = fields
        .iter()
        .map(|(name, value)| vec![heading(name).to_owned(), cell(name, value)])
        .collect();
    table(&rows)
}

fn row_table(columns: &[String], rows: &[Vec<Value>]) -> String {
    let heads = columns
        .iter()
        .map(|column| heading(column).to_owned())
        .collect();
    let cells = |row: &Vec<Value>| {
        let named = columns.iter().zip(row);
        named.map(|(column, value)| cell(column, value)).collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(heads)
        .chain(rows.iter().map(cells))
        .collect();
    table(&rows)
}

fn field_object(fields: &[(&'static str, Value)]) -> Map<String, Value> {
    let fields = fields.iter().cloned();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn row_objects(columns: &[String], rows: &[Vec<Value>]) -> Vec<Value> {
    let row = |row: &Vec<Value>| {
        let cells = columns.iter().cloned().zip(row.iter().cloned());
        Value::Object(cells.collect())
    };
    rows.iter().map(row).collect()
}

/// What is a moment: milliseconds since the Unix epoch for programs, UTC for people.
const MOMENTS: [&str; 7] = [
    "at_ms",
    "created_ms",
    "modified_ms",
    "ended_ms",
    "since_ms",
    "until_ms",
    "alone_since_ms",
];

/// A column's name, as people read it.
fn heading(name: &str) -> &str {
    match name.strip_suffix("_ms") {
        Some(short) if MOMENTS.contains(&name) => short,
        _ => name,
    }
}

/// A value, as people read it.
fn cell(name: &str, value: &Value) -> String {
    let is_bytes = name.split('_').any(|word| word == "bytes");
    match value.as_u64() {
        Some(ms) if MOMENTS.contains(&name) => readable::moment(ms),
        Some(bytes) if is_bytes && bytes >= 1 << 10 => {
            format!("{bytes} ({})", readable::size(bytes))
        }
        Some(us) if name.ends_with("_us") => readable::micros(us),
        _ => plain(value),
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
    fn people_read_moments_and_sizes() {
        let fields = vec![("size_bytes", json!(100_000)), ("at_ms", json!(0))];
        let columns = vec!["took_us".to_owned(), "ends_in_ms".to_owned()];
        let reply = Reply::Both {
            fields,
            columns,
            rows: vec![vec![json!(2_500), json!(7)]],
        };
        assert_eq!(
            reply.text(false),
            "  size_bytes  100000 (97.7 KiB)\n  at          1970-01-01 00:00:00\n  \n  \
             took_us  ends_in_ms\n  2.50 ms  7\nok\n"
        );
        assert_eq!(
            reply.text(true),
            "{\"fields\":{\"at_ms\":0,\"size_bytes\":100000},\"ok\":true,\
             \"rows\":[{\"ends_in_ms\":7,\"took_us\":2500}]}\n"
        );
    }

    #[test]
    fn an_old_answer_says_so_first() {
        let reply = Reply::Old {
            why: "since noon".to_owned(),
            answer: Box::new(Reply::Said("all is well".to_owned())),
        };
        assert_eq!(reply.text(false), "  since noon\n  all is well\nok\n");
        assert_eq!(
            reply.text(true),
            "{\"ok\":true,\"old\":\"since noon\",\"said\":\"all is well\"}\n"
        );
        assert_eq!(reply.outcome(), "ok");
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
