"""Which requests are listed, which are deleted, and deliveries that test a receiver."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    "ALTER TABLE processing_requests ADD COLUMN deleted_at timestamptz",
    "ALTER TABLE processing_requests ADD COLUMN purge_at timestamptz",
    "COMMENT ON COLUMN processing_requests.deleted_at IS 'since when nobody sees it; its files go, then it'",
    "COMMENT ON COLUMN processing_requests.purge_at IS 'when a program may begin to remove its objects'",
    """
    CREATE INDEX processing_requests_listed ON processing_requests
        ((coalesce(uploaded_by, '')), created_at, request_id) WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX processing_requests_listed_by_status ON processing_requests
        ((coalesce(uploaded_by, '')), status, created_at, request_id) WHERE deleted_at IS NULL
    """,
    "CREATE INDEX processing_requests_deleted ON processing_requests (purge_at) WHERE deleted_at IS NOT NULL",
    "ALTER TABLE webhook_deliveries ALTER COLUMN request_id DROP NOT NULL",
    "COMMENT ON COLUMN webhook_deliveries.request_id IS 'null for a test, which is sent once'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
