//! Every bound of the operators' doors, with its unit and the reason for the number.

use std::time::Duration;

/// HTTP connections served at once: a few scrapers and people.
pub const HTTP_CONNECTIONS_MAX: usize = 64;

/// How long one HTTP connection may last, whatever it does: a slow reader holds a place no longer,
/// and a scraper connects again.
pub const HTTP_CONNECTION_LIFE: Duration = Duration::from_secs(120);

/// How long the head of an HTTP request may take to arrive.
pub const HTTP_HEAD_WAIT: Duration = Duration::from_secs(10);

/// Bytes of the head of an HTTP request: what a browser with long cookies sends.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 << 10;

/// Pause after a failed accept: the process is out of descriptors, most likely.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a server looks at itself for what has changed.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Events kept; older ones are in the log.
pub const EVENTS_KEPT: usize = 200;

/// A leader without an answer of a majority for so many election times does not lead any more,
/// whatever it believes.
pub const QUORUM_ELECTIONS_MAX: u64 = 3;

/// Events that wait to be taken down: people do few things a second.
pub const EVENTS_WAITING_MAX: usize = 64;

/// Sessions at one console: people, and a few programs.
pub const SESSIONS_MAX: usize = 16;

/// Bytes of a line at the console: the longest command and two of the longest paths.
pub const LINE_BYTES_MAX: usize = 10_000;

/// Bytes read from a session at once.
pub const READ_BYTES: usize = 4_096;

/// How long a login may take to come.
pub const LOGIN_WAIT: Duration = Duration::from_secs(30);

/// Pause before a wrong login is told: a guess a second for each place is no guessing.
pub const WRONG_LOGIN_PAUSE: Duration = Duration::from_secs(1);

/// How long nobody may type: people look something up.
pub const IDLE_WAIT: Duration = Duration::from_secs(15 * 60);

/// How long a session may last: the rights of its login are looked up anew then.
pub const SESSION_LIFE: Duration = Duration::from_secs(4 * 60 * 60);

/// How long an answer may wait to be read: a pager that stands longer loses its session.
pub const WRITE_WAIT: Duration = Duration::from_secs(10);

/// How long a command may take in the cluster.
pub const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How long a server may take to tell how it is: it answers from memory.
pub const STATUS_WAIT: Duration = Duration::from_secs(2);

/// Names, blocks or lines of the audit log in one answer.
pub const NAMES_SHOWN_MAX: usize = 1_000;

/// How old a look at the whole cluster may be: the page asks once a second.
pub const VIEW_AGE_MAX: Duration = Duration::from_millis(900);

/// How long a look at the whole cluster may take: a server that does not answer takes
/// [`STATUS_WAIT`] of it.
pub const VIEW_WAIT: Duration = Duration::from_secs(4);
