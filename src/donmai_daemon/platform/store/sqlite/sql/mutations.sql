-- name: insert_mutation
INSERT INTO mutations (id, org_id, host_id, op, params, status, requested_by, created_at, wire_bytes, not_before, undoes)
SELECT :id, h.org_id, h.id, :op, :params, 'pending', :requested_by, :created_at, :wire_bytes, :not_before, :undoes
FROM hosts h WHERE h.id = :host_id AND h.org_id = :org_id AND h.removed_at IS NULL

-- name: mutation
SELECT * FROM mutations WHERE id = :id AND org_id = :org_id

-- name: mutations
SELECT * FROM mutations WHERE host_id = :host_id ORDER BY number DESC LIMIT :limit

-- name: history
-- `ops` is a JSON list.
SELECT * FROM mutations WHERE host_id = :host_id AND op IN (SELECT value FROM json_each(:ops))
ORDER BY number DESC LIMIT :limit

-- name: cancel_mutation
UPDATE mutations SET status = 'cancelled', cancelled_at = :at WHERE id = :id AND org_id = :org_id AND status = 'pending'

-- name: fail_mutations_of_host
UPDATE mutations SET status = 'failed', settled_at = :at, error = :error
WHERE host_id = :host_id AND status = 'delivered'
RETURNING id

-- name: cancel_mutations_of_host
UPDATE mutations SET status = 'cancelled', cancelled_at = :at WHERE host_id = :host_id AND status = 'pending'
RETURNING id

-- name: beat
-- All that a beat with nothing new needs to know, in one read.
SELECT h.id AS host_id, h.org_id, h.status, h.status_told, h.admission_digest,
    (SELECT min(coalesce(m.not_before, 0)) FROM mutations m WHERE m.host_id = h.id AND m.status = 'pending')
        AS next_due,
    EXISTS (SELECT 1 FROM mutations m WHERE m.host_id = h.id AND m.status = 'delivered') AS redeliver,
    (SELECT q.length FROM queues q WHERE q.org_id = h.org_id) AS queued_work
FROM hosts h WHERE h.worker_id = :worker_id AND h.removed_at IS NULL

-- name: due_mutations
-- Creation order among those due; delivered ones come again until they are acked.
SELECT * FROM mutations
WHERE host_id = :host_id AND status IN ('pending', 'delivered') AND (not_before IS NULL OR not_before <= :at)
ORDER BY number LIMIT :limit

-- name: stamp_delivered
UPDATE mutations SET status = 'delivered', delivered_at = :at, before = :before WHERE number = :number AND status = 'pending'

-- name: settle_mutation
UPDATE mutations SET status = :status, settled_at = :at, error = :error
WHERE id = :id AND host_id = :host_id AND status = 'delivered'
RETURNING op, params

-- name: is_settled
SELECT 1 FROM mutations WHERE id = :id AND host_id = :host_id AND status IN ('applied', 'failed')
