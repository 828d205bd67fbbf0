-- How far a request under a key has come: 'begun' has changed nothing, 'done' has changed something, in the transaction that
-- says so; 'beyond' may have changed what is outside the database.
ALTER TABLE idempotency ADD COLUMN progress TEXT NOT NULL DEFAULT 'begun' CHECK (progress IN ('begun', 'beyond', 'done'));
-- Of what began before this was kept nobody knows.
UPDATE idempotency SET progress = 'beyond' WHERE status IS NULL;
