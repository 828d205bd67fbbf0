-- What kind of actor did it (see store::Actor), and from which address. NULL in rows of before, whose hash has neither.
ALTER TABLE audit_log ADD COLUMN actor TEXT;
ALTER TABLE audit_log ADD COLUMN address TEXT;
