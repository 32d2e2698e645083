"""The SQL of the records, but for `retention_statements`. Statements that end in RETURNING * give the row as
it is then.
"""

from imagebatch.records.retention_statements import MAY_BE_REOPENED

INSERT = """
INSERT INTO processing_requests
    (request_id, owner, spec, input_sha256, rows, images, webhook_url, webhook_secret, attempt, uploaded_by,
     upload)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (request_id) DO NOTHING
"""
ENSURE = (
    "WITH made AS (" + INSERT + "RETURNING *) "  # noqa: S608 - of constants
    "SELECT * FROM made UNION ALL "
    "SELECT * FROM processing_requests WHERE request_id = $1 AND deleted_at IS NULL"
)
"""One statement for both: the row as it is made or, when it was there, as it is."""

SELECT = "SELECT * FROM processing_requests WHERE request_id = $1 AND deleted_at IS NULL"
SELECT_OR_DELETED = "SELECT * FROM processing_requests WHERE request_id = $1"
LIST = """
SELECT * FROM processing_requests
WHERE deleted_at IS NULL AND coalesce(uploaded_by, '') = $1
    AND (created_at, request_id) < (coalesce($2, 'infinity'::timestamptz), coalesce($3, ''))
ORDER BY created_at DESC, request_id DESC LIMIT $4
"""
LIST_OF_STATUS = """
SELECT * FROM processing_requests
WHERE deleted_at IS NULL AND coalesce(uploaded_by, '') = $1 AND status = $5
    AND (created_at, request_id) < (coalesce($2, 'infinity'::timestamptz), coalesce($3, ''))
ORDER BY created_at DESC, request_id DESC LIMIT $4
"""
SELECT_PENDING = "SELECT * FROM processing_requests WHERE status = 'pending' ORDER BY created_at"
UPDATE_REOPENED = f"""
UPDATE processing_requests
SET attempt = $2, status = 'pending', phase = 'Pending', message = '', error = NULL, images_succeeded = 0,
    images_failed = 0, images_skipped = 0, bytes_in = 0, bytes_out = 0, errors_by_code = '{{}}',
    reason = '', waiting_message = '', started_at = NULL, finished_at = NULL,
    suspended_at = NULL, suspended_seconds = 0, spec = spec || $3
WHERE request_id = $1 AND attempt < $2 AND status <> 'pending' AND deleted_at IS NULL AND {MAY_BE_REOPENED}
"""  # noqa: S608 - of constants
UPDATE_SPEC = """
UPDATE processing_requests SET spec = spec || $2 WHERE request_id = $1 AND status = 'pending'
RETURNING *
"""
UPDATE_PROGRESS = """
UPDATE processing_requests
SET phase = $3, message = $4, images_succeeded = $5, images_failed = $6, bytes_in = $7, bytes_out = $8,
    reason = $9, waiting_message = $10, rows = $11, images = $12, input_sha256 = $13,
    suspended_at = $14, suspended_seconds = $15, errors_by_code = $16,
    started_at = coalesce(started_at, now())
WHERE request_id = $1 AND attempt = $2 AND status = 'pending'
RETURNING *
"""
FINISH = """
WITH ended AS (
    UPDATE processing_requests
    SET status = $3, phase = $4, message = $5, error = $6,
        images = coalesce($7, images), images_succeeded = coalesce($8, images_succeeded),
        images_failed = coalesce($9, images_failed), images_skipped = coalesce($10, images_skipped),
        bytes_in = coalesce($11, bytes_in), bytes_out = coalesce($12, bytes_out),
        errors_by_code = $13, output_key = $14, errors_key = $15, report_key = $16, qualities = $17,
        reason = $20, waiting_message = '', rows = $21, input_sha256 = $22,
        outputs_removed_at = CASE WHEN $14::text IS NULL THEN outputs_removed_at END,
        has_unnamed_images = coalesce($10, images_skipped) > 0 OR $13 ? 'shard_failed'
            OR ($14::text IS NULL AND attempt = 1),
        started_at = coalesce(started_at, now()), finished_at = now(), suspended_at = NULL,
        suspended_seconds = suspended_seconds + coalesce(extract(epoch FROM now() - suspended_at), 0)
    WHERE request_id = $1 AND attempt = $2 AND status = 'pending'
    RETURNING *
), promised AS (
    INSERT INTO webhook_deliveries (webhook_id, request_id, attempt, url, secret, body)
    SELECT $18, request_id, attempt, webhook_url, webhook_secret, $19 FROM ended WHERE webhook_url <> ''
    ON CONFLICT (request_id, attempt) DO NOTHING
)
SELECT * FROM ended
"""
CLAIM_DELIVERIES = """
UPDATE webhook_deliveries
SET tries = tries + 1, due_at = now() + make_interval(secs => $2)
WHERE webhook_id IN (
    SELECT webhook_id FROM webhook_deliveries
    WHERE state = 'pending' AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING webhook_id, coalesce(request_id, '') AS request_id, attempt, url, secret, body, tries - 1 AS tries
"""
SETTLE_DELIVERY = """
UPDATE webhook_deliveries
SET state = $2, last_error = $3, finished_at = now()
WHERE webhook_id = $1 AND state = 'pending'
"""
POSTPONE_DELIVERY = """
UPDATE webhook_deliveries
SET last_error = $3, due_at = now() + make_interval(secs => $2)
WHERE webhook_id = $1 AND state = 'pending'
"""
NEXT_DELIVERY = """
SELECT extract(epoch FROM min(due_at) - now())::float8
FROM webhook_deliveries WHERE state = 'pending'
"""
SELECT_DELIVERY = """
SELECT state, tries, last_error FROM webhook_deliveries WHERE request_id = $1 ORDER BY attempt DESC LIMIT 1
"""
_DELIVERY = """webhook_id, attempt, url, state, tries, last_error,
    CASE WHEN state = 'pending' THEN due_at END AS next_try_at"""
