-- The queue. Times are milliseconds since 1970, UTC, by the database's clock; ids are UUIDv7 and sort by time. What a
-- column means where it does not say so here: the schema of the file (sqlite/migrations) has the same.

CREATE TABLE messages (
    id                  uuid     NOT NULL PRIMARY KEY,
    state               smallint NOT NULL,  -- 0 queued, 1 sending, 2 delivered, 3 failed, 4 cancelled
    due_at              bigint   NOT NULL,  -- while sending: when the lease runs out
    lease               bigint   NOT NULL,  -- counts the claims; names the one that may settle
    lease_owner         text,               -- the instance that is sending it
    deferrals           integer  NOT NULL,
    received_at         bigint   NOT NULL,
    trying_since        bigint   NOT NULL,
    finished_at         bigint,
    sender              text,
    recipients          text     NOT NULL,  -- JSON, in the order of the envelope
    smtp_utf8           boolean  NOT NULL,
    header_from         text     NOT NULL,
    subject             text     NOT NULL,
    message_id          text     NOT NULL,
    size                bigint   NOT NULL,
    "user"              text,
    provider            text,
    provider_message_id text,
    error               text,
    pinned_provider     text,
    dsn                 text,
    account             bytea,
    may_steer           boolean  NOT NULL,
    way                 text     NOT NULL COLLATE "C",
    bulk                boolean  NOT NULL,
    share               smallint NOT NULL,
    begun_by            text,
    begun_at            bigint,
    batch               uuid,
    place               integer,
    batch_of            integer
);

-- Rows of messages die young: each is written anew when it is claimed and when it is settled. They are cleared away early and
-- briskly, before the walks over the indexes below meet many of them.
ALTER TABLE messages SET (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 5000,
    autovacuum_vacuum_cost_delay = 1, autovacuum_vacuum_cost_limit = 2000
);

-- Each open message is in one of these two: claimed, by the end of its lease, or waiting, in groups that take turns.
CREATE INDEX leases ON messages (due_at, id) WHERE state = 1;
CREATE INDEX waiting ON messages (way, bulk, share, due_at, id) WHERE state = 0;
-- What an operator looks for, newest first.
CREATE INDEX stopped ON messages (state, id) WHERE state >= 3;
CREATE INDEX by_batch ON messages (batch, place) WHERE batch IS NOT NULL;

-- The content, written once. Compressing it again and again would cost more than it saves.
CREATE TABLE bodies (
    message uuid  NOT NULL PRIMARY KEY,
    raw     bytea NOT NULL
);
ALTER TABLE bodies ALTER COLUMN raw SET STORAGE EXTERNAL;

CREATE TABLE attempts (
    message             uuid    NOT NULL,
    n                   integer NOT NULL,
    at                  bigint  NOT NULL,
    provider            text    NOT NULL,
    outcome             text    NOT NULL,
    error               text,
    provider_message_id text,
    latency_ms          bigint  NOT NULL,
    recipients          text,               -- JSON array of addresses; NULL is all of the envelope
    losses              text,               -- JSON; NULL is none
    together            integer,
    PRIMARY KEY (message, n)
);

-- What counts for quotas: recipients served, by the hour since 1970.
CREATE TABLE usage (
    hour       bigint NOT NULL,
    provider   text   NOT NULL,
    recipients bigint NOT NULL,
    PRIMARY KEY (hour, provider)
);
