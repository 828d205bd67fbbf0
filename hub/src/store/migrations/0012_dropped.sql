-- Reports that the agent refused because its quota or disk was full, as its records say.
ALTER TABLE agents ADD COLUMN records_dropped INTEGER NOT NULL DEFAULT 0;
