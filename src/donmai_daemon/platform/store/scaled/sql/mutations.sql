-- name: insert_mutation
INSERT INTO mutations (id, org_id, host_id, op, params, status, requested_by, created_at, wire_bytes, not_before, undoes)
SELECT %(id)s::text, h.org_id, h.id, %(op)s::text, %(params)s::text, 'pending', %(requested_by)s::text, %(created_at)s::bigint,
    %(wire_bytes)s::bigint, %(not_before)s::bigint, %(undoes)s::text
FROM hosts h WHERE h.id = %(host_id)s AND h.org_id = %(org_id)s AND h.removed_at IS NULL

-- name: mutation
SELECT * FROM mutations WHERE id = %(id)s AND org_id = %(org_id)s

-- name: mutations
SELECT * FROM mutations WHERE host_id = %(host_id)s ORDER BY number DESC LIMIT %(limit)s

-- name: history
SELECT * FROM mutations WHERE host_id = %(host_id)s AND op = ANY(%(ops)s)
ORDER BY number DESC LIMIT %(limit)s

-- name: cancel_mutation
UPDATE mutations SET status = 'cancelled', cancelled_at = %(at)s WHERE id = %(id)s AND org_id = %(org_id)s AND status = 'pending'

-- name: fail_mutations_of_host
UPDATE mutations SET status = 'failed', settled_at = %(at)s, error = %(error)s
WHERE host_id = %(host_id)s AND status = 'delivered'
RETURNING id

-- name: cancel_mutations_of_host
UPDATE mutations SET status = 'cancelled', cancelled_at = %(at)s WHERE host_id = %(host_id)s AND status = 'pending'
RETURNING id

-- name: beats
-- All that beats with nothing new need to know, in one read. With LIMIT, as an EXISTS may be answered from a hash of all
-- that is delivered to anyone.
SELECT h.worker_id, h.id AS host_id, h.org_id, h.status, h.status_told, h.admission_digest,
    (SELECT min(coalesce(m.not_before, 0)) FROM mutations m WHERE m.host_id = h.id AND m.status = 'pending')
        AS next_due,
    (SELECT true FROM mutations m WHERE m.host_id = h.id AND m.status = 'delivered' LIMIT 1) AS redeliver
FROM hosts h WHERE h.worker_id = ANY(%(worker_ids)s) AND h.removed_at IS NULL

-- name: due_mutations
-- Creation order among those due; delivered ones come again until they are acked. Locked: a cancel that holds a row is
-- waited for, and the row is looked at again.
SELECT * FROM mutations
WHERE host_id = %(host_id)s AND status IN ('pending', 'delivered') AND (not_before IS NULL OR not_before <= %(at)s)
ORDER BY number LIMIT %(limit)s FOR UPDATE

-- name: delivered_mutations
SELECT * FROM mutations WHERE host_id = %(host_id)s AND status = 'delivered' ORDER BY number LIMIT %(limit)s

-- name: stamp_delivered
UPDATE mutations SET status = 'delivered', delivered_at = %(at)s, before = %(before)s::text WHERE number = %(number)s AND status = 'pending'

-- name: settle_mutation
UPDATE mutations SET status = %(status)s, settled_at = %(at)s, error = %(error)s
WHERE id = %(id)s AND host_id = %(host_id)s AND status = 'delivered'
RETURNING op, params

-- name: is_settled
SELECT 1 FROM mutations WHERE id = %(id)s AND host_id = %(host_id)s AND status IN ('applied', 'failed')
