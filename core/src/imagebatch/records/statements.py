# ruff: noqa: S608 - statements are made of constants
"""The SQL of the records, but for `retention_statements`. What returns a whole row adds when it was read, by
Postgres's clock.
"""

from imagebatch.records.retention_statements import MAY_BE_REOPENED
from imagebatch.records.row_mapping import ROW

INSERT = """
INSERT INTO processing_requests
    (request_id, owner, spec, input_sha256, rows, images, webhook_url, webhook_secret, attempt, uploaded_by,
     upload, store, object)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (request_id) DO NOTHING
"""
ENSURE = (
    "WITH made AS (" + INSERT + "RETURNING *) "
    f"SELECT {ROW} FROM made UNION ALL "
    f"SELECT {ROW} FROM processing_requests WHERE request_id = $1 AND deleted_at IS NULL"
)
"""One statement for both: the row as it is made or, when it was there, as it is."""

SELECT = f"SELECT {ROW} FROM processing_requests WHERE request_id = $1 AND deleted_at IS NULL"
SELECT_OR_DELETED = f"SELECT {ROW} FROM processing_requests WHERE request_id = $1"
LIST = f"""
SELECT {ROW} FROM processing_requests
WHERE deleted_at IS NULL AND coalesce(uploaded_by, '') = $1
    AND (created_at, request_id) < (coalesce($2, 'infinity'::timestamptz), coalesce($3, ''))
ORDER BY created_at DESC, request_id DESC LIMIT $4
"""
LIST_OF_STATUS = f"""
SELECT {ROW} FROM processing_requests
WHERE deleted_at IS NULL AND coalesce(uploaded_by, '') = $1 AND status = $5
    AND (created_at, request_id) < (coalesce($2, 'infinity'::timestamptz), coalesce($3, ''))
ORDER BY created_at DESC, request_id DESC LIMIT $4
"""
SELECT_PENDING = f"SELECT {ROW} FROM processing_requests WHERE status = 'pending' ORDER BY created_at"
UPDATE_REOPENED = f"""
UPDATE processing_requests
SET attempt = $2, status = 'pending', phase = 'Pending', message = '', error = NULL, images_succeeded = 0,
    images_failed = 0, images_skipped = 0, bytes_in = 0, bytes_out = 0, errors_by_code = '{{}}',
    reason = '', waiting_message = '', started_at = NULL, finished_at = NULL,
    suspended_at = NULL, suspended_seconds = 0, gained_images = 0, gained_seconds = 0, spec = spec || $3
WHERE request_id = $1 AND attempt < $2 AND status <> 'pending' AND deleted_at IS NULL AND {MAY_BE_REOPENED}
"""
UPDATE_SPEC = f"""
UPDATE processing_requests SET spec = spec || $2 WHERE request_id = $1 AND status = 'pending'
RETURNING {ROW}
"""
UPDATE_PROGRESS = f"""
UPDATE processing_requests
SET phase = $3, message = $4, images_succeeded = $5, images_failed = $6, bytes_in = $7, bytes_out = $8,
    reason = $9, waiting_message = $10, rows = $11, images = $12, input_sha256 = $13,
    suspended_at = $14, suspended_seconds = $15, errors_by_code = $16, gained_images = $18,
    gained_seconds = $19,
    started_at = coalesce(started_at, now())
WHERE request_id = $1 AND attempt = $2 AND status = 'pending' AND lease_holder IS NOT DISTINCT FROM $17
RETURNING {ROW}
"""
FINISH = f"""
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
        suspended_seconds = suspended_seconds + coalesce(extract(epoch FROM now() - suspended_at), 0),
        lease_holder = NULL, lease_until = NULL
    WHERE request_id = $1 AND attempt = $2 AND status = 'pending' AND lease_holder IS NOT DISTINCT FROM $23
    RETURNING *
), promised AS (
    INSERT INTO webhook_deliveries (webhook_id, request_id, attempt, url, secret, body)
    SELECT $18, request_id, attempt, webhook_url, webhook_secret, $19 FROM ended WHERE webhook_url <> ''
    ON CONFLICT (request_id, attempt) DO NOTHING
)
SELECT {ROW} FROM ended
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
"""
_REDELIVER = """
UPDATE webhook_deliveries
SET state = 'pending', due_at = now(), tries = 0, last_error = '', finished_at = NULL
WHERE webhook_id = (
    SELECT webhook_id FROM webhook_deliveries WHERE request_id = $1 ORDER BY attempt DESC LIMIT 1
)
"""
REDELIVER = f"{_REDELIVER} RETURNING {_DELIVERY}"
_FORGET = """
    DELETE FROM webhook_deliveries
    WHERE request_id IS NULL AND created_at < now() - make_interval(secs => $2)
"""
REDELIVER_ONCE = f"""
WITH forgotten AS ({_FORGET}), noted AS (
    INSERT INTO webhook_deliveries (webhook_id, attempt, url, body, state, finished_at)
    VALUES ($3, 0, '', '', 'delivered', now())
    ON CONFLICT (webhook_id) DO NOTHING RETURNING webhook_id
)
{_REDELIVER} AND EXISTS (SELECT FROM noted)
"""
"""Beside the delivery it notes, like a test that is over, that this was asked: the same is not done twice."""

