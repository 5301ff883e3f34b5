//! Where the keys of a RON text are: finds the line of a key by its path and the path at a place,
//! which the deserializer does not tell.
//!
//! Reads leniently: the text may be damaged, then as many keys are found as can be.

/// One key of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    path: String,
    line: usize,
    column: usize,
}

/// The place of the key with this path, or of the nearest key above it.
pub(super) fn place_of(text: &str, path: &str) -> (usize, usize) {
    let keys = keys(text);
    let mut path = path;
    loop {
        if let Some(key) = keys.iter().find(|key| key.path == path) {
            return (key.line, key.column);
        }
        match path.rfind(['.', '[']) {
            Some(cut) => path = &path[..cut],
            None => return (1, 1),
        }
    }
}

/// The path of the last key that begins at or before a place.
pub(super) fn key_at(text: &str, line: usize, column: usize) -> String {
    keys(text)
        .into_iter()
        .take_while(|key| (key.line, key.column) <= (line, column))
        .last()
        .map(|key| key.path)
        .unwrap_or_default()
}

/// The path of `name` beside the key `path`.
pub(super) fn sibling(path: &str, name: &str) -> String {
    match path.rfind('.') {
        Some(cut) => format!("{}.{name}", &path[..cut]),
        None => name.to_owned(),
    }
}

/// The path of a key that is missing in the record which ends at a place.
pub(super) fn missing_in(text: &str, line: usize, column: usize, name: &str) -> String {
    let before = text_before(text, line, column);
    let mut scanner = Scanner::new(before);
    while scanner.step().is_some() {}
    // The record that lacks the key was just closed, or is about to be.
    let open = scanner.levels.last().map(|level| level.path.clone());
    let record = scanner.closed.take().or(open).unwrap_or_default();
    if record.is_empty() {
        name.to_owned()
    } else {
        format!("{record}.{name}")
    }
}

fn text_before(text: &str, line: usize, column: usize) -> &str {
    let mut start = 0;
    for _ in 1..line {
        match text[start..].find('\n') {
            Some(end) => start += end + 1,
            None => return text,
        }
    }
    let end = text[start..]
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(text.len(), |(offset, _)| start + offset);
    &text[..end]
}

fn keys(text: &str) -> Vec<Key> {
    let mut scanner = Scanner::new(text);
    let mut keys = Vec::new();
    while let Some(found) = scanner.step() {
        keys.extend(found);
    }
    keys
}

/// An open bracket.
struct Level {
    /// The path of what the bracket belongs to.
    path: String,
    /// In a list, which entry is next.
    entry: Option<usize>,
    /// The key whose value comes next.
    key: Option<String>,
}

struct Scanner<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
    levels: Vec<Level>,
    /// The path of the bracket closed last, when nothing came after it.
    closed: Option<String>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text.chars().peekable(),
            line: 1,
            column: 1,
            levels: Vec::new(),
            closed: None,
        }
    }

    /// The path of the value that would come now.
    fn path(&self) -> String {
        let Some(level) = self.levels.last() else {
            return String::new();
        };
        match (&level.key, level.entry) {
            (Some(key), _) if level.path.is_empty() => key.clone(),
            (Some(key), _) => format!("{}.{key}", level.path),
            (None, Some(entry)) => format!("{}[{entry}]", level.path),
            (None, None) => level.path.clone(),
        }
    }

    fn take(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        if next == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(next)
    }

    /// Reads one token; `None` at the end, `Some(None)` for all that is no key.
    fn step(&mut self) -> Option<Option<Key>> {
        let (line, column) = (self.line, self.column);
        let next = self.take()?;
        if !next.is_whitespace() && next != ')' && next != ']' && next != '/' {
            self.closed = None;
        }
        match next {
            '(' | '{' => self.open(None),
            '[' => self.open(Some(0)),
            ')' | '}' | ']' => self.closed = self.levels.pop().map(|level| level.path),
            ',' => self.next_entry(),
            '"' => self.skip_string(),
            '/' => self.skip_comment(),
            c if c.is_alphabetic() || c == '_' => return Some(self.word(c, line, column)),
            _ => {}
        }
        Some(None)
    }

    fn open(&mut self, entry: Option<usize>) {
        let path = self.path();
        self.levels.push(Level {
            path,
            entry,
            key: None,
        });
    }

    fn next_entry(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.key = None;
            level.entry = level.entry.map(|entry| entry + 1);
        }
    }

    fn skip_string(&mut self) {
        while let Some(next) = self.take() {
            match next {
                '\\' => drop(self.take()),
                '"' => return,
                _ => {}
            }
        }
    }

    fn skip_comment(&mut self) {
        match self.rest.peek() {
            Some('/') => while self.take().is_some_and(|next| next != '\n') {},
            Some('*') => {
                let mut last = ' ';
                while let Some(next) = self.take() {
                    if last == '*' && next == '/' {
                        return;
                    }
                    last = next;
                }
            }
            _ => {}
        }
    }

    /// A key when a colon follows; else the name of a record or variant, which opens no path.
    fn word(&mut self, first: char, line: usize, column: usize) -> Option<Key> {
        let mut name = String::from(first);
        while let Some(next) = self.rest.peek().copied() {
            if !next.is_alphanumeric() && next != '_' {
                break;
            }
            name.extend(self.take());
        }
        while self.rest.peek().is_some_and(|next| next.is_whitespace()) {
            self.take();
        }
        if self.rest.peek() != Some(&':') {
            return None;
        }
        self.levels.last_mut()?.key = Some(name);
        Some(Key {
            path: self.path(),
            line,
            column,
        })
    }
}
