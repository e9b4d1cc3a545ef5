-- name: insert_key
INSERT INTO keys (id, digest, org_id, role, name, prefix, created_at, created_by)
VALUES (%(id)s, %(digest)s, %(org_id)s, %(role)s, %(name)s, %(prefix)s, %(created_at)s, %(created_by)s)

-- name: key_by_digest
SELECT * FROM keys WHERE digest = %(digest)s AND revoked_at IS NULL

-- name: key_by_id
SELECT * FROM keys WHERE id = %(id)s

-- name: list_keys
SELECT * FROM keys WHERE %(org_id)s::text IS NULL OR org_id = %(org_id)s ORDER BY created_at, id

-- name: revoke_key
UPDATE keys SET revoked_at = %(at)s WHERE id = %(id)s AND revoked_at IS NULL

-- name: signing_keys
SELECT * FROM signing_keys ORDER BY number DESC

-- name: lock_signing_keys
-- Processes that start together, or rotate, take turns.
SELECT pg_advisory_xact_lock(hashtextextended('signing keys', 1))

-- name: has_signing_key
SELECT 1 FROM signing_keys WHERE retired_at IS NULL

-- name: insert_signing_key
INSERT INTO signing_keys (id, secret, created_at) VALUES (%(id)s, %(secret)s, %(created_at)s)

-- name: retire_signing_keys
UPDATE signing_keys SET retired_at = %(at)s, verify_until = %(until)s WHERE retired_at IS NULL

-- name: drop_signing_keys
-- Nothing they signed is good any more.
DELETE FROM signing_keys WHERE verify_until <= %(at)s

-- name: insert_audit
INSERT INTO audit (subject, at, by, came_from, went_to) VALUES (%(subject)s, %(at)s, %(by)s, %(came_from)s, %(went_to)s)

-- name: trail
SELECT at, by, came_from, went_to FROM audit WHERE subject = %(subject)s ORDER BY number

-- name: is_standby
SELECT pg_is_in_recovery() AS standby
