-- Who this queue is, whatever its file is called, and where it has gone or comes from; see moving. Without `mark` the rest
-- of the row says nothing.
CREATE TABLE identity (
    one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id    BLOB    NOT NULL,
    mark  TEXT,     -- leaving, gone, arriving, returning
    other BLOB,     -- who the other queue is
    place TEXT,     -- where that is, for people
    since INTEGER
) STRICT;
INSERT INTO identity (one, id) VALUES (1, randomblob(16));
