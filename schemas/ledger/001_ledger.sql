-- 001_ledger.sql: the ledger of one vouchd instance.
--
-- Written by one connection, read by many.  `issuance` is the present state, one row per voucher
-- owed; `event` is the history, append-only: attempt log, audit trail and outbox are the same
-- row.  Numbers of states and kinds stand in common/issuance_state.hpp.  Times are UTC
-- milliseconds, amounts minor units.
-- Applied once, in one transaction; a released file is never edited.

-- What this ledger knows of itself: instance id, writer number, the program's last start.
CREATE TABLE ledger_meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Random ids of the control store, mapped to small numbers that rows can carry cheaply.
CREATE TABLE campaign (
  number INTEGER PRIMARY KEY,
  id     INTEGER NOT NULL UNIQUE,         -- 40 random bits, written as cmp_...
  -- This ledger is an older copy, accepted as such: what it does not know of the campaign since
  -- then may have been executed.
  restored_ms INTEGER
) STRICT;

CREATE TABLE job (
  number           INTEGER PRIMARY KEY,
  id               INTEGER NOT NULL UNIQUE,  -- 40 random bits, written as job_...
  campaign         INTEGER NOT NULL REFERENCES campaign (number),
  kind             INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),   -- 0 list, 1 rerun, 2 single
  state            INTEGER NOT NULL CHECK (state BETWEEN 0 AND 7),
  pause_reason     INTEGER NOT NULL DEFAULT 0 CHECK (pause_reason BETWEEN 0 AND 9),
  pause_detail     TEXT    NOT NULL DEFAULT '',
  ranges           INTEGER NOT NULL,         -- how many ranges the list has
  start_range      INTEGER NOT NULL,         -- planning starts here and wraps round
  ranges_planned   INTEGER NOT NULL DEFAULT 0,
  rows_accepted    INTEGER NOT NULL,         -- rows of the list
  items            INTEGER NOT NULL,         -- issuances owed to a row
  pilot_left       INTEGER,                  -- rows still to plan before the pilot's pause
  settle_by_repeat INTEGER NOT NULL DEFAULT 0,  -- cancelled, yet doubt may be repeated
  cancel_asked     INTEGER NOT NULL DEFAULT 0,  -- it ends as cancelled, not as done
  submitted_ms     INTEGER NOT NULL,
  started_ms       INTEGER,
  ended_ms         INTEGER,
  late_raised_ms   INTEGER,
  replans          INTEGER NOT NULL DEFAULT 0,  -- how often a page was cut: what comes behind it
                                                -- is planned anew
  CHECK ((state = 2) = (pause_reason <> 0))
) STRICT;

-- 10,000 rows of a job's list: the unit of planning cursor, totals, lock and epoch.
CREATE TABLE job_range (
  job          INTEGER NOT NULL REFERENCES job (number),
  range        INTEGER NOT NULL,
  planned_from BLOB,                          -- first recipient_key planned; NULL: none yet
  planned_to   BLOB,                          -- last row planned: recipient_key, occurrence column
  planned_all  INTEGER NOT NULL DEFAULT 0,    -- 1: the range's last row has been planned
  rows_planned INTEGER NOT NULL DEFAULT 0,    -- rows of the list looked at
  repeats      INTEGER NOT NULL DEFAULT 0,    -- issuances that another job holds already
  fresh        INTEGER NOT NULL DEFAULT 0,    -- inserted as sending and not yet settled once
  owner        TEXT    NOT NULL DEFAULT '',
  epoch        INTEGER NOT NULL DEFAULT 0,
  planned      INTEGER NOT NULL DEFAULT 0,    -- from here on: issuances by state
  sending      INTEGER NOT NULL DEFAULT 0,
  waiting      INTEGER NOT NULL DEFAULT 0,
  in_doubt     INTEGER NOT NULL DEFAULT 0,
  held         INTEGER NOT NULL DEFAULT 0,
  issued       INTEGER NOT NULL DEFAULT 0,
  declined     INTEGER NOT NULL DEFAULT 0,
  failed       INTEGER NOT NULL DEFAULT 0,
  cancelled    INTEGER NOT NULL DEFAULT 0,
  expired      INTEGER NOT NULL DEFAULT 0,
  skipped      INTEGER NOT NULL DEFAULT 0,
  moved        INTEGER NOT NULL DEFAULT 0,    -- taken over by a rerun
  issued_minor INTEGER NOT NULL DEFAULT 0,    -- sum of the amounts issued
  PRIMARY KEY (job, range)
) STRICT, WITHOUT ROWID;

