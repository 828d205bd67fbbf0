-- Days of emergency override that a site may take in any 365; NULL: as the hub is set.
ALTER TABLE sites ADD COLUMN override_days INTEGER;
