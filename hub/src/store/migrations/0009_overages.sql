-- Since when more monitors of an app run at a site than a bound, as the records of the site's agents say; kept in the
-- transaction that stores those. No row: no more than that.
CREATE TABLE overages (
    site  BLOB NOT NULL REFERENCES sites,
    app   TEXT NOT NULL,
    bound TEXT NOT NULL CHECK (bound IN ('quota', 'permitted')),  -- without and with what may be gone over it
    since INTEGER NOT NULL,                                       -- by the site's clock
    PRIMARY KEY (site, app, bound)
) STRICT, WITHOUT ROWID;
