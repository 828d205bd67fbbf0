-- What is edited has a revision, which grows with every edit: whoever changes it can say which state he saw. Licences, leads
-- and sites have theirs already; a red flag changes once.
ALTER TABLE customers ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;  -- how long telemetry is kept counts as an edit
ALTER TABLE plants ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE agents ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;     -- of what people decide, not of what the agent reports
ALTER TABLE users ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;      -- a new password counts
ALTER TABLE api_keys ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE webhooks ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;   -- a new secret counts; how its deliveries do does not
