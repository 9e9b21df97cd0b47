-- What is kept beside the messages. Times are milliseconds since 1970, unless said otherwise. Texts that things are sorted
-- by are compared octet by octet, so that all databases sort alike.

-- The addresses that get no mail.
CREATE TABLE suppressions (
    mailbox text   NOT NULL COLLATE "C" PRIMARY KEY,  -- what all spellings of the address have in common
    address text   NOT NULL,                          -- as it was given
    reason  text   NOT NULL,
    note    text,
    since   bigint NOT NULL
);
CREATE INDEX suppressions_by_age ON suppressions (since, mailbox);

-- Counters over time, one row for each step and provider; an empty provider is the whole relay.
CREATE TABLE statistics (
    grain     bigint NOT NULL,              -- how long a step is, seconds
    at        bigint NOT NULL,              -- when it began, seconds since 1970
    provider  text   NOT NULL COLLATE "C",
    received  bigint NOT NULL,
    delivered bigint NOT NULL,
    failed    bigint NOT NULL,
    cancelled bigint NOT NULL,
    attempts  text   NOT NULL,              -- JSON: {"outcome": calls}
    latency   text   NOT NULL,              -- JSON: counts by bucket; the zeros at the end are left out
    PRIMARY KEY (grain, at, provider)
) WITH (fillfactor = 80);

-- Submissions that are taken once.
CREATE TABLE submissions (
    key     bytea  NOT NULL PRIMARY KEY,
    request bytea  NOT NULL,
    message uuid   NOT NULL,
    at      bigint NOT NULL
);
CREATE INDEX submissions_by_age ON submissions (at);

-- How full the queue is: the sum of these rows, whatever a single one of them says. A change takes any row that nobody
-- else has at the moment, so that changes never wait for each other here; there are as many as there were ever changes at
-- a time. The rows stay on few pages, because most of each page is left free for their next versions.
CREATE TABLE tallies (
    slot    bigint NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    queued  bigint NOT NULL,
    sending bigint NOT NULL,
    failed  bigint NOT NULL,
    lowest  uuid,                           -- no open message has an id below all of these
    changes bigint NOT NULL DEFAULT 0       -- of this row
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE FUNCTION tally(more_queued bigint, more_sending bigint, more_failed bigint, low uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF more_queued = 0 AND more_sending = 0 AND more_failed = 0 AND low IS NULL THEN
        RETURN;
    END IF;
    UPDATE tallies
    SET queued = queued + more_queued, sending = sending + more_sending, failed = failed + more_failed,
        lowest = least(lowest, low), changes = changes + 1
    WHERE slot = (SELECT slot FROM tallies LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED);
    IF NOT FOUND THEN
        INSERT INTO tallies (queued, sending, failed, lowest)
        VALUES (more_queued, more_sending, more_failed, low);
    END IF;
END
$$;

-- For each statement that changes messages, not for each message.
CREATE FUNCTION tally_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tally(
        count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 3),
        (SELECT id FROM new_messages WHERE state < 2 ORDER BY id LIMIT 1))
    FROM new_messages;
    RETURN NULL;
END
$$;

CREATE FUNCTION tally_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    low uuid;
BEGIN
    -- What is open again may be older than all that is open.
    IF EXISTS (SELECT FROM old_messages WHERE state > 1) THEN
        SELECT id INTO low FROM new_messages WHERE state < 2 ORDER BY id LIMIT 1;
    END IF;
    PERFORM tally(
        coalesce(sum(change) FILTER (WHERE state = 0), 0)::bigint,
        coalesce(sum(change) FILTER (WHERE state = 1), 0)::bigint,
        coalesce(sum(change) FILTER (WHERE state = 3), 0)::bigint,
        low)
    FROM (SELECT state, 1 AS change FROM new_messages UNION ALL SELECT state, -1 FROM old_messages) AS changes;
    RETURN NULL;
END
$$;

CREATE FUNCTION tally_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tally(
        -count(*) FILTER (WHERE state = 0), -count(*) FILTER (WHERE state = 1), -count(*) FILTER (WHERE state = 3), NULL)
    FROM old_messages;
    RETURN NULL;
END
$$;

CREATE TRIGGER tally_inserted AFTER INSERT ON messages
    REFERENCING NEW TABLE AS new_messages FOR EACH STATEMENT EXECUTE FUNCTION tally_inserted();
CREATE TRIGGER tally_updated AFTER UPDATE ON messages
    REFERENCING OLD TABLE AS old_messages NEW TABLE AS new_messages FOR EACH STATEMENT EXECUTE FUNCTION tally_updated();
CREATE TRIGGER tally_deleted AFTER DELETE ON messages
    REFERENCING OLD TABLE AS old_messages FOR EACH STATEMENT EXECUTE FUNCTION tally_deleted();