SELECT_DELIVERIES = f"""
SELECT {_DELIVERY} FROM webhook_deliveries WHERE request_id = $1 ORDER BY attempt DESC
"""  # noqa: S608 - of constants
REDELIVER = f"""
UPDATE webhook_deliveries
SET state = 'pending', due_at = now(), tries = 0, last_error = '', finished_at = NULL
WHERE webhook_id = (
    SELECT webhook_id FROM webhook_deliveries WHERE request_id = $1 ORDER BY attempt DESC LIMIT 1
)
RETURNING {_DELIVERY}
"""  # noqa: S608
INSERT_TEST = """
WITH forgotten AS (
    DELETE FROM webhook_deliveries
    WHERE request_id IS NULL AND created_at < now() - make_interval(secs => $4)
)
INSERT INTO webhook_deliveries (webhook_id, attempt, url, body) VALUES ($1, 0, $2, $3)
"""
"""A delivery without a request; it also removes old tests whose senders are gone."""

FORGET_TESTS = """
DELETE FROM webhook_deliveries WHERE request_id IS NULL AND created_at < now() - make_interval(secs => $1)
"""
SELECT_TEST = """
SELECT state, tries, last_error FROM webhook_deliveries WHERE webhook_id = $1 AND request_id IS NULL
"""
DELETE_TEST = "DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND request_id IS NULL"

MARK_DELETED = """
WITH marked AS (
    UPDATE processing_requests SET deleted_at = now(), purge_at = greatest(now(), collect_at)
    WHERE request_id = $1 AND status <> 'pending' AND deleted_at IS NULL
    RETURNING request_id
), unsent AS (
    DELETE FROM webhook_deliveries USING marked WHERE webhook_deliveries.request_id = marked.request_id
)
SELECT count(*) FROM marked
"""
CLAIM_DELETED = """
UPDATE processing_requests SET purge_at = now() + make_interval(secs => $1)
WHERE request_id = (
    SELECT request_id FROM processing_requests
    WHERE deleted_at IS NOT NULL AND purge_at <= now()
    ORDER BY purge_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING *
"""
EXTEND_CLAIM = """
UPDATE processing_requests SET purge_at = now() + make_interval(secs => $3)
WHERE request_id = $1 AND deleted_at IS NOT NULL AND purge_at = $2
RETURNING purge_at
"""
RELEASE_CLAIMS = """
UPDATE processing_requests SET purge_at = now() WHERE deleted_at IS NOT NULL AND purge_at > now()
"""
NEXT_DELETED = """
SELECT extract(epoch FROM min(purge_at) - now())::float8
FROM processing_requests WHERE deleted_at IS NOT NULL
"""
DELETE_CLAIMED = """
DELETE FROM processing_requests WHERE request_id = $1 AND deleted_at IS NOT NULL AND purge_at = $2
"""
DELETE = "DELETE FROM processing_requests WHERE request_id = $1"
