"""Whose token a request was uploaded with."""

from alembic import op

revision = "0002"
down_revision = "0001"

UP = "ALTER TABLE processing_requests ADD COLUMN uploaded_by text"
COMMENT = (
    "COMMENT ON COLUMN processing_requests.uploaded_by IS "
    "'the name of the token it was uploaded with; null when there was none'"
)


def upgrade() -> None:
    for statement in (UP, COMMENT):
        op.execute(statement)
