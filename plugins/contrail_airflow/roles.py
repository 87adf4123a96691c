"""Kinds of users, what each may do, and the role of Airflow's Simple auth manager that grants it.

The embedded Airflow has a user of each kind. ``login`` gives the users of a shared Airflow the same roles.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """A kind of user. ``airflow`` is the Simple auth manager's role: viewer < user < op < admin."""

    name: str
    airflow: str
    may: str


ADMIN = Role("admin", "admin", "do everything")
ROLES = (
    ADMIN,
    Role("engineer", "op", "what a scientist may, and change connections, variables and pools"),
    Role("scientist", "user", "read, trigger DAGs and backfills, clear tasks; not change connections, not approve"),
    Role("approver", "user", "what a scientist may, and approve or refuse a promotion or a rollback"),
    Role("analyst", "viewer", "read"),
)
# Airflow lets only users with these names answer a promotion or a rollback that waits for a person.
APPROVERS = ("approver", ADMIN.name)
# The account of Compose's `airflow-settings`, an engineer. It loads airflow_settings.yaml at each start.
SETTINGS_USER = "settings"
