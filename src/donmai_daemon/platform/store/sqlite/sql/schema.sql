-- Times are milliseconds since the epoch; structured values are JSON.

-- name: 1
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT,
    prefix TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE signing_keys (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER,
    verify_until INTEGER
) STRICT;

CREATE TABLE hosts (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    machine_id TEXT NOT NULL,
    hostname TEXT NOT NULL,
    version TEXT,
    region TEXT,
    capacity INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    status TEXT NOT NULL,
    status_told TEXT,
    admission_digest TEXT,
    admission TEXT,
    details TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX hosts_by_worker ON hosts (worker_id);
CREATE UNIQUE INDEX hosts_by_machine ON hosts (org_id, machine_id) WHERE removed_at IS NULL;

CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    host_id TEXT NOT NULL REFERENCES hosts (id),
    key_id TEXT NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX workers_by_host ON workers (host_id);

CREATE TABLE liveness (
    host_id TEXT PRIMARY KEY,
    beat TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE mutations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL,
    host_id TEXT NOT NULL REFERENCES hosts (id),
    op TEXT NOT NULL,
    params TEXT NOT NULL,
    status TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    wire_bytes INTEGER NOT NULL,
    not_before INTEGER,
    delivered_at INTEGER,
    cancelled_at INTEGER,
    settled_at INTEGER,
    error TEXT,
    undoes TEXT,
    before TEXT
) STRICT;
CREATE INDEX mutations_by_host ON mutations (host_id, number);
CREATE INDEX mutations_open ON mutations (host_id, number) WHERE status IN ('pending', 'delivered');
CREATE INDEX mutations_pending ON mutations (host_id, coalesce(not_before, 0)) WHERE status = 'pending';
CREATE INDEX mutations_delivered ON mutations (host_id) WHERE status = 'delivered';

CREATE TABLE sessions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    status TEXT NOT NULL,
    queued INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    worker_id TEXT,
    host_id TEXT,
    claim_id TEXT,
    lease_until INTEGER,
    stop_requested INTEGER NOT NULL DEFAULT 0,
    nacks INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    summary TEXT,
    exit_code INTEGER,
    ended_at INTEGER
) STRICT;
CREATE INDEX sessions_queue ON sessions (org_id, priority, queued_at, number) WHERE queued;
CREATE INDEX sessions_leased ON sessions (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX sessions_of_host ON sessions (host_id) WHERE lease_until IS NOT NULL;
CREATE INDEX sessions_of_org ON sessions (org_id, number);

-- Payloads of sessions in the queue, and of claimed ones: nothing reads the second but a claim that is given back.
CREATE TABLE work_items (session_id TEXT PRIMARY KEY, payload TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE claimed_items (session_id TEXT PRIMARY KEY, payload TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE hidden_work (
    session_id TEXT NOT NULL,
    host_id TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (session_id, host_id)
) STRICT, WITHOUT ROWID;

-- How long each organisation's queue is: a beat tells it, and must not count for that.
CREATE TABLE queues (org_id TEXT PRIMARY KEY, length INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER session_queued AFTER INSERT ON sessions WHEN NEW.queued BEGIN
    INSERT INTO queues (org_id, length) VALUES (NEW.org_id, 1) ON CONFLICT (org_id) DO UPDATE SET length = length + 1;
END;
CREATE TRIGGER session_moved AFTER UPDATE OF queued ON sessions WHEN NEW.queued <> OLD.queued BEGIN
    UPDATE queues SET length = length + NEW.queued - OLD.queued WHERE org_id = NEW.org_id;
END;

CREATE TABLE activities (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT;
CREATE INDEX activities_by_session ON activities (session_id, number);

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    came_from TEXT,
    went_to TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_subject ON audit (subject, number);

-- name: 2
ALTER TABLE sessions ADD COLUMN refusal TEXT;
