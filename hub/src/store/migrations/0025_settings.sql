-- Settings have editions. One that was taken back keeps its row, with the value null, because its revision only grows.
ALTER TABLE settings ADD COLUMN revision INTEGER NOT NULL DEFAULT 2;
