-- The names by which a message is asked for: the Message-ID that the app gave it, and what providers called it. By the time
-- of the message first, in steps of a quarter of an hour (the first 28 bits of its id): what comes in lands side by side
-- however large the queue is, and a search takes one look per step.
CREATE INDEX by_message_id ON messages (substr(hex(id), 1, 7), message_id) WHERE message_id <> '';
CREATE INDEX by_provider_id ON attempts (substr(hex(message), 1, 7), provider_message_id)
    WHERE provider_message_id IS NOT NULL;
