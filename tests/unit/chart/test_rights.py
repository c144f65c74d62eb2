"""What the chart lets the operator, engines and people do in the API server."""

from __future__ import annotations

import pytest

from support.chart import Manifest, named, only

READ = {"get", "list", "watch"}


def rights(role: Manifest) -> dict[tuple[str, str], set[str]]:
    """Verbs by (apiGroup, resource)."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


@pytest.fixture
def cluster_role(render):
    return only(render("rbac.userRoles=false"), "ClusterRole")


def test_the_operator_may_create_secrets_and_nothing_else_with_them(render):
    for manifests in (render(), render("watchNamespaces={a,b}")):
        roles = [m for m in manifests if m["kind"] in {"Role", "ClusterRole"}]
        verbs = [verbs for role in roles for (_, resource), verbs in rights(role).items() if resource == "secrets"]
        assert verbs
        assert all(v == {"create"} for v in verbs)


def test_no_right_is_a_wildcard(render):
    for role in [m for m in render() if m["kind"] in {"Role", "ClusterRole"}]:
        for rule in role["rules"]:
            assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_the_operator_cannot_change_a_running_engine_or_delete_a_resource(cluster_role):
    granted = rights(cluster_role)
    assert granted["", "pods"] == READ | {"create", "delete"}
    assert granted["marketmaker.io", "marketmakers"] == READ | {"patch"}
    assert granted["marketmaker.io", "marketmakers/status"] == {"get", "patch"}


def test_the_operator_holds_every_right_that_it_grants_to_an_engine(render, cluster_role):
    served = rights(cluster_role)
    assert served["marketmaker.io", "marketmakers"] >= READ
    assert served["marketmaker.io", "tradinghalts"] >= READ
    claims = rights(only(render(), "Role", "market-maker-operator-claims"))
    assert {"get", "update", "patch"} <= claims["coordination.k8s.io", "leases"]
    assert {"get", "update", "patch"} <= claims["", "configmaps"]


def test_claims_live_in_the_releases_namespace_alone(render):
    manifests = render()
    assert only(manifests, "Role")["metadata"]["namespace"] == "mm-system"
    assert ("coordination.k8s.io", "leases") not in rights(only(manifests, "ClusterRole", "market-maker-operator"))


def test_namespaced_mode_has_a_role_per_namespace_and_nothing_of_the_cluster(render, cluster_role):
    manifests = render("watchNamespaces={a,b}", "rbac.userRoles=false")
    assert named(manifests, "ClusterRole") == []
    assert named(manifests, "ClusterRoleBinding") == []
    roles = {role["metadata"]["namespace"]: role for role in named(manifests, "Role", "market-maker-operator")}
    assert roles.keys() == {"a", "b"}
    for role in roles.values():
        assert rights(role) | {("", "nodes"): {"get"}} == rights(cluster_role)  # nodes are no namespace's
    bound = {binding["metadata"]["namespace"] for binding in named(manifests, "RoleBinding")}
    assert bound == {"a", "b", "mm-system"}


def test_every_binding_names_a_role_of_the_chart_and_the_operators_account(render):
    for manifests in (render(), render("watchNamespaces={a,b}")):
        present = {(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in manifests}
        bindings = named(manifests, "RoleBinding") + named(manifests, "ClusterRoleBinding")
        assert bindings
        for binding in bindings:
            role = binding["roleRef"]
            namespace = binding["metadata"].get("namespace") if role["kind"] == "Role" else None
            assert (role["kind"], namespace, role["name"]) in present
            assert binding["subjects"] == [
                {"kind": "ServiceAccount", "name": "market-maker-operator", "namespace": "mm-system"}
            ]


def test_who_may_halt_may_neither_edit_nor_close(render):
    granted = rights(only(render(), "ClusterRole", "market-maker-halter"))
    assert granted["marketmaker.io", "marketmakers"] == READ
    assert {"create", "delete"} <= granted["marketmaker.io", "tradinghalts"]


def test_rights_for_people_are_aggregated_to_the_built_in_roles(render):
    view = only(render(), "ClusterRole", "market-maker-view")
    edit = only(render(), "ClusterRole", "market-maker-edit")
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert "rbac.authorization.k8s.io/aggregate-to-view" not in edit["metadata"]["labels"]


def test_rights_can_be_left_to_others(render):
    manifests = render("rbac.create=false", "rbac.userRoles=false", "serviceAccount.create=false")
    assert not [m for m in manifests if m["apiVersion"].startswith("rbac.") or m["kind"] == "ServiceAccount"]
