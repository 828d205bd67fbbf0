-- The licence that the documented test key opens while the hub runs with --dev; a start without it makes the key unknown.
CREATE TABLE test_license (
    license INTEGER PRIMARY KEY REFERENCES licenses (id)
) STRICT;
