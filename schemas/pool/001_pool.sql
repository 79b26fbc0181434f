-- 001_pool.sql: one sealed segment of a pool of redemption codes, pools/<digest>.db.
--
-- Written once, by the vouchctl that generated or imported the codes, then read-only for ever.
-- Codes stand by their ordinal, 512 to a page, each page encrypted as a whole under a key that
-- stands outside the store.  The order of the codes is that of a keyed hash: one says nothing of
-- the next.
-- Applied once, in one transaction; a released file is never edited.

-- Facts about the segment, each once; SegmentMeta in common/store/code_segment.hpp names them.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE page (
  page  INTEGER PRIMARY KEY,   -- from 0
  codes BLOB    NOT NULL       -- sealed: each code's length and its bytes, one after another
) STRICT;
