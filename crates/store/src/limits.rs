//! Every limit of the store, in one place. A request past one is refused with [`crate::StoreError::TooLarge`], never
//! cut short in silence.

/// Rows one scan or page may ask for; whoever wants more pages by key.
pub const PAGE_MAX: usize = 10_000;
/// Bytes in one stored body.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes in a collection, partition or key (an S3 key alone may have 1,024, and is escaped by its owner).
pub const KEY_BYTES_MAX: usize = 8 * 1024;
/// Rows one atomic command may write.
pub const COMMAND_WRITES_MAX: usize = 10_000;
/// Commands that wait for the writer before senders are held back.
pub const WRITE_QUEUE_MAX: usize = 4_096;
/// Commands that share one transaction. Large enough to hide the sync, small enough to keep its latency low.
pub const GROUP_MAX: usize = 512;
/// Ended executions looked at, and executions deleted in one transaction, by one step of retention.
pub const PRUNE_PAGE: usize = 256;
pub const PRUNE_CHUNK: usize = 16;
/// Read-only connections, and with them reads that run at the same time.
pub const READERS_MAX: usize = 4;
/// Pages of 8 KiB in the write-ahead log after which the background checkpoint is nudged, and again at each multiple.
/// The more pages, the more of them were written twice and are moved once.
pub const WAL_NUDGE_PAGES: u32 = 2_000;
/// Pages in the write-ahead log after which the writer itself checkpoints, so that the log starts over.
pub const WAL_RESET_PAGES: u32 = 8_000;
/// Prepared statements each connection keeps.
pub const STATEMENTS_MAX: usize = 128;
/// Rows kept as values, most recently used.
pub const CACHED_GATES_MAX: usize = 4_096;
pub const CACHED_EXECUTIONS_MAX: usize = 2_048;
pub const CACHED_DEFINITIONS_MAX: usize = 512;
/// Numbers of pipelines and executions the writer remembers.
pub const CACHED_IDS_MAX: usize = 16_384;
/// Connections a node has to PostgreSQL: for reads, the writers and small commands. One more listens.
pub const POSTGRES_CONNECTIONS_MAX: usize = 12;
/// Groups of commands that are on their way into PostgreSQL at the same time.
pub const POSTGRES_WRITERS: usize = 2;
/// Seconds a read waits for a connection, a connection may take to be made, a statement may run, and a transaction may
/// stand still before the server ends it.
pub const POSTGRES_WAIT_SECONDS: u64 = 30;
pub const POSTGRES_CONNECT_SECONDS: u64 = 10;
pub const POSTGRES_STATEMENT_SECONDS: u64 = 60;
pub const POSTGRES_IDLE_SECONDS: u64 = 10;
/// How often a group that met another writer is tried again before each of its commands is tried alone.
pub const POSTGRES_TRIES_MAX: u32 = 5;
/// Writers whose last commit PostgreSQL remembers; older ones have long been told what became of it.
pub const POSTGRES_WRITERS_KEPT: i64 = 10_000;
/// Milliseconds between tries to reach a PostgreSQL that does not answer: the first, and at the most.
pub const POSTGRES_RETRY_MS: u64 = 50;
pub const POSTGRES_RETRY_MS_MAX: u64 = 2_000;
/// Bytes of a document's key that PostgreSQL's index holds, and of its collection and partition together.
pub const POSTGRES_KEY_HEAD_BYTES: usize = 1_024;
pub const POSTGRES_PARTITION_BYTES_MAX: usize = 1_400;
