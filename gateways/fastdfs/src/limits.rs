//! Every bound of the FastDFS doors, with its unit and the reason for the number.

use std::time::Duration;

/// Connections served at once by one door: a connection at rest costs a few kilobytes.
pub const CONNECTIONS_MAX: usize = 8_192;

/// How long a connection may rest in the middle of a request, or without ever sending one:
/// FastDFS's `network_timeout` as it is shipped.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a connection may rest between two requests: FastDFS's rest for ever, and its clients
/// open another one when theirs was closed. A client that is gone is noticed sooner, by keep-alive.
pub const IDLE_MAX: Duration = Duration::from_secs(3_600);

/// Content that others may have to wait for must bring [`CONTENT_WINDOW_BYTES_MIN`] in each such
/// time: who holds room for it gives it back soon, or is cut off.
pub const CONTENT_WINDOW: Duration = Duration::from_secs(10);

/// 64 KiB a second: half a megabit, far below any network of servers.
pub const CONTENT_WINDOW_BYTES_MIN: usize = 640 << 10;

/// A reader of a file must take [`READER_WINDOW_BYTES_MIN`] in each such time in which it is waited
/// for.
pub const READER_WINDOW: Duration = Duration::from_secs(30);

/// 1 KiB a second: the slowest telephone reads faster.
pub const READER_WINDOW_BYTES_MIN: usize = 30 << 10;

/// HTTP connections served at once by one door: a slow reader of a large file holds up to
/// [`PIECES_AHEAD`] and one pieces, so that all of them hold 1 GiB.
pub const HTTP_CONNECTIONS_MAX: usize = 1_024;

/// How long the head of an HTTP request may take to arrive, and how long a connection may rest
/// between two requests: a browser asks for what a page shows at once.
pub const HTTP_HEAD_WAIT: Duration = Duration::from_secs(10);

/// Bytes of the head of an HTTP request: what a browser with long cookies sends.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a part of a file is looked for before a client is told that it is not to be had: longer
/// than a leader election and two silent members, shorter than proxies wait.
pub const READ_WAIT: Duration = Duration::from_secs(10);

/// Pieces of a file on their way to a door while one is being sent.
pub const PIECES_AHEAD: usize = 3;

/// Bytes read from a connection at once, and the least room made for it.
pub const READ_BYTES: usize = 16 << 10;

/// Room made at once for the rest of an upload that is arriving.
pub const READ_BYTES_MAX: usize = 256 << 10;

/// What is read of a refused request's rest, bytes: as much as FastDFS reads before it looks at a
/// request. When no more is left the connection goes on, unless the request was wrong.
pub const UNREAD_BYTES_MAX: usize = 256 << 10;

/// How long it is read when the connection is to be closed.
pub const UNREAD_WAIT: Duration = Duration::from_secs(1);

/// Parameters of a storage command, bytes: FastDFS's `buff_size`. What is no content must fit.
pub const PARAMETERS_BYTES_MAX: u64 = 256 << 10;

/// The body of a tracker command, bytes: a group and a file name are the longest.
pub const TRACKER_BODY_BYTES_MAX: u64 = 1 << 10;

/// Bytes of larger uploads that are in memory at once; others wait before they are read.
pub const UPLOADS_BYTES_MAX: usize = 256 << 20;

/// An upload up to this size waits for no share of [`UPLOADS_BYTES_MAX`]: as many as there are
/// connections fit into memory.
pub const SMALL_UPLOAD_BYTES: usize = 64 << 10;

/// A file is sent in pieces of this size: a slow reader holds one, and of a file with a record
/// [`PIECES_AHEAD`] more.
pub const DOWNLOAD_PIECE_BYTES: u32 = 256 << 10;

/// What an append or modify writes at once, bytes: it waits in memory until it is written, and is
/// seen at once or not at all. Of a longer one it is so for each piece.
pub const CHANGE_BYTES_MAX: u64 = 64 << 20;

/// Pause before a change that met another one is tried again.
pub const CONFLICT_PAUSE: Duration = Duration::from_millis(2);

/// Pause before a change of a file is tried again that is being made a normal one.
pub const SEALED_PAUSE: Duration = Duration::from_millis(50);

/// How long a file stays sealed for one who makes it a normal one and was stopped in between. Half
/// of it is for reading all of the file, the rest for the rename and clocks that differ.
pub const SEAL_MAX: Duration = Duration::from_secs(600);

/// All metadata of a file, bytes: what one request may bring, so that FastDFS's limit holds.
pub const METADATA_BYTES_MAX: usize = PARAMETERS_BYTES_MAX as usize;

/// How long one command may take in the cluster.
pub const COMMAND_WAIT: Duration = Duration::from_secs(20);

/// How old what a storage knows of files brought in from another FastDFS may be: so often it asks
/// while somebody comes with names that nobody here was given, and so late those begin to count.
pub const IMPORTS_KNOWN_FOR: Duration = Duration::from_secs(3);

/// How old what a tracker knows of free space and volumes may be.
pub const VIEW_EVERY: Duration = Duration::from_millis(100);

/// Requests that wait in a storage and halve its share of what comes: about one batch of its disk.
pub(crate) const QUEUE_HALVING: u32 = 64;

/// Pause after a failed accept: the process is out of descriptors, most likely.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Large uploads whose content is digested at a storage's word at once: readers need the disks too.
pub(crate) const SHARED_AT_ONCE: usize = 2;

/// Files read whole for their checksums at once: each takes all of a processor while it is.
pub(crate) const CHECKSUMS_AT_ONCE: usize = 2;

/// How long a checksum may take: half of what a seal lasts.
pub(crate) const CHECKSUM_WAIT: Duration = Duration::from_secs(300);
