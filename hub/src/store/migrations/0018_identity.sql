-- Key identifier of the authority whose certificate the agent last came with; NULL: not seen since this is kept.
ALTER TABLE agents ADD COLUMN issuer BLOB;
-- The newest protocol version that the agent last said it speaks.
ALTER TABLE agents ADD COLUMN protocol INTEGER;
-- Why its standing was withdrawn, and the first record that is not believed any more; NULL: nothing more is taken.
ALTER TABLE agents ADD COLUMN revoke_reason TEXT;
ALTER TABLE agents ADD COLUMN revoked_from_epoch INTEGER;
ALTER TABLE agents ADD COLUMN revoked_from_seq INTEGER;
-- When the start of its machine that came last, came first.
ALTER TABLE agents ADD COLUMN boot_since INTEGER;
-- The epoch in which an administrator lets the agent go on after a fork, and when he said so.
ALTER TABLE agents ADD COLUMN cleared_epoch INTEGER;
ALTER TABLE agents ADD COLUMN cleared_at INTEGER;