-- The voucher owed to one recipient, for ever.  Rows of a list are born as `sending`; next_at_ms
-- is NULL for those and for final ones, so that the index of what is due holds the exceptions only.
-- Those that are delivered by export are born as `planned`; while they are open their next_at_ms is
-- a mark in the year 9999 that says how far they are (common/export_mark.hpp).
CREATE TABLE issuance (
  campaign           INTEGER NOT NULL,
  recipient_key      BLOB    NOT NULL CHECK (length(recipient_key) = 16),
  occurrence         INTEGER NOT NULL,
  item               INTEGER NOT NULL,
  state              INTEGER NOT NULL CHECK (state BETWEEN 0 AND 10),
  round              INTEGER NOT NULL,
  job                INTEGER NOT NULL,        -- the job that is responsible now
  range              INTEGER NOT NULL,
  campaign_version   INTEGER NOT NULL,
  downstream_version INTEGER NOT NULL,        -- 0: delivered by export, nobody is called
  amount_minor       INTEGER,                 -- NULL: a voucher without a value
  call_digest        BLOB    NOT NULL,        -- of method, URL, key, body: one for a whole round
  intent_ms          INTEGER NOT NULL,        -- when it last became `sending`; once in doubt: when
                                              -- that call began, at the latest
  doubt_ms           INTEGER,                 -- intent of the earliest attempt that may have acted
  attempts           INTEGER NOT NULL DEFAULT 0,  -- answered attempts that count
  strikes            INTEGER NOT NULL DEFAULT 0,  -- the same 5xx answer in a row
  asked              INTEGER NOT NULL DEFAULT 0,  -- queries in a row that told nothing
  missing_ms         INTEGER,                 -- when a query first found no such call, settled
  known              INTEGER NOT NULL DEFAULT 0,  -- 1: a query was told that the call is known
  faults             INTEGER NOT NULL DEFAULT 0,  -- starts after a fault that found it `sending`,
                                              -- since a call of it last ended
  next_at_ms         INTEGER,
  last_event         INTEGER,
  ordinal            INTEGER,                 -- of its redemption code, for ever; NULL: none yet
  PRIMARY KEY (campaign, recipient_key, occurrence, item),
  CHECK (state <> 3 OR doubt_ms IS NOT NULL),
  CHECK (state <> 5 OR last_event IS NOT NULL),
  CHECK (state NOT IN (2, 3) OR next_at_ms IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- What is due again, oldest first; a row that is being sent again stays here with a far date, so
-- that recovery finds it.  The hot path (born sending, issued) never enters it.
CREATE INDEX issuance_due ON issuance (job, next_at_ms) WHERE next_at_ms IS NOT NULL;
-- What ended, or stopped, without a voucher: for rerun, results and people.
-- (States 4 and 6 to 10.  A list of three or more after IN is made into a table for every row that
-- is written, which took more than half of the ledger's time.)
CREATE INDEX issuance_unissued ON issuance (job, state) WHERE state = 4 OR state > 5;

-- Pools of redemption codes: how many of their codes are out.
CREATE TABLE pool (
  number       INTEGER PRIMARY KEY,
  id           INTEGER NOT NULL UNIQUE,       -- 40 random bits, written as pol_...
  next_ordinal INTEGER NOT NULL CHECK (next_ordinal >= 0)
) STRICT;

-- Whose code it is, from the transaction on that made the issuance `sending`, for ever: before its
-- call starts, or before an export can write it.
CREATE TABLE code (
  pool          INTEGER NOT NULL REFERENCES pool (number),
  ordinal       INTEGER NOT NULL,
  campaign      INTEGER NOT NULL,
  recipient_key BLOB    NOT NULL,
  occurrence    INTEGER NOT NULL,
  item          INTEGER NOT NULL,
  PRIMARY KEY (pool, ordinal)
) STRICT, WITHOUT ROWID;

-- What a single issuance was asked to give, until it is final: there is no list to read it from.
CREATE TABLE issuance_input (
  campaign      INTEGER NOT NULL,
  recipient_key BLOB    NOT NULL,
  occurrence    INTEGER NOT NULL,
  input         TEXT    NOT NULL,             -- JSON: recipient_id and attributes
  PRIMARY KEY (campaign, recipient_key, occurrence)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
  seq           INTEGER PRIMARY KEY,          -- without gaps, in commit order
  writer        INTEGER NOT NULL DEFAULT 1,
  at_ms         INTEGER NOT NULL,
  kind          INTEGER NOT NULL,
  job           INTEGER,
  campaign      INTEGER,
  recipient_key BLOB,
  occurrence    INTEGER,
  item          INTEGER,
  round         INTEGER,
  from_state    INTEGER,
  to_state      INTEGER,
  outcome       INTEGER,                      -- of an attempt
  http_status   INTEGER,
  transport     INTEGER,                      -- wire::Transport; 0: an answer came
  sends         INTEGER,                      -- 0: not one byte of the call has left
  duration_us   INTEGER,
  reference     TEXT,                         -- the downstream's name for what it issued; of a
                                              -- code that was exported: export, segment, ordinal
  reply_digest  BLOB,
  detail        TEXT,                         -- reason code, or words
  prev_seq      INTEGER,                      -- the issuance's event before this one
  shared_by     INTEGER                       -- issuances that the attempt held; NULL: this alone;
                                              -- of a query: those of the unanswered call before
) STRICT;

-- How each downstream that was ever in trouble fares, for those who look from outside.
CREATE TABLE downstream_state (
  downstream INTEGER PRIMARY KEY,             -- 40 random bits, written as dst_...
  condition  INTEGER NOT NULL CHECK (condition BETWEEN 0 AND 3),
  since_ms   INTEGER NOT NULL,
  next_ms    INTEGER,                         -- when the next call may start; NULL: one is out
  detail     TEXT    NOT NULL                 -- the last failure, in words
) STRICT;

-- Answers given, so that a command is never applied twice.  In an older copy of the control store
-- ids begin again; a command of another nonce is another command, and takes the row's place.
CREATE TABLE applied_command (
  id         INTEGER PRIMARY KEY,
  nonce      INTEGER NOT NULL,
  applied_ms INTEGER NOT NULL,
  answer     TEXT    NOT NULL                 -- JSON
) STRICT;

-- What people want to be done with rows in doubt or held: exactly these rows, in one proposal.
-- The account is what the kernel said of the proposer, not what he said himself.
CREATE TABLE proposal (
  id           INTEGER PRIMARY KEY,         -- 40 random bits, written as prp_...
  state        INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),  -- ProposalState
  job          INTEGER NOT NULL REFERENCES job (number),
  to_state     INTEGER NOT NULL CHECK (to_state IN (2, 5, 7)),  -- waiting, issued, failed
  reason       TEXT    NOT NULL,
  evidence     TEXT    NOT NULL,            -- of issued rows without a reference of their own
  statement    TEXT    NOT NULL,            -- the downstream's, that says so; empty: people do
  scope        TEXT    NOT NULL,            -- which rows these are, in words
  operator     TEXT    NOT NULL,
  account      TEXT    NOT NULL,
  uid          INTEGER NOT NULL,
  proposed_ms  INTEGER NOT NULL,
  rows         INTEGER NOT NULL DEFAULT 0,
  digest       BLOB    NOT NULL CHECK (length(digest) = 16),  -- of the rows, in any order
  rows_left    INTEGER NOT NULL DEFAULT 0,  -- not gone through yet
  rows_applied INTEGER NOT NULL DEFAULT 0,  -- the others had changed, and were left alone
  ended_ms     INTEGER
) STRICT;

-- How many rows of each item, and the sum of their amounts.
CREATE TABLE proposal_item (
  proposal     INTEGER NOT NULL REFERENCES proposal (id),
  item         INTEGER NOT NULL,
  rows         INTEGER NOT NULL,
  amount_minor INTEGER NOT NULL,
  PRIMARY KEY (proposal, item)
) STRICT, WITHOUT ROWID;

-- Its rows as they were when it was made; each goes when it has been gone through.
CREATE TABLE proposal_row (
  proposal   INTEGER NOT NULL,
  place      INTEGER NOT NULL,              -- from 1, as they were given
  request_id TEXT    NOT NULL,
  state      INTEGER NOT NULL,
  seen       INTEGER,                       -- the last event of the row
  reference  TEXT    NOT NULL,              -- the downstream's, where people know it
  amount_minor INTEGER,                     -- as the statement has it
  PRIMARY KEY (proposal, place),
  UNIQUE (proposal, request_id)             -- given twice, a row would count twice for its money
) STRICT, WITHOUT ROWID;

-- An authority's yes or no, with the account that the kernel named.  Written with (the first page
-- of) its effect, in one transaction, and never changed.
CREATE TABLE grant (
  id       INTEGER PRIMARY KEY,
  at_ms    INTEGER NOT NULL,
  proposal INTEGER NOT NULL UNIQUE REFERENCES proposal (id),
  granted  INTEGER NOT NULL CHECK (granted IN (0, 1)),
  operator TEXT    NOT NULL,
  account  TEXT    NOT NULL,
  uid      INTEGER NOT NULL,
  rows     INTEGER NOT NULL,
  digest   BLOB    NOT NULL CHECK (length(digest) = 16),
  words    TEXT    NOT NULL
) STRICT;
