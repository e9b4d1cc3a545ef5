-- name: insert_session
INSERT INTO sessions (id, org_id, project_id, status, queued, priority, queued_at, created_by)
VALUES (:id, :org_id, :project_id, 'pending', 1, :priority, :queued_at, :created_by)

-- name: insert_work_item
INSERT INTO work_items (session_id, payload) VALUES (:id, :payload)

-- name: session
SELECT * FROM sessions WHERE id = :id

-- name: sessions
SELECT * FROM sessions WHERE :org_id IS NULL OR org_id = :org_id ORDER BY number DESC LIMIT :limit

-- name: queued_payload
SELECT payload FROM work_items WHERE session_id = :id

-- name: claims_of_host
SELECT count(*) AS claims FROM sessions WHERE host_id = :host_id AND lease_until IS NOT NULL

-- name: claimable
-- `projects` is a JSON list, or NULL for any project.
SELECT s.*, w.payload FROM sessions s JOIN work_items w ON w.session_id = s.id
WHERE s.org_id = :org_id AND s.queued
    AND (:projects IS NULL OR s.project_id IN (SELECT value FROM json_each(:projects)))
    AND NOT EXISTS (
        SELECT 1 FROM hidden_work n WHERE n.session_id = s.id AND n.host_id = :host_id AND n.until > :at
    )
ORDER BY s.priority, s.queued_at, s.number LIMIT :limit

-- name: update_session
UPDATE sessions SET status = :status, queued = :queued, worker_id = :worker_id, host_id = :host_id,
    claim_id = :claim_id, lease_until = :lease_until, stop_requested = :stop_requested, nacks = :nacks,
    refusal = :refusal, error = :error, summary = :summary, exit_code = :exit_code, ended_at = :ended_at
WHERE id = :id

-- name: copy_to_claimed
INSERT INTO claimed_items (session_id, payload) SELECT session_id, payload FROM work_items WHERE session_id = :id

-- name: copy_to_queue
INSERT INTO work_items (session_id, payload) SELECT session_id, payload FROM claimed_items WHERE session_id = :id

-- name: drop_from_queue
DELETE FROM work_items WHERE session_id = :id

-- name: drop_from_claimed
DELETE FROM claimed_items WHERE session_id = :id

-- name: drop_hidden
DELETE FROM hidden_work WHERE session_id = :id

-- name: hide_work
INSERT INTO hidden_work (session_id, host_id, until) VALUES (:session_id, :host_id, :until)
ON CONFLICT (session_id, host_id) DO UPDATE SET until = excluded.until

-- name: lapsed
SELECT * FROM sessions WHERE lease_until <= :at ORDER BY lease_until LIMIT :limit

-- name: insert_activity
INSERT INTO activities (session_id, at, kind, content) VALUES (:session_id, :at, :kind, :content)

-- name: trim_activities
DELETE FROM activities WHERE session_id = :session_id AND number <= (
    SELECT number FROM activities WHERE session_id = :session_id ORDER BY number DESC LIMIT 1 OFFSET :keep
)

-- name: activities
SELECT * FROM (SELECT * FROM activities WHERE session_id = :session_id ORDER BY number DESC LIMIT :limit) ORDER BY number
