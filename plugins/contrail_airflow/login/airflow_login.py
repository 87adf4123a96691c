"""Airflow's auth manager in Compose: users and hashed passwords in Airflow's own database, by Flask-AppBuilder (FAB)."""

from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.auth_manager.models import User


class LoginManager(FabAuthManager):
    """FAB's auth manager, whose approvers are those with a role, whatever their names are.

    A task that waits for an answer names ``roles.APPROVERS``. FAB would compare these names with the number of a user,
    so nobody could answer.
    """

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: User) -> bool:
        """Say whether a user has one of the roles that the task waits for."""
        return any(role.name.lower() in assigned_users for role in user.roles)
