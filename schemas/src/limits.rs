//! Every limit of the wire in one place. A limit that is not here does not exist.

/// Largest JSON body of a request. NATS takes 1 MiB by default; the difference is room for headers.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024 - 64 * 1024;

/// Largest results of a request, as JSON: an answer is one message. Of an update, those that are kept with its id as well.
pub const MAX_RESULTS_BYTES: usize = MAX_REQUEST_BYTES;

/// Longest message of an error. It may quote values of the request, or of the database.
pub const MAX_ERROR_MESSAGE_BYTES: usize = 16 * 1024;

/// Deepest nesting of arrays and objects in a request.
pub const MAX_JSON_DEPTH: usize = 64;

/// Longest request id.
pub const MAX_ID_BYTES: usize = 128;

/// Longest name of a SurrealDB namespace or database.
pub const MAX_DATABASE_NAME_BYTES: usize = 128;

/// Longest affinity key.
pub const MAX_AFFINITY_BYTES: usize = 256;

/// Longest name of a group, CSP or node.
pub const MAX_NAME_BYTES: usize = 64;

/// Most CSPs in a group.
pub const MAX_CSPS: usize = 32;

/// Most tasks that a group may define.
pub const MAX_TASKS: usize = 32;

/// Most nodes that a task may prefer.
pub const MAX_PREFERRED_NODES: usize = 32;

/// Most pools of a group.
pub const MAX_POOLS: usize = 32;

/// Most update windows of a group.
pub const MAX_UPDATE_WINDOWS: usize = 32;

/// How long a request may take if it does not say.
pub const DEFAULT_DEADLINE_MS: u64 = 5_000;

/// The longest that a request may ask for.
pub const MAX_DEADLINE_MS: u64 = 60_000;

/// After how long without a message an open transaction is aborted, if its client does not say.
pub const DEFAULT_TRANSACTION_IDLE_MS: u64 = 10_000;

/// The longest that an open transaction may wait for a message.
pub const MAX_TRANSACTION_IDLE_MS: u64 = 60_000;

/// The longest that a transaction over several messages may stay open.
pub const MAX_TRANSACTION_MS: u64 = 60_000;

/// Most transactions that one CSP keeps open.
pub const MAX_OPEN_TRANSACTIONS: usize = 1_024;

/// Answers to messages of open transactions that one CSP keeps for repetitions, in bytes.
pub const KEPT_ANSWERS_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Most transactions whose end one CSP remembers, so that their late messages are told why they ended.
pub const MAX_ENDED_TRANSACTIONS: usize = 16_384;

/// Longest name of an explicit lock.
pub const MAX_LOCK_NAME_BYTES: usize = 128;

/// Longest text that says who holds a lock.
pub const MAX_LOCK_HOLDER_BYTES: usize = 256;

/// Shortest lease of a lock: time enough to renew it over a failover.
pub const MIN_LOCK_LEASE_MS: u64 = 1_000;

/// How long a lock is held if its holder does not say.
pub const DEFAULT_LOCK_LEASE_MS: u64 = 30_000;

/// Longest lease of a lock: whoever needs more renews it.
pub const MAX_LOCK_LEASE_MS: u64 = 3_600_000;

/// Most locks that one transaction may rely on.
pub const MAX_LOCKS_PER_REQUEST: usize = 16;

/// Most locks in one listing, so that it fits into a message whatever they are called.
pub const MAX_LOCKS_LISTED: usize = 1_500;

/// Most locks that a group keeps.
pub const MAX_LOCKS: usize = 10_000;

/// Largest transaction, encoded: what it writes, what it read, and its results. It is split over several log messages. Part of
/// the rules: every copy voids an entry above it.
pub const TRANSACTION_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Most keys that one transaction may set or delete, those of indexes included. Part of the rules, as the bytes are: each takes
/// 201 bytes of every copy's write buffer beside its key and value, and a transaction has to fit into it whole.
pub const TRANSACTION_MAX_WRITES: usize = 200_000;

/// Most bytes that one transaction may write into its own scratch before its commit, where what is written over counts again:
/// key, value, and 128 bytes for each time.
pub const TRANSACTION_SCRATCH_MAX_BYTES: usize = 256 * 1024 * 1024;

/// Least memory of a copy, in MiB: its write buffer has to take the largest transaction whole.
pub const COPY_MEMORY_MIN_MB: u64 = 128;

/// Size that a log message aims at when waiting transactions are packed together.
pub const LOG_MESSAGE_MAX_BYTES: usize = 512 * 1024;

/// How long ids and outcomes are kept, so that a repeated request gets its first outcome.
pub const IDS_KEPT_MS: u64 = 600_000;

/// For how long, at most, the certifier remembers what was written, by the log's own clock.
pub const CERTIFIER_WINDOW_MS: u64 = 300_000;

/// Shortest time for which a new group may keep ids. An entry that is delayed for longer than the certifier remembers is refused;
/// one that is delayed for less must find its id, if that counted already.
pub const MIN_IDS_KEPT_MS: u64 = CERTIFIER_WINDOW_MS;

/// The same, for groups that were defined before there was [`MIN_IDS_KEPT_MS`].
pub const MIN_IDS_KEPT_BEFORE_MS: u64 = 2 * MAX_DEADLINE_MS;

/// Longest time for which a group may keep ids (a day): they are part of every snapshot.
pub const MAX_IDS_KEPT_MS: u64 = 86_400_000;

/// How often a CSP says that it lives, unless its group says otherwise.
pub const HEARTBEAT_INTERVAL_MS: u64 = 100;

/// How often an instance of a service says to the others of its kind that it lives.
pub const PRESENCE_INTERVAL_MS: u64 = 100;

/// An instance that was silent for this long does not count among its kind.
pub const PRESENCE_LOST_MS: u64 = 5 * PRESENCE_INTERVAL_MS;

/// Requests named in one completion note at most.
pub const COMPLETIONS_MAX: usize = 4_096;

/// How long JetStream remembers message ids of the log.
pub const LOG_DUPLICATE_WINDOW_MS: u64 = 120_000;
