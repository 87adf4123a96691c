"""What each kind of user may do, as roles of FAB: the same as by the Simple auth manager of the embedded Airflow.

FAB's own roles differ from it: its Viewer may not read the audit log, and its User does not see what waits for an answer.
"""

from collections.abc import Iterable

from airflow.providers.common.compat.security.permissions import RESOURCE_ASSET, RESOURCE_ASSET_ALIAS
from airflow.providers.fab.www.security import permissions as fab

from contrail_airflow.roles import ADMIN, ROLES, Role

Permission = tuple[str, str]

_WRITES = (fab.ACTION_CAN_CREATE, fab.ACTION_CAN_EDIT, fab.ACTION_CAN_DELETE)
_OF_DAGS = (
    fab.RESOURCE_DAG, fab.RESOURCE_AUDIT_LOG, fab.RESOURCE_DAG_CODE, fab.RESOURCE_DAG_DEPENDENCIES, fab.RESOURCE_DAG_RUN,
    fab.RESOURCE_DAG_VERSION, fab.RESOURCE_DAG_WARNING, fab.RESOURCE_HITL_DETAIL, fab.RESOURCE_TASK_INSTANCE,
    fab.RESOURCE_TASK_LOG, fab.RESOURCE_XCOM,
)  # fmt: skip
_READ_BY_ALL = (
    RESOURCE_ASSET, RESOURCE_ASSET_ALIAS, fab.RESOURCE_CLUSTER_ACTIVITY, fab.RESOURCE_CONFIG, fab.RESOURCE_IMPORT_ERROR,
    fab.RESOURCE_JOB, fab.RESOURCE_PLUGIN, fab.RESOURCE_POOL, fab.RESOURCE_PROVIDER, fab.RESOURCE_TRIGGER,
    fab.RESOURCE_WEBSITE,
)  # fmt: skip
_SECRET = (fab.RESOURCE_CONNECTION, fab.RESOURCE_VARIABLE)
_OF_ENGINEERS = (RESOURCE_ASSET, RESOURCE_ASSET_ALIAS, fab.RESOURCE_CONFIG, fab.RESOURCE_POOL, *_SECRET)
_OF_ONESELF = (fab.RESOURCE_MY_PASSWORD, fab.RESOURCE_MY_PROFILE)
_MENUS = (
    fab.RESOURCE_BROWSE_MENU, fab.RESOURCE_ADMIN_MENU, fab.RESOURCE_DOCS, fab.RESOURCE_DOCS_MENU, *_OF_DAGS, *_READ_BY_ALL
)  # fmt: skip


def role_of(kind: Role) -> str:
    """The name of FAB's role. FAB itself makes that of administrators, and keeps every permission in it."""
    return "Admin" if kind is ADMIN else kind.name


def permissions_of(kind: Role) -> set[Permission]:
    """Every permission of a kind of user but administrators."""
    granted = _granted((fab.ACTION_CAN_READ,), (*_OF_DAGS, *_READ_BY_ALL, *_OF_ONESELF))
    granted |= _granted((fab.ACTION_CAN_EDIT,), _OF_ONESELF) | _granted((fab.ACTION_CAN_ACCESS_MENU,), _MENUS)
    # The embedded Airflow's roles: each may do what the one before it may, and more.
    if kind.airflow in ("user", "op"):
        granted |= _granted(_WRITES, _OF_DAGS)
    if kind.airflow == "op":
        granted |= _granted(_WRITES, _OF_ENGINEERS)
        granted |= _granted((fab.ACTION_CAN_READ, fab.ACTION_CAN_ACCESS_MENU), _SECRET)
    return granted


def role_configs() -> list[dict[str, object]]:
    """The roles as FAB's ``bulk_sync_roles`` takes them."""
    return [{"role": role_of(kind), "perms": sorted(permissions_of(kind))} for kind in ROLES if kind is not ADMIN]


def _granted(actions: Iterable[str], resources: Iterable[str]) -> set[Permission]:
    return {(action, resource) for action in actions for resource in resources}
