-- Monitors in use, as the records of the sites' agents say; kept in the transaction that stores those.
CREATE TABLE monitors (
    site    BLOB NOT NULL REFERENCES sites,
    app     TEXT NOT NULL,
    monitor TEXT NOT NULL,                    -- the app's own identifier
    agent   INTEGER NOT NULL REFERENCES agents,
    since   INTEGER NOT NULL,                 -- by the site's clock
    PRIMARY KEY (site, app, monitor)
) STRICT, WITHOUT ROWID;
