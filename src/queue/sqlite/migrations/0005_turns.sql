-- Which way a message goes, and whose turn it is; see WayKey and Turn.
ALTER TABLE messages ADD COLUMN way TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN bulk INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN share INTEGER NOT NULL DEFAULT 0;

-- The call that is under way, or whose outcome nobody knows; see Doubt.
ALTER TABLE messages ADD COLUMN begun_by TEXT;
ALTER TABLE messages ADD COLUMN begun_at INTEGER;
ALTER TABLE messages ADD COLUMN batch BLOB;
ALTER TABLE messages ADD COLUMN place INTEGER;
ALTER TABLE messages ADD COLUMN batch_of INTEGER;
CREATE INDEX by_batch ON messages (batch, place) WHERE batch IS NOT NULL;

-- Each open message is in one of these two: claimed, by the end of its lease, or waiting, in groups that take turns.
-- What is delivered at once never touches the second.
DROP INDEX open_by_due;
CREATE INDEX leases ON messages (due_at) WHERE state = 1;
CREATE INDEX waiting ON messages (way, bulk, share, due_at, id) WHERE state = 0;

-- These cost each message more than the few searches were worth: a name is looked for among the records.
DROP INDEX by_message_id;
DROP INDEX by_provider_id;

-- What counts for quotas: recipients served, by the hour since 1970.
CREATE TABLE usage (
    hour       INTEGER NOT NULL,
    provider   TEXT    NOT NULL,
    recipients INTEGER NOT NULL,
    PRIMARY KEY (hour, provider)
) STRICT, WITHOUT ROWID;
