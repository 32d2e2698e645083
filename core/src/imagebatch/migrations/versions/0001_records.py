"""Processing requests and webhook deliveries."""

from alembic import op

revision = "0001"
down_revision = None

UP = """
CREATE TABLE processing_requests (
    request_id        text PRIMARY KEY,
    owner             text NOT NULL,
    attempt           integer NOT NULL DEFAULT 1,
    status            text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'complete', 'failed')),
    phase             text NOT NULL DEFAULT 'Pending',
    message           text NOT NULL DEFAULT '',
    error             text,
    spec              jsonb NOT NULL DEFAULT '{}',
    input_sha256      text NOT NULL DEFAULT '',
    rows              integer NOT NULL DEFAULT 0,
    images            bigint NOT NULL DEFAULT 0,
    images_succeeded  bigint NOT NULL DEFAULT 0,
    images_failed     bigint NOT NULL DEFAULT 0,
    bytes_in          bigint NOT NULL DEFAULT 0,
    bytes_out         bigint NOT NULL DEFAULT 0,
    errors_by_code    jsonb NOT NULL DEFAULT '{}',
    output_key        text,
    errors_key        text,
    webhook_url       text,
    webhook_secret    text NOT NULL DEFAULT '',
    created_at        timestamptz NOT NULL DEFAULT now(),
    started_at        timestamptz,
    finished_at       timestamptz,
    CHECK ((status = 'pending') = (finished_at IS NULL))
)
"""
COMMENTS = (
    "COMMENT ON COLUMN processing_requests.owner IS 'who holds this id: an object uid, or api'",
    "COMMENT ON COLUMN processing_requests.webhook_secret IS 'where the secret is, never the secret'",
)
PENDING = (
    "CREATE INDEX processing_requests_pending ON processing_requests (created_at) WHERE status = 'pending'"
)
DELIVERIES = """
CREATE TABLE webhook_deliveries (
    webhook_id     text PRIMARY KEY,
    request_id     text NOT NULL REFERENCES processing_requests (request_id) ON DELETE CASCADE,
    attempt        integer NOT NULL,
    url            text NOT NULL,
    secret         text NOT NULL DEFAULT '',
    body           text NOT NULL,
    state          text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    tries          integer NOT NULL DEFAULT 0,
    due_at         timestamptz NOT NULL DEFAULT now(),
    last_error     text NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    UNIQUE (request_id, attempt)
)
"""
DUE = "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE state = 'pending'"


def upgrade() -> None:
    for statement in (UP, *COMMENTS, PENDING, DELIVERIES, DUE):
        op.execute(statement)
