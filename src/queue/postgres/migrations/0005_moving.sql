-- Who this queue is, wherever its database lies, and where it has gone or comes from; see moving. Without `mark` the rest
-- of the row says nothing.
CREATE TABLE identity (
    one   boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    id    uuid    NOT NULL,
    mark  text,     -- leaving, gone, arriving, returning
    other uuid,     -- who the other queue is
    place text,     -- where that is, for people
    since bigint
);
INSERT INTO identity (id) VALUES (gen_random_uuid());

-- An instance that slept through a move must not come back to life here.
CREATE FUNCTION no_life_in_a_moved_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM identity WHERE mark IS NOT NULL) THEN
        RAISE EXCEPTION 'this queue was moved, or is being moved: restart mailferry, which says where' USING ERRCODE = 'MF001';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER no_life_in_a_moved_queue BEFORE INSERT ON instances
    FOR EACH ROW EXECUTE FUNCTION no_life_in_a_moved_queue();
