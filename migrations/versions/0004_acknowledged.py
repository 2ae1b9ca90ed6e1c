"""The week in which a drop was acknowledged."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("drops", sa.Column("acknowledged", sa.String(8), nullable=True))


def downgrade() -> None:
    op.drop_column("drops", "acknowledged")
