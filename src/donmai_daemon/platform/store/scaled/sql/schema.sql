-- Times are milliseconds since the epoch; structured values are JSON.

-- name: 1
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT,
    prefix TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE signing_keys (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT,
    verify_until BIGINT
);

CREATE TABLE hosts (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT NOT NULL,
    machine_id TEXT NOT NULL,
    hostname TEXT NOT NULL,
    version TEXT,
    region TEXT,
    capacity BIGINT NOT NULL,
    worker_id TEXT NOT NULL,
    status TEXT NOT NULL,
    status_told TEXT,
    admission_digest TEXT,
    admission TEXT,
    details TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    removed_at BIGINT
);
CREATE UNIQUE INDEX hosts_by_worker ON hosts (worker_id);
CREATE UNIQUE INDEX hosts_by_machine ON hosts (org_id, machine_id) WHERE removed_at IS NULL;

CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    host_id TEXT COLLATE "C" NOT NULL REFERENCES hosts (id),
    key_id TEXT NOT NULL,
    registered_at BIGINT NOT NULL
);
CREATE INDEX workers_by_host ON workers (host_id);

CREATE TABLE mutations (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL,
    host_id TEXT COLLATE "C" NOT NULL REFERENCES hosts (id),
    op TEXT NOT NULL,
    params TEXT NOT NULL,
    status TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    wire_bytes BIGINT NOT NULL,
    not_before BIGINT,
    delivered_at BIGINT,
    cancelled_at BIGINT,
    settled_at BIGINT,
    error TEXT,
    undoes TEXT,
    before TEXT
);
CREATE INDEX mutations_by_host ON mutations (host_id, number);
CREATE INDEX mutations_open ON mutations (host_id, number) WHERE status IN ('pending', 'delivered');
CREATE INDEX mutations_pending ON mutations (host_id, coalesce(not_before, 0)) WHERE status = 'pending';
CREATE INDEX mutations_delivered ON mutations (host_id, number) WHERE status = 'delivered';

CREATE TABLE audit (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject TEXT NOT NULL,
    at BIGINT NOT NULL,
    by TEXT NOT NULL,
    came_from TEXT,
    went_to TEXT NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject, number);
