-- Who shares the queue, and what they tell each other. Times are milliseconds since 1970, by the database's clock.

-- Numbers the lives of instances, so that no name comes again.
CREATE SEQUENCE lives;

-- The instances that live: each says again and again that it does.
CREATE TABLE instances (
    owner     text    NOT NULL PRIMARY KEY,  -- the name on its leases
    seen_at   bigint  NOT NULL,
    since     bigint  NOT NULL,
    watching  boolean NOT NULL               -- somebody looks on there
);

-- How the accounts stand. A version is greater than all before it.
CREATE TABLE standings (
    account   text     NOT NULL,
    mark      integer  NOT NULL,             -- tells accounts of one name apart
    condition smallint NOT NULL,             -- 0 up, 1 rests, 2 exhausted, 3 misconfigured, 4 down
    until     bigint,
    error     text,
    at        bigint   NOT NULL,
    by        text     NOT NULL,             -- the instance that found out
    version   bigint   NOT NULL,
    PRIMARY KEY (account, mark)
);

-- How often each of these has changed: a small table that is asked again and again.
CREATE TABLE versions (
    topic   text   NOT NULL PRIMARY KEY,
    version bigint NOT NULL
);
INSERT INTO versions VALUES ('standings', 0), ('suppressions', 0);
