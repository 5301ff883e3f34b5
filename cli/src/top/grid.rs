//! Tables of the full screen: as many columns as there is room for.

use ratatui::layout::{Alignment, Constraint};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Row, Table};

/// Blanks between two columns.
const GAP: u16 = 1;

/// A column over rows of `T`.
pub(super) struct Column<T> {
    head: &'static str,
    width: u16,
    alignment: Alignment,
    cell: fn(&T) -> Span<'static>,
}

impl<T> Column<T> {
    /// One whose text begins at the left.
    pub(super) fn left(head: &'static str, width: u16, cell: fn(&T) -> Span<'static>) -> Self {
        Column {
            head,
            width,
            alignment: Alignment::Left,
            cell,
        }
    }

    /// One of numbers, aligned to the right.
    pub(super) fn right(head: &'static str, width: u16, cell: fn(&T) -> Span<'static>) -> Self {
        Column {
            alignment: Alignment::Right,
            ..Column::left(head, width, cell)
        }
    }
}

/// A table of rows in a width. Columns come with their importance, 0 for those that always stay;
/// where there is no room for all, the least important are left out.
pub(super) fn table<T>(columns: Vec<(u8, Column<T>)>, rows: &[T], width: u16) -> Table<'static> {
    let columns = fitting(columns, width);
    let heads = columns.iter().map(|column| {
        let head = Line::styled(column.head, dim());
        Cell::from(head.alignment(column.alignment))
    });
    let lines = rows.iter().map(|row| {
        let cells = columns.iter().map(|column| {
            let line = Line::from((column.cell)(row));
            Cell::from(line.alignment(column.alignment))
        });
        Row::new(cells.collect::<Vec<_>>())
    });
    let widths = columns
        .iter()
        .map(|column| Constraint::Length(column.width));
    let heads = Row::new(heads.collect::<Vec<_>>());
    Table::new(lines.collect::<Vec<_>>(), widths.collect::<Vec<_>>())
        .header(heads)
        .column_spacing(GAP)
}

fn fitting<T>(columns: Vec<(u8, Column<T>)>, width: u16) -> Vec<Column<T>> {
    let mut by_rank: Vec<_> = columns
        .iter()
        .map(|(rank, one)| (*rank, one.width))
        .collect();
    by_rank.sort_by_key(|(rank, _)| *rank);
    let mut used = 0;
    let fits = by_rank.iter().take_while(|(_, one)| {
        used += one + GAP;
        used <= width + GAP
    });
    let last = fits.last().map_or(0, |(rank, _)| *rank);
    let kept = columns.into_iter().filter(|(rank, _)| *rank <= last);
    kept.map(|(_, column)| column).collect()
}

/// What is less important.
pub(super) fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// What is more important.
pub(super) fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}
