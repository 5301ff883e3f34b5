//! Aligned columns.

use crate::output::{Ink, Output};

/// Rows of text, printed with every column as wide as its widest cell.
#[derive(Debug, Default)]
pub(crate) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<Cell>>,
    right: Vec<bool>,
}

/// A cell and its colour.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    ink: Option<Ink>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell {
            text: text.into(),
            ink: None,
        }
    }
}

impl Cell {
    /// A cell in a colour.
    pub(crate) fn inked(ink: Ink, text: impl Into<String>) -> Cell {
        Cell {
            text: text.into(),
            ink: Some(ink),
        }
    }
}

impl Table {
    /// With these heads; one that begins with `>` is aligned to the right.
    pub(crate) fn new(heads: &[&str]) -> Table {
        Table {
            heads: heads
                .iter()
                .map(|head| head.trim_start_matches('>').to_owned())
                .collect(),
            right: heads.iter().map(|head| head.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<Cell>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Prints it, indented by `indent` blanks; nothing when JSON is wanted.
    pub(crate) fn print(&self, out: Output, indent: usize) {
        for line in self.lines(out, indent) {
            out.say(&line);
        }
    }

    fn lines(&self, out: Output, indent: usize) -> Vec<String> {
        let widths = self.widths();
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        if self.heads.iter().any(|head| !head.is_empty()) {
            let heads: Vec<_> = self
                .heads
                .iter()
                .map(|head| Cell::inked(Ink::Dim, head.as_str()))
                .collect();
            lines.push(self.line(out, indent, &widths, &heads));
        }
        for row in &self.rows {
            lines.push(self.line(out, indent, &widths, row));
        }
        lines
    }

    fn line(&self, out: Output, indent: usize, widths: &[usize], row: &[Cell]) -> String {
        let mut line = " ".repeat(indent);
        for (column, cell) in row.iter().enumerate() {
            let pad = widths[column].saturating_sub(width(&cell.text));
            let text = match cell.ink {
                Some(ink) => out.ink(ink, &cell.text),
                None => cell.text.clone(),
            };
            let is_right = self.right.get(column).copied().unwrap_or(false);
            let is_last = column + 1 == row.len();
            if is_right {
                line.push_str(&" ".repeat(pad));
            }
            line.push_str(&text);
            if !is_last {
                line.push_str(&" ".repeat(if is_right { 2 } else { pad + 2 }));
            }
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self
            .rows
            .iter()
            .map(Vec::len)
            .max()
            .unwrap_or(0)
            .max(self.heads.len());
        (0..columns)
            .map(|column| {
                let head = self.heads.get(column).map_or(0, |head| width(head));
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| width(&cell.text))
                    .max()
                    .unwrap_or(0)
                    .max(head)
            })
            .collect()
    }
}

/// Columns of a terminal; wide scripts are counted as one, as they only blur a table.
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["name", ">size"]);
        table.row(["a", "1"]);
        table.row(["longer", "1,000"]);
        let lines = table.lines(Output::new(true), 2);
        assert_eq!(
            lines,
            ["  name     size", "  a           1", "  longer  1,000"]
        );
    }
}
