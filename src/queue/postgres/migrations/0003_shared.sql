-- What the instances have in common beside the messages.

-- The row of calls to each account: the place that was given out last, by even spacing, and what the last statement gave.
-- Microseconds since 1970.
CREATE TABLE paces (
    account text    NOT NULL PRIMARY KEY,
    last    bigint  NOT NULL,
    first   bigint  NOT NULL,
    given   integer NOT NULL
) WITH (fillfactor = 50);

-- Who reserves recipients of a provider's quotas has this row meanwhile.
CREATE TABLE quotas (
    provider text NOT NULL PRIMARY KEY
);
CREATE INDEX usage_by_provider ON usage (provider, hour);

-- Counts recipients unless that exceeds one of the quotas; each is a limit for the hours from one on. A function, because
-- its statements see what was written before the lock was theirs, and no lock waits for an instance that hangs.
CREATE FUNCTION reserve_recipients(
    wanted_provider text, wanted bigint, wanted_hour bigint, from_hours bigint[], limits bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO quotas VALUES (wanted_provider) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM quotas WHERE provider = wanted_provider FOR UPDATE;
    IF EXISTS (
        SELECT 1 FROM unnest(from_hours, limits) AS quota (from_hour, most)
        WHERE wanted + COALESCE((
            SELECT sum(recipients) FROM usage
            WHERE usage.provider = wanted_provider AND usage.hour >= quota.from_hour
        ), 0) > quota.most
    ) THEN
        RETURN false;
    END IF;
    INSERT INTO usage (hour, provider, recipients) VALUES (wanted_hour, wanted_provider, wanted)
    ON CONFLICT (hour, provider) DO UPDATE SET recipients = usage.recipients + EXCLUDED.recipients;
    RETURN true;
END $$;
