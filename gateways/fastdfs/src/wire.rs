//! The constants of the FastDFS protocols, as of FastDFS 6.16. Integers are big-endian.

/// Bytes of a header.
pub const HEADER_BYTES: usize = 10;
/// The command of every response.
pub const RESPONSE: u8 = 100;

/// Bytes of a group's name.
pub const GROUP_BYTES: usize = 16;
/// Bytes of a file extension, without its dot.
pub const EXTENSION_BYTES: usize = 6;
/// Bytes of the prefix of a slave file.
pub const PREFIX_BYTES: usize = 16;
/// Bytes of a storage id.
pub const STORAGE_ID_BYTES: usize = 16;
/// Bytes of a version text.
pub const VERSION_BYTES: usize = 8;
/// Bytes of a host and port text.
pub const HOST_PORT_BYTES: usize = 52;
/// A file name in a request is shorter.
pub const NAME_BYTES_END: usize = 128;
/// A file name asked of a tracker is at least so long.
pub const TRACKER_NAME_BYTES_MIN: usize = 22;
/// Bytes of an IPv4 text in a record; one less in the answer to a query.
pub const IPV4_BYTES: usize = 16;
/// Bytes of an IPv6 text in a record; one less in the answer to a query.
pub const IPV6_BYTES: usize = 46;
/// The path index that leaves the choice to the server.
pub const ANY_PATH: u8 = 0xff;

/// The version this server says it is: clients choose the forms of records by it.
pub const VERSION: &str = "6.16";

/// Commands both servers know.
pub mod common {
    /// Closes the connection.
    pub const QUIT: u8 = 82;
    /// Asks whether the connection works.
    pub const ACTIVE_TEST: u8 = 111;
}

/// Commands of a tracker.
pub mod tracker {
    /// A storage to upload to, of any group.
    pub const STORE_ONE: u8 = 101;
    /// A storage that has a file.
    pub const FETCH_ONE: u8 = 102;
    /// The storage to change a file at.
    pub const UPDATE: u8 = 103;
    /// A storage to upload to, of a group.
    pub const STORE_IN_GROUP_ONE: u8 = 104;
    /// All storages that have a file.
    pub const FETCH_ALL: u8 = 105;
    /// All storages to upload to, of any group.
    pub const STORE_ALL: u8 = 106;
    /// All storages to upload to, of a group.
    pub const STORE_IN_GROUP_ALL: u8 = 107;
    /// All that tell where uploads may go.
    pub const TELL_WRITABLE: [u8; 6] = [
        STORE_ONE,
        STORE_IN_GROUP_ONE,
        STORE_ALL,
        STORE_IN_GROUP_ALL,
        ONE_GROUP,
        ALL_GROUPS,
    ];
    /// Takes a group away.
    pub const DELETE_GROUP: u8 = 108;
    /// One group.
    pub const ONE_GROUP: u8 = 90;
    /// All groups.
    pub const ALL_GROUPS: u8 = 91;
    /// Storages of a group.
    pub const STORAGES: u8 = 92;
    /// Takes a storage away.
    pub const DELETE_STORAGE: u8 = 93;
    /// Chooses the trunk server.
    pub const SET_TRUNK_SERVER: u8 = 94;
    /// The leading tracker.
    pub const LEADER: u8 = 95;
    /// All trackers.
    pub const TRACKER_STAT: u8 = 96;
    /// All storages, in brief.
    pub const STORAGE_STAT: u8 = 97;
    /// The room of all groups.
    pub const VOLUME_STAT: u8 = 98;
    /// One storage, in brief.
    pub const STORAGE_STATUS: u8 = 71;
    /// Parameters, as text.
    pub const PARAMETERS: u8 = 75;
    /// Ids of storages, as text.
    pub const STORAGE_IDS: u8 = 69;
}

/// Commands of a storage.
pub mod storage {
    /// A new file.
    pub const UPLOAD: u8 = 11;
    /// Deletes a file.
    pub const DELETE: u8 = 12;
    /// Sets metadata.
    pub const SET_METADATA: u8 = 13;
    /// Reads a file.
    pub const DOWNLOAD: u8 = 14;
    /// Reads metadata.
    pub const GET_METADATA: u8 = 15;
    /// A new file beside another one.
    pub const UPLOAD_SLAVE: u8 = 21;
    /// What a storage has logged of the files of one of its store paths: it is asked of others, not
    /// answered here.
    pub const PATH_LOG: u8 = 26;
    /// Size, time and checksum of a file.
    pub const INFO: u8 = 22;
    /// A new file that grows.
    pub const UPLOAD_APPENDER: u8 = 23;
    /// Appends to one.
    pub const APPEND: u8 = 24;
    /// Writes within one.
    pub const MODIFY: u8 = 34;
    /// Changes the size of one.
    pub const TRUNCATE: u8 = 36;
    /// Makes a normal file of one.
    pub const REGENERATE: u8 = 38;
}

/// What a storage is, in a tracker's records.
pub mod status {
    /// Taken out of its group.
    pub const DELETED: u8 = 4;
    /// Not reached.
    pub const OFFLINE: u8 = 5;
    /// Serving.
    pub const ACTIVE: u8 = 7;
}
