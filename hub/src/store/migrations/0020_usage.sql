-- What machines under licences use, summed in the transaction that stores it. Scopes as in the tallies. Hours and days
-- since 1970: by the hub's clock for machines that call it, by the site's for those of an agent.

CREATE TABLE machine_hours (
    scope           TEXT NOT NULL,
    hour            INTEGER NOT NULL,
    heartbeats      INTEGER NOT NULL,         -- how often machines said how many users they have
    users_told      INTEGER NOT NULL,         -- what they said, summed
    active_users    INTEGER NOT NULL,         -- the most users that each machine had in this hour, summed
    new_activations INTEGER NOT NULL,
    PRIMARY KEY (scope, hour)
) STRICT, WITHOUT ROWID;

-- The names of features, as machines send them; 1 stands for all that came when there were too many.
CREATE TABLE features (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO features (id, name) VALUES (1, '(other)');

CREATE TABLE feature_days (
    scope   TEXT NOT NULL,
    day     INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    used    INTEGER NOT NULL,                 -- stops at the largest integer
    PRIMARY KEY (scope, day, feature)
) STRICT, WITHOUT ROWID;

-- Which machines were heard of on a day (feature 0), and which used a feature. With rowids: the sets are long.
CREATE TABLE machine_sets (
    id      INTEGER PRIMARY KEY,
    scope   TEXT NOT NULL,
    day     INTEGER NOT NULL,
    feature INTEGER NOT NULL,
    machines BLOB NOT NULL,                   -- store::usage::sketch
    UNIQUE (scope, day, feature)
) STRICT;

CREATE INDEX activations_of_agent ON activations (agent) WHERE agent IS NOT NULL;

-- New activations by the hour of their making, and how many of those were given back since: totals of a span of days are
-- summed from here.
ALTER TABLE machine_hours ADD COLUMN given_back INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER activation_counted AFTER INSERT ON activations BEGIN
    INSERT INTO machine_hours (scope, hour, heartbeats, users_told, active_users, new_activations, given_back)
        SELECT scope, (NEW.activated_at - ((NEW.activated_at % 3600000) + 3600000) % 3600000) / 3600000, 0, 0, 0, 1, NEW.deactivated_at IS NOT NULL
            FROM (SELECT 'all' AS scope UNION ALL SELECT 'customer ' || NEW.customer
                UNION ALL SELECT 'license ' || NEW.license
                UNION ALL SELECT 'site ' || hex(NEW.site) WHERE NEW.site IS NOT NULL) WHERE true
        ON CONFLICT (scope, hour) DO UPDATE SET new_activations = new_activations + 1,
            given_back = given_back + excluded.given_back;
END;
CREATE TRIGGER activation_given_back AFTER UPDATE OF deactivated_at ON activations
    WHEN (OLD.deactivated_at IS NULL) != (NEW.deactivated_at IS NULL) BEGIN
    UPDATE machine_hours SET given_back = given_back + (NEW.deactivated_at IS NOT NULL) - (OLD.deactivated_at IS NOT NULL)
        WHERE hour = (NEW.activated_at - ((NEW.activated_at % 3600000) + 3600000) % 3600000) / 3600000
            AND scope IN ('all', 'customer ' || NEW.customer, 'license ' || NEW.license, 'site ' || hex(NEW.site));
END;

-- The licence server's word for a status, and what its lists are searched by.
ALTER TABLE licenses ADD COLUMN standing TEXT GENERATED ALWAYS AS (CASE status WHEN 'Active' THEN 'active'
    WHEN 'Expired' THEN 'expired' WHEN 'Invalid' THEN 'revoked' ELSE 'inactive' END) VIRTUAL;
DROP INDEX licenses_by_status;
DROP INDEX licenses_of_customer;
CREATE INDEX licenses_in_order ON licenses (id);
CREATE INDEX licenses_by_standing ON licenses (standing, id);
CREATE INDEX licenses_of_customer ON licenses (customer, id);
CREATE INDEX licenses_of_customer_by_standing ON licenses (customer, standing, id);
CREATE INDEX licenses_of_site ON licenses (site, id) WHERE site IS NOT NULL;
CREATE INDEX licenses_of_site_by_standing ON licenses (site, standing, id) WHERE site IS NOT NULL;

ALTER TABLE activations ADD COLUMN is_over INTEGER GENERATED ALWAYS AS (deactivated_at IS NOT NULL) VIRTUAL;
DROP INDEX activations_of_license;
DROP INDEX activations_of_customer;
DROP INDEX activations_of_site;
DROP INDEX activations_by_state;
CREATE INDEX activations_in_order ON activations (activated_at, number);
CREATE INDEX activations_by_state ON activations (is_over, activated_at, number);
CREATE INDEX activations_of_customer ON activations (customer, activated_at, number);
CREATE INDEX activations_of_customer_by_state ON activations (customer, is_over, activated_at, number);
CREATE INDEX activations_of_site ON activations (site, activated_at, number) WHERE site IS NOT NULL;
CREATE INDEX activations_of_site_by_state ON activations (site, is_over, activated_at, number) WHERE site IS NOT NULL;
CREATE INDEX activations_of_license ON activations (license, activated_at, number);
CREATE INDEX activations_of_license_by_state ON activations (license, is_over, activated_at, number);
