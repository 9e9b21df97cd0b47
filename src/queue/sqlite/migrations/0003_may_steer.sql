-- Whether header fields that give a provider orders are obeyed. Whoever sent before this was asked could be trusted.
ALTER TABLE messages ADD COLUMN may_steer INTEGER NOT NULL DEFAULT 1;
