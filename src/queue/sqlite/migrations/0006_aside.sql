-- What is kept beside the messages. Times are milliseconds since 1970, unless said otherwise.

-- The addresses that get no mail.
CREATE TABLE suppressions (
    mailbox TEXT    NOT NULL PRIMARY KEY,  -- what all spellings of the address have in common, whatever their case
    address TEXT    NOT NULL,              -- as it was given
    reason  TEXT    NOT NULL,
    note    TEXT,
    since   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX suppressions_by_age ON suppressions (since, mailbox);

-- Counters over time, one row for each step and provider; an empty provider is the whole relay.
CREATE TABLE statistics (
    grain     INTEGER NOT NULL,  -- how long a step is, seconds
    at        INTEGER NOT NULL,  -- when it began, seconds since 1970
    provider  TEXT    NOT NULL,
    received  INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    attempts  TEXT    NOT NULL,  -- JSON: {"outcome": calls}
    latency   TEXT    NOT NULL,  -- JSON: counts by bucket, see Spread; the zeros at the end are left out
    PRIMARY KEY (grain, at, provider)
) STRICT, WITHOUT ROWID;

-- Submissions that are taken once; see Once.
CREATE TABLE submissions (
    key     BLOB    NOT NULL PRIMARY KEY,
    request BLOB    NOT NULL,
    message BLOB    NOT NULL,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX submissions_by_age ON submissions (at);
