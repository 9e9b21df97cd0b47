-- The queue. Times are milliseconds since 1970, UTC; ids are the sixteen bytes of a UUIDv7 and sort by time.

-- Says that this file is ours ("mfry"), so that nobody's other database is filled by mistake.
PRAGMA application_id = 0x6d667279;

CREATE TABLE messages (
    id                  BLOB    NOT NULL PRIMARY KEY,
    state               INTEGER NOT NULL,  -- 0 queued, 1 sending, 2 delivered, 3 failed, 4 cancelled
    due_at              INTEGER NOT NULL,  -- while sending: when the lease runs out
    lease               INTEGER NOT NULL,  -- counts the claims; names the one that may settle
    lease_owner         TEXT,              -- the instance that is sending it
    deferrals           INTEGER NOT NULL,
    received_at         INTEGER NOT NULL,
    trying_since        INTEGER NOT NULL,  -- from when give_up_after counts
    finished_at         INTEGER,           -- delivered, failed or cancelled at
    sender              TEXT,              -- NULL is <>
    recipients          TEXT    NOT NULL,  -- JSON: [{"address", "state", "reason"}], in the order of the envelope
    smtp_utf8           INTEGER NOT NULL,
    header_from         TEXT    NOT NULL,
    subject             TEXT    NOT NULL,
    message_id          TEXT    NOT NULL,
    size                INTEGER NOT NULL,
    user                TEXT,
    provider            TEXT,              -- of the last attempt
    provider_message_id TEXT,
    error               TEXT,              -- the last one
    pinned_provider     TEXT,              -- the only one to use, when an operator said so
    body                INTEGER NOT NULL,  -- the first row of the content in bodies ...
    body_rows           INTEGER NOT NULL   -- ... and how many there are
) STRICT, WITHOUT ROWID;

-- All that still has a way to go, and nothing else: what is due, and whose lease has run out. History costs nothing
-- here. The state is in it so that counting reads no rows.
CREATE INDEX open_by_due ON messages (due_at, state) WHERE state < 2;

-- What an operator looks for, newest first by the id that every index of this table ends with.
CREATE INDEX stopped ON messages (state) WHERE state >= 3;

-- The content, in pieces, written once. Numbered rows are appended at less cost than rows that are sorted by id. A
-- number may come again after its row has been removed, so the id is looked at as well.
CREATE TABLE bodies (
    n       INTEGER PRIMARY KEY,
    message BLOB NOT NULL,
    raw     BLOB NOT NULL
) STRICT;

CREATE TABLE attempts (
    message             BLOB    NOT NULL,
    n                   INTEGER NOT NULL,
    at                  INTEGER NOT NULL,
    provider            TEXT    NOT NULL,
    outcome             TEXT    NOT NULL,
    error               TEXT,
    provider_message_id TEXT,
    latency_ms          INTEGER NOT NULL,
    recipients          TEXT,              -- JSON array of addresses; NULL is all of the envelope
    losses              TEXT,              -- JSON: [{"what", "why"}]; NULL is none
    PRIMARY KEY (message, n)
) STRICT, WITHOUT ROWID;
