-- At most one licence is Active for each site and app. Where there are more, the one activated last stays, and the sites
-- are told.
CREATE TEMPORARY TABLE demoted AS
    SELECT id, site FROM licenses AS earlier
    WHERE status = 'Active' AND EXISTS (
        SELECT 1 FROM licenses AS later
        WHERE later.site = earlier.site AND later.app = earlier.app AND later.status = 'Active'
          AND (later.activated_at, later.id) > (earlier.activated_at, earlier.id)
    );
INSERT INTO license_revisions (license, revision, at, by, state)
    SELECT l.id, l.revision + 1, unixepoch() * 1000, 'hub',
           json_set(r.state, '$.status', 'Deactivated', '$.revision', l.revision + 1)
    FROM licenses AS l JOIN license_revisions AS r ON r.license = l.id AND r.revision = l.revision
    WHERE l.id IN (SELECT id FROM demoted);
UPDATE licenses SET status = 'Deactivated', revision = revision + 1 WHERE id IN (SELECT id FROM demoted);
UPDATE sites SET revision = revision + 1 WHERE id IN (SELECT site FROM demoted);
DROP TABLE demoted;
CREATE UNIQUE INDEX one_active_license ON licenses (site, app) WHERE status = 'Active';
-- What the job that expires licences looks for.
CREATE INDEX licenses_to_expire ON licenses (expires_at) WHERE status = 'Active';
