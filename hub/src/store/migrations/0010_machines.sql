-- Machines under licences, licences that belong to a customer and no site, and the counts that lists and statistics show.

-- Shares of a licence's limits, per cent, at which the vendor wants to be told: JSON list of numbers, ascending.
ALTER TABLE licenses ADD COLUMN thresholds TEXT NOT NULL DEFAULT '[]';

-- Who put a licence in force. These rows were in `activations`, which had no machines yet.
CREATE TABLE license_starts (
    id      INTEGER PRIMARY KEY,
    license INTEGER NOT NULL REFERENCES licenses,
    agent   INTEGER REFERENCES agents,        -- NULL: at the hub itself
    by      TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX license_starts_of_license ON license_starts (license);
INSERT INTO license_starts (license, agent, by, at)
    SELECT license, agent, activated_by, activated_at FROM activations ORDER BY activated_at, id;
DROP TABLE activations;

-- A machine under a licence: told of by an agent's record, or by an app that calls the hub itself. Never removed.
CREATE TABLE activations (
    number         INTEGER PRIMARY KEY,       -- small, and in the order of arrival
    id             BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    license        INTEGER NOT NULL REFERENCES licenses,
    customer       INTEGER NOT NULL REFERENCES customers, -- the licence's; so too its site, which never change once activated
    site           BLOB REFERENCES sites,
    agent          INTEGER REFERENCES agents, -- whose machine it is; NULL: it calls the hub
    hardware       TEXT NOT NULL,             -- JSON list of kind and digest in hexadecimal
    machine        TEXT NOT NULL,
    app_version    TEXT NOT NULL,
    activated_at   INTEGER NOT NULL,
    heard          INTEGER NOT NULL,          -- when it was heard of last; the site's clock for an agent's machine
    last_heartbeat INTEGER,
    users          INTEGER NOT NULL DEFAULT 0,
    most_users     INTEGER NOT NULL DEFAULT 0, -- that it ever had
    released_by    TEXT,                      -- who released its users, until it was told
    hour           INTEGER,                   -- the last hour that it was heard of in, since 1970
    hour_users     INTEGER NOT NULL DEFAULT 0, -- the most users that it had in that hour
    deactivated_at INTEGER,
    reason         TEXT                       -- why, in the caller's words
) STRICT;
CREATE INDEX activations_of_license ON activations (license, deactivated_at IS NULL, number);
CREATE INDEX activations_of_customer ON activations (customer, deactivated_at IS NULL, number);
CREATE INDEX activations_of_site ON activations (site, deactivated_at IS NULL, number) WHERE site IS NOT NULL;
CREATE INDEX activations_by_state ON activations (deactivated_at IS NULL, number);
-- What the job looks for that ends the sessions of machines that call the hub.
CREATE INDEX activations_to_lapse ON activations (heard) WHERE users > 0 AND agent IS NULL;

CREATE INDEX licenses_by_status ON licenses (status, id);
CREATE INDEX licenses_of_customer ON licenses (customer, status, id);

-- Counts by scope: 'all', 'customer N', 'site HEX', 'license N'. Kept by triggers, so that no way of writing forgets them.
CREATE TABLE license_tallies (
    scope    TEXT NOT NULL,
    status   TEXT NOT NULL,
    licenses INTEGER NOT NULL,
    PRIMARY KEY (scope, status)
) STRICT, WITHOUT ROWID;
CREATE TABLE activation_tallies (
    scope      TEXT PRIMARY KEY,
    active     INTEGER NOT NULL,              -- not given back
    inactive   INTEGER NOT NULL,
    users      INTEGER NOT NULL,              -- at this moment
    most_users INTEGER NOT NULL               -- the most of each activation, summed
) STRICT, WITHOUT ROWID;

CREATE TRIGGER license_added AFTER INSERT ON licenses BEGIN
    INSERT INTO license_tallies (scope, status, licenses)
        SELECT scope, NEW.status, 1 FROM (SELECT 'all' AS scope UNION ALL SELECT 'customer ' || NEW.customer
            UNION ALL SELECT 'site ' || hex(NEW.site) WHERE NEW.site IS NOT NULL) WHERE true
        ON CONFLICT (scope, status) DO UPDATE SET licenses = licenses + 1;
END;
CREATE TRIGGER license_moved AFTER UPDATE OF status, customer, site ON licenses
    WHEN (OLD.status, OLD.customer, OLD.site) IS NOT (NEW.status, NEW.customer, NEW.site) BEGIN
    UPDATE license_tallies SET licenses = licenses - 1
        WHERE status = OLD.status AND scope IN ('all', 'customer ' || OLD.customer, 'site ' || hex(OLD.site));
    INSERT INTO license_tallies (scope, status, licenses)
        SELECT scope, NEW.status, 1 FROM (SELECT 'all' AS scope UNION ALL SELECT 'customer ' || NEW.customer
            UNION ALL SELECT 'site ' || hex(NEW.site) WHERE NEW.site IS NOT NULL) WHERE true
        ON CONFLICT (scope, status) DO UPDATE SET licenses = licenses + 1;
END;
INSERT INTO license_tallies (scope, status, licenses)
    SELECT 'all', status, count(*) FROM licenses GROUP BY status
    UNION ALL SELECT 'customer ' || customer, status, count(*) FROM licenses GROUP BY customer, status
    UNION ALL SELECT 'site ' || hex(site), status, count(*) FROM licenses WHERE site IS NOT NULL GROUP BY site, status;

CREATE TRIGGER activation_added AFTER INSERT ON activations BEGIN
    INSERT INTO activation_tallies (scope, active, inactive, users, most_users)
        SELECT scope, NEW.deactivated_at IS NULL, NEW.deactivated_at IS NOT NULL, NEW.users, NEW.most_users
            FROM (SELECT 'all' AS scope UNION ALL SELECT 'customer ' || NEW.customer
                UNION ALL SELECT 'license ' || NEW.license
                UNION ALL SELECT 'site ' || hex(NEW.site) WHERE NEW.site IS NOT NULL) WHERE true
        ON CONFLICT (scope) DO UPDATE SET active = active + excluded.active, inactive = inactive + excluded.inactive,
            users = users + excluded.users, most_users = most_users + excluded.most_users;
END;
CREATE TRIGGER activation_moved AFTER UPDATE OF users, most_users, deactivated_at ON activations
    WHEN OLD.users != NEW.users OR OLD.most_users != NEW.most_users
        OR (OLD.deactivated_at IS NULL) != (NEW.deactivated_at IS NULL) BEGIN
    UPDATE activation_tallies SET
        active = active + (NEW.deactivated_at IS NULL) - (OLD.deactivated_at IS NULL),
        inactive = inactive + (NEW.deactivated_at IS NOT NULL) - (OLD.deactivated_at IS NOT NULL),
        users = users + NEW.users - OLD.users,
        most_users = most_users + NEW.most_users - OLD.most_users
        WHERE scope IN ('all', 'customer ' || NEW.customer, 'license ' || NEW.license, 'site ' || hex(NEW.site));
END;
