-- What else came with the envelope.

-- The client's wishes about delivery status notifications, as JSON; NULL is none.
ALTER TABLE messages ADD COLUMN dsn TEXT;

-- The provider account that the client brought, encrypted; NULL when there is none, or the message is delivered.
ALTER TABLE messages ADD COLUMN account BLOB;
