-- The daemon's journal. Times are RFC 3339 UTC text. `user_version` is the number of the last section applied.

-- name: 1
CREATE TABLE inbox (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT, -- first-seen order, the order of application
  id           TEXT NOT NULL UNIQUE,
  op           TEXT NOT NULL,
  params       TEXT NOT NULL,                     -- JSON, as delivered
  requested_at TEXT,
  requested_by TEXT,
  origin       TEXT NOT NULL CHECK (origin IN ('remote', 'local')),
  lane         TEXT NOT NULL CHECK (lane IN ('config', 'host')),
  state        TEXT NOT NULL CHECK (state IN ('pending', 'review', 'settled')),
  received_at  TEXT NOT NULL,
  outcome      TEXT CHECK (outcome IN ('applied', 'failed')),
  changed      INTEGER NOT NULL DEFAULT 0,
  error        TEXT,
  diff         TEXT,
  settled_at   TEXT,
  acked_at     TEXT,
  CHECK ((state = 'settled') = (outcome IS NOT NULL)),
  CHECK ((state = 'settled') = (settled_at IS NOT NULL)),
  CHECK (outcome IS NOT 'applied' OR error IS NULL),
  CHECK (outcome IS NOT 'failed' OR error IS NOT NULL)
) STRICT;
CREATE INDEX inbox_waiting ON inbox (lane, seq) WHERE state <> 'settled';
CREATE INDEX inbox_details ON inbox (seq) WHERE diff IS NOT NULL;

-- An outcome that the platform has not been told, or asked for again. A row leaves only with an accepted beat.
CREATE TABLE outbox (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  mutation_id TEXT NOT NULL UNIQUE REFERENCES inbox (id),
  fresh       INTEGER NOT NULL                    -- 0: already delivered once, asked for again
) STRICT;

-- One replacement of the configuration file. planned: the swap may or may not have happened. kept: settled, and the
-- file that was taken out still lies under the temporary name, to be looked at once more before it goes.
CREATE TABLE plan (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  state         TEXT NOT NULL CHECK (state IN ('planned', 'kept')),
  target        TEXT NOT NULL,
  temporary     TEXT NOT NULL,
  before_digest TEXT NOT NULL,                    -- '' where the file did not exist
  after_digest  TEXT NOT NULL,
  created_at    TEXT NOT NULL
) STRICT;

CREATE TABLE plan_member (
  plan_id     INTEGER NOT NULL REFERENCES plan (id) ON DELETE CASCADE,
  mutation_id TEXT NOT NULL REFERENCES inbox (id),
  outcome     TEXT NOT NULL CHECK (outcome IN ('applied', 'failed')),
  changed     INTEGER NOT NULL,
  error       TEXT,
  diff        TEXT,
  PRIMARY KEY (plan_id, mutation_id)
) STRICT, WITHOUT ROWID;

-- Single values: host status, the report the platform has accepted, time of the last accepted beat, last sequence.
CREATE TABLE fact (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL                             -- JSON
) STRICT, WITHOUT ROWID;
