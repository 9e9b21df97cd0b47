-- What messages are found by: parts of their texts, three characters each. A row is of all messages whose ids begin with
-- the same 63 bits, which are its number: of one, but for chance. The text itself is not kept a second time. `names` has
-- three characters for each whole name, so that a name needs no more than one part to be found.
CREATE VIRTUAL TABLE search USING fts5(text, names, content='', contentless_delete=1, detail=none, tokenize='trigram');

-- How far the index has come: messages before this id are in it.
CREATE TABLE indexed (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    upto BLOB    NOT NULL
) STRICT;
INSERT INTO indexed (one, upto) VALUES (1, zeroblob(16));

-- Messages before it that have changed since they were indexed, or came later than others that are younger.
CREATE TABLE unindexed (message BLOB NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
