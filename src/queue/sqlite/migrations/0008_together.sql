-- How many calls the request of an attempt carried, so that what is shown of it says whether it was an entry of a list.
-- Not known of what was sent before.
ALTER TABLE attempts ADD COLUMN together INTEGER;
