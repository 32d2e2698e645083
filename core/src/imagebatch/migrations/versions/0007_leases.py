"""Which store a request's objects are on, and which engine drives it."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE processing_requests ADD COLUMN store text NOT NULL DEFAULT ''",
    "ALTER TABLE processing_requests ADD COLUMN lease_holder text",
    "ALTER TABLE processing_requests ADD COLUMN lease_until timestamptz",
    "COMMENT ON COLUMN processing_requests.store IS 'the id of the store with its objects; empty if unknown'",
    "COMMENT ON COLUMN processing_requests.lease_holder IS 'the engine that drives it; null on Kubernetes'",
    "COMMENT ON COLUMN processing_requests.lease_until IS 'from when another engine may drive it'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
