-- Leads are edited, found by words and by tags, and become customers.
ALTER TABLE institutions ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;  -- grows with every edition; so too the next two
ALTER TABLE contacts ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE notes ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE contacts ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notes ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;

-- At most one contact of an institution is its first.
CREATE UNIQUE INDEX one_primary_contact ON contacts (institution) WHERE is_primary = 1;

-- An institution becomes one customer.
DROP INDEX customers_of_institution;
CREATE UNIQUE INDEX customer_of_institution ON customers (institution) WHERE institution IS NOT NULL;

-- What `institutions.tags` says, in lower case, to be found by.
CREATE TABLE institution_tags (
    tag         TEXT NOT NULL,
    institution INTEGER NOT NULL REFERENCES institutions ON DELETE CASCADE,
    PRIMARY KEY (tag, institution)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_of_institution ON institution_tags (institution);

-- The words of an institution and of its contacts. The row id is the institution's.
CREATE VIRTUAL TABLE institution_words USING fts5 (
    words, content = '', contentless_delete = 1, tokenize = "unicode61 remove_diacritics 2", prefix = '2 3'
);
