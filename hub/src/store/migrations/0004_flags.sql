-- Why a red flag was put aside, in the words of who did it.
ALTER TABLE red_flags ADD COLUMN note TEXT;
-- What makes two flags of one agent the same observation, which is kept once; NULL: each stands for itself.
ALTER TABLE red_flags ADD COLUMN observation TEXT;
CREATE UNIQUE INDEX flags_once ON red_flags (agent, kind, observation) WHERE observation IS NOT NULL;
CREATE INDEX red_flags_of_site ON red_flags (site, id);

-- The newest snapshot that the agent itself ever said it has.
ALTER TABLE agents ADD COLUMN had_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN had_issued_at INTEGER NOT NULL DEFAULT 0;

-- The starts of machines that an agent said hello from, in the order of each one's last hello.
CREATE TABLE agent_boots (
    id      INTEGER PRIMARY KEY,
    agent   INTEGER NOT NULL REFERENCES agents,
    boot_id BLOB NOT NULL CHECK (length(boot_id) = 16),
    at      INTEGER NOT NULL,
    UNIQUE (agent, boot_id)
) STRICT;
