-- The agent that a token is for, which gets another key and keeps its id; NULL: the token makes a new one.
ALTER TABLE enrolments ADD COLUMN again INTEGER REFERENCES agents;
-- The epoch from which on the agent's present key signs, and since when it has it; NULL: the key of its first enrolment.
ALTER TABLE agents ADD COLUMN key_epoch INTEGER;
ALTER TABLE agents ADD COLUMN enrolled_again_at INTEGER;
-- Keys that agents had before: what they signed is kept as what it is, and not taken for what nobody signed.
CREATE TABLE agent_keys (
    signing_key BLOB PRIMARY KEY CHECK (length(signing_key) = 32),
    agent       INTEGER NOT NULL REFERENCES agents,
    until       INTEGER NOT NULL                -- when another took its place
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_keys_of_agent ON agent_keys (agent, until);
