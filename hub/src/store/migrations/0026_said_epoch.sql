-- The newest epoch that an agent said it is in: what it goes on in after a clearance is newer.
ALTER TABLE agents ADD COLUMN said_epoch INTEGER NOT NULL DEFAULT 0;
