-- name: insert_key
INSERT INTO keys (id, digest, org_id, role, name, prefix, created_at, created_by)
VALUES (:id, :digest, :org_id, :role, :name, :prefix, :created_at, :created_by)

-- name: key_by_digest
SELECT * FROM keys WHERE digest = :digest AND revoked_at IS NULL

-- name: key_by_id
SELECT * FROM keys WHERE id = :id

-- name: list_keys
SELECT * FROM keys WHERE CAST(:org_id AS TEXT) IS NULL OR org_id = :org_id ORDER BY created_at, id

-- name: revoke_key
UPDATE keys SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL

-- name: signing_keys
SELECT * FROM signing_keys ORDER BY number DESC

-- name: has_signing_key
SELECT 1 FROM signing_keys WHERE retired_at IS NULL

-- name: insert_signing_key
INSERT INTO signing_keys (id, secret, created_at) VALUES (:id, :secret, :created_at)

-- name: retire_signing_keys
UPDATE signing_keys SET retired_at = :at, verify_until = :until WHERE retired_at IS NULL

-- name: drop_signing_keys
-- Nothing they signed is good any more.
DELETE FROM signing_keys WHERE verify_until <= :at

-- name: insert_audit
INSERT INTO audit (subject, at, by, came_from, went_to) VALUES (:subject, :at, :by, :came_from, :went_to)

-- name: trail
SELECT at, by, came_from, went_to FROM audit WHERE subject = :subject ORDER BY number
