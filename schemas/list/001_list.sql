-- 001_list.sql: one sealed recipient list, recipients/<digest>.db.
--
-- Written once by the importing vouchctl, in the order of its primary key, then read-only for
-- ever.  What is here is all that is kept of the partner's file: accepted rows, refused rows and
-- duplicates together are every row of it.
-- Applied once, in one transaction; a released file is never edited.

-- Facts about the list, each once; ListMeta in common/store/sealed_list.hpp names them.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One accepted row.  recipient_key is the keyed hash of recipient_id, so that the order says
-- nothing of the file's and a job inserts into one place of the ledger after another.
CREATE TABLE recipient (
  recipient_key BLOB    NOT NULL CHECK (length(recipient_key) = 16),
  occurrence    TEXT    NOT NULL,  -- value of the `once_per` column; '' where there is none
  line          INTEGER NOT NULL,  -- where the row starts in the partner's file; the header is 1
  recipient_id  TEXT    NOT NULL,  -- normalised
  amount        INTEGER,           -- minor units, of the first amount column; NULL without one
  more_amounts  BLOB,              -- those of the others, as varints; NULL without any
  fields        BLOB    NOT NULL,  -- the partner's columns in header order (packed_row.hpp)
  PRIMARY KEY (recipient_key, occurrence)
) STRICT, WITHOUT ROWID;

-- A refused row, as the partner wrote it.
CREATE TABLE reject (
  line    INTEGER PRIMARY KEY,
  "column" TEXT   NOT NULL,        -- '' when the row as a whole is wrong
  code    TEXT    NOT NULL,        -- RejectCode in common/store/recipient_checks.hpp
  message TEXT    NOT NULL,
  fields  BLOB    NOT NULL         -- packed like recipient.fields, as many as the row had
) STRICT;

-- A row whose recipient (and occurrence) stands on an earlier line already.
CREATE TABLE duplicate (
  line          INTEGER PRIMARY KEY,
  first_line    INTEGER NOT NULL CHECK (first_line < line),
  recipient_key BLOB    NOT NULL CHECK (length(recipient_key) = 16),
  conflicting   INTEGER NOT NULL CHECK (conflicting IN (0, 1)),  -- amounts or attributes differ
  recipient_id  TEXT    NOT NULL,
  fields        BLOB    NOT NULL
) STRICT;

-- The list cut into ranges of about 10,000 rows, each starting at a new recipient.
CREATE TABLE boundary (
  range     INTEGER PRIMARY KEY,   -- from 0
  first_key BLOB    NOT NULL CHECK (length(first_key) = 16),
  rows      INTEGER NOT NULL CHECK (rows > 0)
) STRICT;
