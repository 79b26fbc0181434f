-- 001_control.sql: the control store, written by vouchctl and by vouchd's control thread.
--
-- Who may act, what may be issued, where, and what was asked for.  Rollback journal, FULL: two
-- programs write it, rarely and briefly.  Definitions are immutable versions.
-- Applied once, in one transaction; a released file is never edited.

CREATE TABLE control_meta (
  key   TEXT PRIMARY KEY,                     -- policy, store_id
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row.  Every write of anything that vouchd reads adds one.
CREATE TABLE control_version (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL
) STRICT;
INSERT INTO control_version (id, version) VALUES (1, 1);

CREATE TABLE operator (
  id         INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  account    TEXT    NOT NULL UNIQUE,         -- of the operating system
  role       TEXT    NOT NULL CHECK (role IN ('creator', 'administrator')),
  created_ms INTEGER NOT NULL,
  created_by TEXT    NOT NULL
) STRICT;

CREATE TABLE client (
  id           INTEGER PRIMARY KEY,
  name         TEXT    NOT NULL UNIQUE,
  lane         TEXT    NOT NULL CHECK (lane IN ('internal', 'external')),
  weight       INTEGER NOT NULL CHECK (weight BETWEEN 1 AND 100),
  rate_limit   REAL    CHECK (rate_limit > 0),   -- calls per second; NULL: none of its own
  paused       INTEGER NOT NULL DEFAULT 0,
  pause_reason TEXT    NOT NULL DEFAULT '',
  contact      TEXT    NOT NULL DEFAULT '',
  created_ms   INTEGER NOT NULL,
  created_by   TEXT    NOT NULL
) STRICT;

CREATE TABLE downstream (
  id           INTEGER PRIMARY KEY,
  name         TEXT    NOT NULL UNIQUE,
  version      INTEGER NOT NULL,
  rate_limit   REAL    NOT NULL CHECK (rate_limit > 0),      -- L, calls per second
  warning_rate REAL    NOT NULL CHECK (warning_rate > 0),    -- W
  paused       INTEGER NOT NULL DEFAULT 0,
  pause_reason TEXT    NOT NULL DEFAULT '',
  created_ms   INTEGER NOT NULL,
  CHECK (warning_rate <= rate_limit)
) STRICT;

CREATE TABLE downstream_version (
  downstream INTEGER NOT NULL REFERENCES downstream (id),
  version    INTEGER NOT NULL,
  definition TEXT    NOT NULL,                -- JSON, schemas/downstream.schema.json
  created_ms INTEGER NOT NULL,
  created_by TEXT    NOT NULL,
  PRIMARY KEY (downstream, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE campaign (
  id           INTEGER PRIMARY KEY,
  name         TEXT    NOT NULL UNIQUE,
  version      INTEGER NOT NULL,
  state        TEXT    NOT NULL CHECK (state IN ('active', 'paused', 'ended')),
  pause_reason TEXT    NOT NULL DEFAULT '',
  -- The vouchd instance that had its first job or single issuance, for life; '': none yet.  Who
  -- has been given what stands in that instance's ledger alone.
  instance     TEXT    NOT NULL DEFAULT '',
  -- What its lists take recipient ids for, since its first job over one; '': none yet.
  id_type      TEXT    NOT NULL DEFAULT '' CHECK (id_type IN ('', 'opaque', 'phone')),
  created_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE campaign_version (
  campaign   INTEGER NOT NULL REFERENCES campaign (id),
  version    INTEGER NOT NULL,
  definition TEXT    NOT NULL,                -- JSON, schemas/campaign.schema.json
  created_ms INTEGER NOT NULL,
  created_by TEXT    NOT NULL,
  PRIMARY KEY (campaign, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE list (
  id          INTEGER PRIMARY KEY,
  name        TEXT    NOT NULL UNIQUE,
  digest      TEXT    NOT NULL,               -- names recipients/<digest>.db
  campaign    INTEGER REFERENCES campaign (id),  -- checked against, if any
  accepted    INTEGER NOT NULL,
  rejected    INTEGER NOT NULL,
  duplicates  INTEGER NOT NULL,
  summary     TEXT    NOT NULL,               -- JSON, as the import printed it
  imported_ms INTEGER NOT NULL,
  imported_by TEXT    NOT NULL,
  deleted_ms  INTEGER                         -- ids and attributes are gone; digest and counts stay
) STRICT;
CREATE INDEX list_by_digest ON list (digest);

-- Redemption codes to hand out.  Which of them are out stands in the ledger of its instance.
CREATE TABLE pool (
  id          INTEGER PRIMARY KEY,
  name        TEXT    NOT NULL UNIQUE,
  low_water   INTEGER NOT NULL CHECK (low_water >= 0),  -- fewer codes left are too few
  fingerprint TEXT    NOT NULL,               -- of the key of its segments
  -- The vouchd instance that had the first job with codes of it, for life; '': none yet.  Which
  -- codes are out stands in that instance's ledger alone.
  instance    TEXT    NOT NULL DEFAULT '',
  created_ms  INTEGER NOT NULL,
  created_by  TEXT    NOT NULL
) STRICT;

CREATE TABLE pool_segment (
  pool          INTEGER NOT NULL REFERENCES pool (id),
  first_ordinal INTEGER NOT NULL,             -- ordinals of a pool have no gaps
  digest        TEXT    NOT NULL UNIQUE,      -- names pools/<digest>.db
  codes         INTEGER NOT NULL CHECK (codes > 0),
  origin        TEXT    NOT NULL CHECK (origin IN ('generated', 'imported')),
  content       TEXT    NOT NULL,             -- keyed digest of an imported file; '' of others
  source        TEXT    NOT NULL,             -- for people
  created_ms    INTEGER NOT NULL,
  created_by    TEXT    NOT NULL,
  PRIMARY KEY (pool, first_ordinal)
) STRICT, WITHOUT ROWID;

-- What was asked for.  How far it is stands in the ledger, and only vouchd writes that.
CREATE TABLE job (
  id               INTEGER PRIMARY KEY,
  campaign         INTEGER NOT NULL REFERENCES campaign (id),
  campaign_version INTEGER NOT NULL,
  client           INTEGER NOT NULL REFERENCES client (id),
  list             INTEGER REFERENCES list (id),      -- NULL for a rerun and for singles
  rerun_of         INTEGER REFERENCES job (id),
  submit_key       TEXT    UNIQUE,
  content_digest   TEXT    NOT NULL,          -- of all that the submission asked for
  options          TEXT    NOT NULL,          -- JSON: JobOptions
  instance         TEXT    NOT NULL,          -- the vouchd that drains it
  submitted_ms     INTEGER NOT NULL,
  submitted_by     TEXT    NOT NULL
) STRICT;

-- What vouchctl wants of vouchd, in order.  vouchd stores its answer in the ledger with the
-- effect, then here.
CREATE TABLE command (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  nonce       INTEGER NOT NULL,               -- 62 random bits: tells it from one of another copy
  kind        TEXT    NOT NULL,
  job         INTEGER REFERENCES job (id),
  arguments   TEXT    NOT NULL,               -- JSON
  instance    TEXT    NOT NULL,
  operator    TEXT    NOT NULL,
  created_ms  INTEGER NOT NULL,
  expires_ms  INTEGER NOT NULL,
  answered_ms INTEGER,
  answer      TEXT                            -- JSON
) STRICT;
CREATE INDEX command_open ON command (id) WHERE answered_ms IS NULL;

-- A ledger compared with a downstream's statement.  A job is closed by the latest that covers it.
CREATE TABLE reconciliation (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms         INTEGER NOT NULL,
  operator      TEXT    NOT NULL,
  instance      TEXT    NOT NULL,
  downstream    TEXT    NOT NULL,             -- by name
  source        TEXT    NOT NULL,             -- the file's name, or the address that was asked
  scope         TEXT    NOT NULL,             -- "job job_..."; empty: everything
  since_ms      INTEGER,
  until_ms      INTEGER NOT NULL,
  verdict       TEXT    NOT NULL,             -- balanced, undecided, differences
  lines         INTEGER NOT NULL,             -- of the statement
  unowned       INTEGER NOT NULL,             -- ghosts that belong to no job
  digest        TEXT    NOT NULL              -- of what matches, the same on both sides
) STRICT;

-- What it found of one job.
CREATE TABLE reconciliation_job (
  reconciliation INTEGER NOT NULL REFERENCES reconciliation (id),
  job            INTEGER NOT NULL REFERENCES job (id),
  matched        INTEGER NOT NULL,            -- also what the statement settled
  differences    INTEGER NOT NULL,            -- lost, ghost, double, differs
  undecided      INTEGER NOT NULL,            -- in doubt or held
  PRIMARY KEY (job, reconciliation)
) STRICT, WITHOUT ROWID;

-- Who did what.  Each row's hash covers the one before: a changed or missing row shows.
CREATE TABLE audit (
  seq      INTEGER PRIMARY KEY,
  at_ms    INTEGER NOT NULL,
  operator TEXT    NOT NULL,
  action   TEXT    NOT NULL,                  -- "campaign create"
  object   TEXT    NOT NULL,
  detail   TEXT    NOT NULL,                  -- JSON
  hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;
