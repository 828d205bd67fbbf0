-- What the audit log is asked for: one who did something, what was done, and to what.
CREATE INDEX audit_by_whom ON audit_log (by, id);
CREATE INDEX audit_by_action ON audit_log (action, id);
CREATE INDEX audit_by_subject ON audit_log (subject, id);
CREATE INDEX audit_by_time ON audit_log (at);
