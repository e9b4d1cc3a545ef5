-- name: host_of_machine
SELECT id, worker_id FROM hosts WHERE org_id = %(org_id)s AND machine_id = %(machine_id)s AND removed_at IS NULL

-- name: insert_host
INSERT INTO hosts (id, org_id, machine_id, hostname, version, region, capacity, worker_id, status,
    admission_digest, admission, details, registered_at)
VALUES (%(host_id)s, %(org_id)s, %(machine_id)s, %(hostname)s, %(version)s, %(region)s, %(capacity)s, %(worker_id)s, '{"status":"ok"}',
    %(admission_digest)s, %(admission)s, %(details)s, %(at)s)

-- name: update_host
-- Nothing was told to the new worker yet; a registration without a report leaves the old one in place.
UPDATE hosts SET hostname = %(hostname)s, version = %(version)s, region = %(region)s, capacity = %(capacity)s,
    worker_id = %(worker_id)s, status_told = NULL, details = %(details)s, registered_at = %(at)s,
    admission_digest = coalesce(%(admission_digest)s, admission_digest), admission = coalesce(%(admission)s, admission)
WHERE id = %(host_id)s

-- name: insert_worker
INSERT INTO workers (id, host_id, key_id, registered_at) VALUES (%(worker_id)s, %(host_id)s, %(key_id)s, %(at)s)

-- name: worker
SELECT w.id, w.host_id, w.key_id, h.org_id, (h.worker_id = w.id AND h.removed_at IS NULL) AS current,
    (k.revoked_at IS NOT NULL) AS key_revoked
FROM workers w JOIN hosts h ON h.id = w.host_id LEFT JOIN keys k ON k.id = w.key_id
WHERE w.id = %(id)s

-- name: host
SELECT h.*, (SELECT count(*) FROM mutations m WHERE m.host_id = h.id AND m.status IN ('pending', 'delivered'))
    AS open_mutations
FROM hosts h WHERE h.id = %(id)s AND h.removed_at IS NULL

-- name: hosts
SELECT h.*, (SELECT count(*) FROM mutations m WHERE m.host_id = h.id AND m.status IN ('pending', 'delivered'))
    AS open_mutations
FROM hosts h WHERE h.id > %(after)s AND h.removed_at IS NULL AND (%(org_id)s::text IS NULL OR h.org_id = %(org_id)s)
ORDER BY h.id LIMIT %(limit)s

-- name: set_host_status
UPDATE hosts SET status = %(status)s WHERE id = %(id)s AND removed_at IS NULL

-- name: set_status_told
UPDATE hosts SET status_told = status WHERE id = %(id)s

-- name: remove_host
UPDATE hosts SET removed_at = %(at)s WHERE id = %(id)s AND removed_at IS NULL

-- name: set_admission
UPDATE hosts SET admission_digest = %(admission_digest)s, admission = %(admission)s
WHERE worker_id = %(worker_id)s AND removed_at IS NULL

-- name: admission
SELECT admission_digest, admission FROM hosts WHERE id = %(id)s

-- name: lock_machine
-- Registrations of one machine take turns, also the first ones, when there is no row to lock.
SELECT pg_advisory_xact_lock(hashtextextended(%(org_id)s || '/' || %(machine_id)s, 0))

-- name: lock_host
-- Whatever reads a host to change it, or its queue, begins here: hosts are locked before mutations, so no two wait for each other.
SELECT id FROM hosts WHERE id = %(id)s AND removed_at IS NULL FOR NO KEY UPDATE

-- name: lock_host_of_worker
SELECT id FROM hosts WHERE worker_id = %(worker_id)s AND removed_at IS NULL FOR NO KEY UPDATE

-- name: census
-- From indexes alone: what the tables hold does not matter, and what is settled neither.
SELECT
    (SELECT count(*) FROM hosts WHERE removed_at IS NULL) AS hosts,
    (SELECT count(*) FROM mutations WHERE status = 'pending') AS pending,
    (SELECT count(*) FROM mutations WHERE status = 'delivered') AS delivered
