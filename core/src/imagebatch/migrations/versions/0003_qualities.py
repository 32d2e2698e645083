"""What is known of the qualities of a batch's images, and where its report is."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    "ALTER TABLE processing_requests ADD COLUMN qualities jsonb NOT NULL DEFAULT '{}'",
    "ALTER TABLE processing_requests ADD COLUMN report_key text",
    "COMMENT ON COLUMN processing_requests.qualities IS 'numbers and sums over the stored images'",
    "COMMENT ON COLUMN processing_requests.report_key IS 'the report of each image on S3, once there is one'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
