-- name: all_liveness
SELECT host_id, beat FROM liveness

-- name: put_liveness
INSERT INTO liveness (host_id, beat) VALUES (:host_id, :beat)
ON CONFLICT (host_id) DO UPDATE SET beat = excluded.beat

-- name: census
-- From indexes alone: what the tables hold does not matter, and what is settled neither.
SELECT
    (SELECT count(*) FROM hosts INDEXED BY hosts_by_machine WHERE removed_at IS NULL) AS hosts,
    (SELECT count(*) FROM mutations WHERE status = 'pending') AS pending,
    (SELECT count(*) FROM mutations WHERE status = 'delivered') AS delivered,
    (SELECT coalesce(sum(length), 0) FROM queues) AS queued,
    (SELECT count(*) FROM sessions WHERE lease_until IS NOT NULL) AS claimed

-- name: history
-- `ops` is a JSON list.
SELECT * FROM mutations WHERE host_id = :host_id AND op IN (SELECT value FROM json_each(:ops))
ORDER BY number DESC LIMIT :limit

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
