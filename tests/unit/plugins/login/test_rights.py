"""Every question that Airflow asks its auth manager has the same answer by FAB's roles as by the embedded Airflow's."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.common.types import MenuItem

from contrail_airflow.login.airflow_login import LoginManager
from contrail_airflow.login.rights import permissions_of, role_of
from contrail_airflow.roles import ADMIN, APPROVERS, ROLES, Role

KINDS = [kind for kind in ROLES if kind is not ADMIN]
Question = Callable[[Any, Any], bool]


def questions() -> Iterator[tuple[str, Question]]:
    for method in ("GET", "POST", "PUT", "DELETE"):
        for entity in (None, *DagAccessEntity):
            for details in (None, DagDetails(id="toy__train")):
                asked = {"method": method, "access_entity": entity, "details": details}
                yield f"dag {asked}", lambda manager, user, asked=asked: manager.is_authorized_dag(user=user, **asked)
        for kind in ("configuration", "connection", "pool", "variable", "asset", "asset_alias"):
            yield (
                f"{kind} {method}",
                lambda manager, user, kind=kind, method=method: getattr(manager, f"is_authorized_{kind}")(
                    method=method, user=user
                ),
            )
    for view in AccessView:
        yield f"view {view}", lambda manager, user, view=view: manager.is_authorized_view(access_view=view, user=user)


def fab_user(kind: Role) -> Any:
    return SimpleNamespace(perms=permissions_of(kind), roles=[SimpleNamespace(name=role_of(kind))])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_role_may_do_what_it_may_in_the_embedded_airflow(kind: Role) -> None:
    simple, fab = SimpleAuthManager(), LoginManager()
    user = SimpleAuthManagerUser(username=kind.name, role=kind.airflow)
    asked = dict(questions())
    assert len(asked) > 100
    assert {name: ask(fab, fab_user(kind)) for name, ask in asked.items()} == {
        name: ask(simple, user) for name, ask in asked.items()
    }


def test_approvers_are_those_with_the_role_whatever_their_names_are() -> None:
    may = {
        kind.name: LoginManager().is_authorized_hitl_task(assigned_users=set(APPROVERS), user=fab_user(kind))
        for kind in ROLES
    }
    assert {name for name, allowed in may.items() if allowed} == set(APPROVERS)


def test_menus_show_what_waits_for_an_answer_and_hide_what_a_role_may_not_open() -> None:
    secret = {MenuItem.CONNECTIONS, MenuItem.VARIABLES}
    for kind in KINDS:
        shown = set(LoginManager().filter_authorized_menu_items(list(MenuItem), user=fab_user(kind)))
        assert shown == set(MenuItem) - (set() if kind.airflow == "op" else secret), kind.name
