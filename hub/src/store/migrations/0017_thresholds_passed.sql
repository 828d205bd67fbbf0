-- The highest of a licence's thresholds that its use has reached, so that others are told of each once. No row: none.
CREATE TABLE thresholds_passed (
    license   INTEGER NOT NULL REFERENCES licenses,
    metric    TEXT NOT NULL CHECK (metric IN ('monitors', 'users', 'activations')),
    threshold INTEGER NOT NULL,               -- per cent
    PRIMARY KEY (license, metric)
) STRICT, WITHOUT ROWID;
