-- name: insert_mutation
-- A delivered (or local) mutation enters once; a second delivery changes nothing.
INSERT INTO inbox (id, op, params, requested_at, requested_by, origin, lane, state, received_at)
VALUES (:id, :op, :params, :requested_at, :requested_by, :origin, :lane, 'pending', :received_at)
ON CONFLICT (id) DO NOTHING

-- name: requeue_ack
-- A redelivered id that is already settled gets its original ack again, unless that is still waiting.
INSERT INTO outbox (mutation_id, fresh)
SELECT id, 0 FROM inbox WHERE id = :id AND state = 'settled' AND origin = 'remote'
ON CONFLICT (mutation_id) DO NOTHING

-- name: delete_ack
DELETE FROM outbox WHERE mutation_id = :id

-- name: stamp_acked
UPDATE inbox SET acked_at = coalesce(acked_at, :now) WHERE id = :id

-- name: acks
-- Oldest first; fresh ones before those asked for again.
SELECT outbox.mutation_id AS id, inbox.error, outbox.fresh
FROM outbox JOIN inbox ON inbox.id = outbox.mutation_id
ORDER BY outbox.fresh DESC, outbox.seq LIMIT :limit

-- name: pending
SELECT * FROM inbox WHERE lane = :lane AND state = 'pending' ORDER BY seq

-- name: find
SELECT * FROM inbox WHERE id = :id

-- name: recent
SELECT * FROM inbox WHERE :state IS NULL OR state = :state ORDER BY seq DESC LIMIT :limit

-- name: settle
UPDATE inbox
SET state = 'settled', outcome = :outcome, changed = :changed, error = :error, diff = :diff, settled_at = :now
WHERE id = :id AND state <> 'settled'

-- name: enqueue_ack
-- Local changes are nobody's business but this machine's.
INSERT INTO outbox (mutation_id, fresh)
SELECT id, 1 FROM inbox WHERE id = :id AND origin = 'remote'
ON CONFLICT (mutation_id) DO NOTHING

-- name: insert_plan
INSERT INTO plan (state, target, temporary, before_digest, after_digest, created_at)
VALUES ('planned', :target, :temporary, :before_digest, :after_digest, :now)

-- name: insert_plan_member
INSERT INTO plan_member (plan_id, mutation_id, outcome, changed, error, diff)
VALUES (:plan_id, :id, :outcome, :changed, :error, :diff)

-- name: plans
SELECT * FROM plan WHERE state = :state ORDER BY id

-- name: plan_members
SELECT member.mutation_id AS id, member.outcome, member.changed, member.error, member.diff
FROM plan_member AS member JOIN inbox ON inbox.id = member.mutation_id
WHERE member.plan_id = :plan_id ORDER BY inbox.seq

-- name: keep_plan
UPDATE plan SET state = 'kept' WHERE id = :plan_id

-- name: delete_plan
DELETE FROM plan WHERE id = :plan_id

-- name: applied_since
-- What a person's late save does not contain: every change of the file since the plan it was taken out by.
SELECT DISTINCT inbox.* FROM inbox JOIN plan_member ON plan_member.mutation_id = inbox.id
WHERE plan_member.plan_id >= :plan_id AND inbox.outcome = 'applied' AND inbox.changed = 1 ORDER BY inbox.seq

-- name: counts
SELECT
  (SELECT count(*) FROM inbox WHERE state = 'pending') AS pending,
  (SELECT count(*) FROM inbox WHERE state = 'review') AS review,
  (SELECT count(*) FROM outbox) AS unsent,
  (SELECT count(*) FROM outbox WHERE fresh = 1) AS fresh

-- name: forget_details
-- Ids are kept for ever, because a redelivery must be known; what they were is kept for the newest :keep.
UPDATE inbox SET diff = NULL, params = '{}'
WHERE state = 'settled' AND diff IS NOT NULL
  AND seq <= (SELECT coalesce(max(seq), 0) FROM inbox) - :keep

-- name: get_fact
SELECT value FROM fact WHERE name = :name

-- name: set_fact
INSERT INTO fact (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value
