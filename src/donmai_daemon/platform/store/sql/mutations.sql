-- name: insert_mutation
INSERT INTO mutations (id, org_id, host_id, op, params, status, requested_by, created_at, wire_bytes, not_before, undoes)
SELECT CAST(:id AS TEXT), h.org_id, h.id, CAST(:op AS TEXT), CAST(:params AS TEXT), 'pending', CAST(:requested_by AS TEXT),
    CAST(:created_at AS BIGINT), CAST(:wire_bytes AS BIGINT), CAST(:not_before AS BIGINT), CAST(:undoes AS TEXT)
FROM hosts h WHERE h.id = :host_id AND h.org_id = :org_id AND h.removed_at IS NULL

-- name: mutation
SELECT * FROM mutations WHERE id = :id AND org_id = :org_id

-- name: mutations
SELECT * FROM mutations WHERE host_id = :host_id ORDER BY number DESC LIMIT :limit

-- name: cancel_mutation
UPDATE mutations SET status = 'cancelled', cancelled_at = :at WHERE id = :id AND org_id = :org_id AND status = 'pending'

-- name: fail_mutations_of_host
UPDATE mutations SET status = 'failed', settled_at = :at, error = :error
WHERE host_id = :host_id AND status = 'delivered'
RETURNING id

-- name: cancel_mutations_of_host
UPDATE mutations SET status = 'cancelled', cancelled_at = :at WHERE host_id = :host_id AND status = 'pending'
RETURNING id

-- name: stamp_delivered
UPDATE mutations SET status = 'delivered', delivered_at = :at, before = CAST(:before AS TEXT) WHERE number = :number AND status = 'pending'

-- name: settle_mutation
UPDATE mutations SET status = :status, settled_at = :at, error = :error
WHERE id = :id AND host_id = :host_id AND status = 'delivered'
RETURNING op, params

-- name: is_settled
SELECT 1 FROM mutations WHERE id = :id AND host_id = :host_id AND status IN ('applied', 'failed')
