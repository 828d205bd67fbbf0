-- A key's last characters, for people who hold several. Those issued before have none: SQL cannot open a sealed key.
ALTER TABLE licenses ADD COLUMN key_hint TEXT NOT NULL DEFAULT '';
