-- name: lock_signing_keys
-- Processes that start together, or rotate, take turns.
SELECT pg_advisory_xact_lock(hashtextextended('signing keys', 1))

-- name: is_standby
SELECT pg_is_in_recovery() AS standby

-- name: lock_machine
-- Registrations of one machine take turns, also the first ones, when there is no row to lock.
SELECT pg_advisory_xact_lock(hashtextextended(:org_id || '/' || :machine_id, 0))

-- name: lock_host
-- Whatever reads a host to change it, or its queue, begins here: hosts are locked before mutations, so no two wait for each other.
SELECT id FROM hosts WHERE id = :id AND removed_at IS NULL FOR NO KEY UPDATE

-- name: lock_host_of_worker
SELECT id FROM hosts WHERE worker_id = :worker_id AND removed_at IS NULL FOR NO KEY UPDATE

-- name: census
-- From indexes alone: what the tables hold does not matter, and what is settled neither.
SELECT
    (SELECT count(*) FROM hosts WHERE removed_at IS NULL) AS hosts,
    (SELECT count(*) FROM mutations WHERE status = 'pending') AS pending,
    (SELECT count(*) FROM mutations WHERE status = 'delivered') AS delivered

-- name: history
SELECT * FROM mutations WHERE host_id = :host_id AND op = ANY(:ops)
ORDER BY number DESC LIMIT :limit

-- name: beats
-- All that beats with nothing new need to know, in one read. With LIMIT, as an EXISTS may be answered from a hash of all
-- that is delivered to anyone.
SELECT h.worker_id, h.id AS host_id, h.org_id, h.status, h.status_told, h.admission_digest,
    (SELECT min(coalesce(m.not_before, 0)) FROM mutations m WHERE m.host_id = h.id AND m.status = 'pending')
        AS next_due,
    (SELECT true FROM mutations m WHERE m.host_id = h.id AND m.status = 'delivered' LIMIT 1) AS redeliver
FROM hosts h WHERE h.worker_id = ANY(:worker_ids) AND h.removed_at IS NULL

-- name: due_mutations
-- Creation order among those due; delivered ones come again until they are acked. Locked: a cancel that holds a row is
-- waited for, and the row is looked at again.
SELECT * FROM mutations
WHERE host_id = :host_id AND status IN ('pending', 'delivered') AND (not_before IS NULL OR not_before <= :at)
ORDER BY number LIMIT :limit FOR UPDATE

-- name: delivered_mutations
SELECT * FROM mutations WHERE host_id = :host_id AND status = 'delivered' ORDER BY number LIMIT :limit
