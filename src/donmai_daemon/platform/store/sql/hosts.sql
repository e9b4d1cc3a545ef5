-- name: host_of_machine
SELECT id, worker_id FROM hosts WHERE org_id = :org_id AND machine_id = :machine_id AND removed_at IS NULL

-- name: insert_host
INSERT INTO hosts (id, org_id, machine_id, hostname, version, region, capacity, worker_id, status,
    admission_digest, admission, details, registered_at)
VALUES (:host_id, :org_id, :machine_id, :hostname, :version, :region, :capacity, :worker_id, '{"status":"ok"}',
    :admission_digest, :admission, :details, :at)

-- name: update_host
-- Nothing was told to the new worker yet; a registration without a report leaves the old one in place.
UPDATE hosts SET hostname = :hostname, version = :version, region = :region, capacity = :capacity,
    worker_id = :worker_id, status_told = NULL, details = :details, registered_at = :at,
    admission_digest = coalesce(:admission_digest, admission_digest), admission = coalesce(:admission, admission)
WHERE id = :host_id

-- name: insert_worker
INSERT INTO workers (id, host_id, key_id, registered_at) VALUES (:worker_id, :host_id, :key_id, :at)

-- name: worker
SELECT w.id, w.host_id, w.key_id, h.org_id, (h.worker_id = w.id AND h.removed_at IS NULL) AS current,
    (k.revoked_at IS NOT NULL) AS key_revoked
FROM workers w JOIN hosts h ON h.id = w.host_id LEFT JOIN keys k ON k.id = w.key_id
WHERE w.id = :id

-- name: host
SELECT h.*, (SELECT count(*) FROM mutations m WHERE m.host_id = h.id AND m.status IN ('pending', 'delivered'))
    AS open_mutations
FROM hosts h WHERE h.id = :id AND h.removed_at IS NULL

-- name: hosts
SELECT h.*, (SELECT count(*) FROM mutations m WHERE m.host_id = h.id AND m.status IN ('pending', 'delivered'))
    AS open_mutations
FROM hosts h WHERE h.id > :after AND h.removed_at IS NULL AND (CAST(:org_id AS TEXT) IS NULL OR h.org_id = :org_id)
ORDER BY h.id LIMIT :limit

-- name: set_host_status
UPDATE hosts SET status = :status WHERE id = :id AND removed_at IS NULL

-- name: set_status_told
UPDATE hosts SET status_told = status WHERE id = :id

-- name: remove_host
UPDATE hosts SET removed_at = :at WHERE id = :id AND removed_at IS NULL

-- name: set_admission
UPDATE hosts SET admission_digest = :admission_digest, admission = :admission
WHERE worker_id = :worker_id AND removed_at IS NULL

-- name: admission
SELECT admission_digest, admission FROM hosts WHERE id = :id
