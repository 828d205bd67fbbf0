-- Whose password's hash goes into the snapshots of the sites in his scope, so that agents know him without the hub.
ALTER TABLE users ADD COLUMN on_site INTEGER NOT NULL DEFAULT 0 CHECK (on_site IN (0, 1));
CREATE INDEX users_on_site ON users (name) WHERE on_site = 1;
