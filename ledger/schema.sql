CREATE TABLE entry (
  seq INTEGER PRIMARY KEY CHECK (seq >= 0),
  hash BLOB NOT NULL CHECK (length(hash) = 32),   -- before leaf, so that a walk over the hashes does not read the overflow pages of long leaves
  eid BLOB NOT NULL UNIQUE CHECK (length(eid) = 32),
  leaf BLOB NOT NULL
) STRICT;

CREATE TABLE node (
  level INTEGER NOT NULL CHECK (level > 0 AND level % 8 = 0),
  i INTEGER NOT NULL CHECK (i >= 0),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, i)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
  size INTEGER PRIMARY KEY,
  note BLOB NOT NULL
) STRICT;