INSERT_TEST = f"""
WITH forgotten AS ({_FORGET})
INSERT INTO webhook_deliveries (webhook_id, attempt, url, body, secret) VALUES ($1, 0, $3, $4, $5)
ON CONFLICT (webhook_id) DO NOTHING RETURNING true
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
CLAIM_DELETED = f"""
UPDATE processing_requests SET purge_at = now() + make_interval(secs => $1)
WHERE request_id = (
    SELECT request_id FROM processing_requests
    WHERE deleted_at IS NOT NULL AND purge_at <= now() AND store IN ('', $2)
    ORDER BY purge_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {ROW}
"""
EXTEND_CLAIM = """
UPDATE processing_requests SET purge_at = now() + make_interval(secs => $3)
WHERE request_id = $1 AND deleted_at IS NOT NULL AND purge_at = $2
RETURNING purge_at
"""
RELEASE_CLAIMS = """
UPDATE processing_requests SET purge_at = now()
WHERE deleted_at IS NOT NULL AND purge_at > now() AND store IN ('', $1)
"""
NEXT_DELETED = """
SELECT extract(epoch FROM min(purge_at) - now())::float8
FROM processing_requests WHERE deleted_at IS NOT NULL AND store IN ('', $1)
"""
DELETE_CLAIMED = """
DELETE FROM processing_requests WHERE request_id = $1 AND deleted_at IS NOT NULL AND purge_at = $2
"""
DELETE = "DELETE FROM processing_requests WHERE request_id = $1"

REOWN = f"""
UPDATE processing_requests SET owner = $3 WHERE request_id = $1 AND owner = $2 AND status = 'pending'
RETURNING {ROW}
"""
TAKE_LEASES = f"""
WITH taken AS (
    UPDATE processing_requests
    SET lease_holder = $1, lease_until = now() + make_interval(secs => $3), store = $2
    WHERE status = 'pending' AND owner = $5 AND store IN ('', $2)
        AND (lease_until IS NULL OR lease_until <= now() OR lease_holder = $1
             AND lease_until <= now() + make_interval(secs => $3 / 2))
    RETURNING {ROW}
), strange AS (
    UPDATE processing_requests SET reason = $6, waiting_message = $4
    WHERE status = 'pending' AND owner = $5 AND store NOT IN ('', $2) AND reason <> $6
        AND (lease_until IS NULL OR lease_until <= now())
)
SELECT * FROM taken UNION ALL
SELECT {ROW} FROM processing_requests
WHERE status = 'pending' AND owner = $5 AND store NOT IN ('', $2)
    AND (lease_until IS NULL OR lease_until <= now())
UNION ALL
SELECT {ROW} FROM processing_requests
WHERE status = 'pending' AND lease_holder = $1 AND request_id NOT IN (SELECT request_id FROM taken)
ORDER BY created_at
"""
"""All that $1 holds then, and what nobody drives on other stores. A lease is extended when half is over;
one that ended is anybody's.
"""

ADOPT = f"""
UPDATE processing_requests SET store = $3, reason = '', waiting_message = ''
WHERE request_id = $1 AND store = $2 AND status = 'pending'
RETURNING {ROW}
"""
RETURN_LEASES = (
    "UPDATE processing_requests SET lease_until = now() WHERE status = 'pending' AND lease_holder = $1"
)
