"""What becomes of Deployments: the author's word, the annotations', the settings', in that order."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from webhook import annotations as keys
from webhook import rollout, strategy
from webhook.errors import Denied, Forbidden
from webhook.facts import NO_FACTS, Claim, Facts
from webhook.request import ModelRequest, read
from webhook.settings.model import Settings
from webhook.settings.parse import parse

ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
WRITES = {keys.URI: "pvc://models/iris", keys.READ_ONLY: "false"}
STRATEGY = ("spec", "strategy")
DEADLINE = ("spec", "progressDeadlineSeconds")
GRACE = ("spec", "template", "spec", "terminationGracePeriodSeconds")
LINKS = ("spec", "template", "spec", "enableServiceLinks")


def deployment(
    *, pod: Mapping[str, str] | None = None, own: Mapping[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """A Deployment as the API server sends it, defaults filled in."""
    template = {
        "metadata": {"annotations": {keys.URI: "s3://models/iris"} if pod is None else dict(pod)},
        "spec": {"containers": [{"name": "server"}], "terminationGracePeriodSeconds": 30, "securityContext": {}},
    }
    return {
        "metadata": {"name": "iris", "annotations": dict(own or {})},
        "spec": {
            "replicas": 1,
            "strategy": ROLLING,
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "template": template,
            **spec,
        },
    }


def settings(rollout: dict[str, Any] | None = None, **data: Any) -> Settings:
    return parse({"storageDefaults": {"rollout": rollout or {}, **data.pop("defaults", {})}, **data})[0]


def rolled(
    given: dict[str, Any], chosen: Settings | None = None, old: Any = None, facts: Facts = NO_FACTS
) -> rollout.Rollout:
    chosen = chosen or Settings()
    request = read(rollout.template_of(given), "models", chosen)
    assert isinstance(request, ModelRequest)
    before = copy.deepcopy(given)
    result = rollout.roll_out(given, old, request, chosen, facts)
    assert given == before, "the input is never modified"
    return result


def at(root: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        root = root.get(key)
    return root


KSERVE = {"deploymentRolloutStrategy": {"defaultRollout": {"maxSurge": "1", "maxUnavailable": "0"}}}
ONE_BY_ONE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
ALL = {"strategy": "Recreate", "progressDeadlineSeconds": 1800, "terminationGracePeriodSeconds": 90}


@pytest.mark.parametrize(
    ("given", "chosen", "path", "expected"),
    [
        (deployment(), settings(), STRATEGY, ROLLING),
        (deployment(), settings({"strategy": "Recreate"}), STRATEGY, {"type": "Recreate"}),
        (deployment(strategy=ONE_BY_ONE), settings({"strategy": "Recreate"}), STRATEGY, ONE_BY_ONE),
        (deployment(own={keys.ROLLOUT_STRATEGY: "Recreate"}), settings(), STRATEGY, {"type": "Recreate"}),
        (deployment(own={keys.ROLLOUT_STRATEGY: "RollingUpdate"}), settings(ALL), STRATEGY, {"type": "RollingUpdate"}),
        (
            deployment(own={keys.ROLLOUT_STRATEGY: '{"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}'}),
            settings(),
            STRATEGY,
            ONE_BY_ONE,
        ),
        (deployment(pod=WRITES), settings(), STRATEGY, {"type": "Recreate"}),
        (deployment(pod=WRITES, strategy=ONE_BY_ONE), settings(), STRATEGY, ONE_BY_ONE),
        (deployment(), settings(deploy={"defaultDeploymentMode": "Standard", **KSERVE}), STRATEGY, ONE_BY_ONE),
        (deployment(), settings(deploy={"defaultDeploymentMode": "RawDeployment", **KSERVE}), STRATEGY, ONE_BY_ONE),
        (deployment(), settings(deploy={"defaultDeploymentMode": "Knative", **KSERVE}), STRATEGY, ROLLING),
        (deployment(), settings({"progressDeadlineSeconds": 1800}), DEADLINE, 1800),
        (deployment(progressDeadlineSeconds=900), settings({"progressDeadlineSeconds": 1800}), DEADLINE, 900),
        (deployment(own={keys.PROGRESS_DEADLINE: "30m"}), settings({"progressDeadlineSeconds": 60}), DEADLINE, 1800),
        (deployment(own={keys.PROGRESS_DEADLINE: "1h30m5s"}), settings(), DEADLINE, 5405),
        (
            deployment(pod={keys.URI: "s3://models/iris", keys.PROGRESS_DEADLINE: "20m"}),
            settings(),
            DEADLINE,
            1200,
        ),
        (deployment(minReadySeconds=700), settings({"progressDeadlineSeconds": 650}), DEADLINE, 600),
        (deployment(), settings({"terminationGracePeriodSeconds": 90}), GRACE, 90),
        (deployment(), settings({"enableServiceLinks": False}), LINKS, False),
    ],
)
def test_fields(given: dict[str, Any], chosen: Settings, path: tuple[str, ...], expected: Any) -> None:
    assert at(rolled(given, chosen).deployment, path) == expected


def managed(fields: dict[str, Any], operation: str) -> list[dict[str, Any]]:
    return [{"manager": "gitops", "operation": operation, "fieldsV1": {"f:spec": fields}}]


OWNED = {
    "f:strategy": {"f:type": {}},
    "f:progressDeadlineSeconds": {},
    "f:template": {"f:spec": {"f:terminationGracePeriodSeconds": {}}},
}


def test_what_server_side_apply_owns_is_the_authors_even_when_it_is_the_default() -> None:
    given = deployment()
    given["metadata"]["managedFields"] = managed(OWNED, "Apply")
    assert rolled(given, settings(ALL)).deployment == given


def test_what_other_operations_own_may_be_a_default() -> None:
    given = deployment()
    given["metadata"]["managedFields"] = managed(OWNED, "Update")
    assert at(rolled(given, settings(ALL)).deployment, DEADLINE) == 1800


def test_a_second_pass_changes_nothing() -> None:
    once = rolled(deployment(), settings(ALL)).deployment
    assert rolled(once, settings(ALL), old=once).deployment == once


def test_replacing_by_the_same_manifest_gives_the_same_object() -> None:
    first = rolled(deployment(), settings(ALL)).deployment
    again = rolled(deployment(), settings(ALL), old=first).deployment
    assert again == first


CHANGED = settings({**ALL, "progressDeadlineSeconds": 3600, "terminationGracePeriodSeconds": 120})


def test_what_we_set_follows_the_settings() -> None:
    first = rolled(deployment(), settings(ALL)).deployment
    new_template = copy.deepcopy(first)
    new_template["spec"]["template"]["metadata"]["labels"] = {"version": "2"}
    second = rolled(new_template, CHANGED, old=first).deployment
    assert (at(second, DEADLINE), at(second, GRACE)) == (3600, 120)


def test_settings_that_change_restart_no_pods() -> None:
    first = rolled(deployment(), settings(ALL)).deployment
    second = rolled(first, CHANGED, old=first).deployment
    assert at(second, DEADLINE) == 3600
    assert second["spec"]["template"] == first["spec"]["template"]
    third = copy.deepcopy(second)
    third["spec"]["template"]["metadata"]["labels"] = {"version": "2"}
    assert at(rolled(third, CHANGED, old=second).deployment, GRACE) == 120


def test_what_the_author_changes_after_us_is_the_authors() -> None:
    first = rolled(deployment(), settings(ALL)).deployment
    edited = copy.deepcopy(first)
    edited["spec"]["progressDeadlineSeconds"] = 900
    assert at(rolled(edited, settings(ALL), old=first).deployment, DEADLINE) == 900


def test_an_update_of_something_else_restarts_no_pods() -> None:
    old = deployment()
    scaled = deployment(replicas=3)
    assert rolled(scaled, settings(ALL), old=old).deployment["spec"]["template"] == old["spec"]["template"]


def test_security_context_fills_what_the_author_left_out() -> None:
    given = deployment()
    given["spec"]["template"]["spec"]["securityContext"] = {"fsGroup": 7}
    chosen = settings({"podSecurityContext": {"fsGroup": 1, "runAsNonRoot": True}})
    pod = rolled(given, chosen).deployment["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"fsGroup": 7, "runAsNonRoot": True}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (deployment(pod=WRITES), "Recreate, so that old and new pods do not write"),
        (deployment(pod=WRITES, strategy=ONE_BY_ONE), "the strategy is not Recreate"),
        (deployment(pod=WRITES, replicas=3), "3 replicas mount claim"),
    ],
)
def test_writing_a_claim_warns(given: dict[str, Any], words: str) -> None:
    assert words in " ".join(rolled(given).warnings)


ON_ONE_NODE = Facts(claims={"models": Claim(("ReadWriteOnce",))})
ON_ALL_NODES = Facts(claims={"models": Claim(("ReadWriteOnce", "ReadOnlyMany"))})
MOUNTS = {keys.URI: "pvc://models/iris"}


@pytest.mark.parametrize(
    ("given", "facts", "words"),
    [
        (deployment(pod=MOUNTS, replicas=3), ON_ONE_NODE, "there are 3 replicas"),
        (deployment(pod=MOUNTS), ON_ONE_NODE, "an update starts new pods"),
        (deployment(pod=MOUNTS, strategy={"type": "Recreate"}), ON_ONE_NODE, None),
        (deployment(pod=MOUNTS, replicas=3), ON_ALL_NODES, None),
        (deployment(pod=MOUNTS, replicas=3), NO_FACTS, None),
    ],
)
def test_reading_a_claim_of_one_node_from_several_pods_warns(
    given: dict[str, Any], facts: Facts, words: str | None
) -> None:
    warnings = rolled(given, facts=facts).warnings
    assert (words in " ".join(warnings)) if words else not warnings


def test_several_writers_are_denied_where_the_settings_say_so() -> None:
    with pytest.raises(Forbidden, match=r"3 replicas .*spec\.replicas"):
        rolled(deployment(pod=WRITES, replicas=3), settings(defaults={"readWriteReplicas": "single"}))


@pytest.mark.parametrize(
    "annotations",
    [
        {keys.PROGRESS_DEADLINE: "soon"},
        {keys.PROGRESS_DEADLINE: ""},
        {keys.PROGRESS_DEADLINE: "0s"},
        {keys.PROGRESS_DEADLINE: "999999h"},
        {keys.ROLLOUT_STRATEGY: "BlueGreen"},
        {keys.ROLLOUT_STRATEGY: "{"},
        {keys.ROLLOUT_STRATEGY: '{"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}'},
        {keys.ROLLOUT_STRATEGY: '{"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}'},
        {keys.ROLLOUT_STRATEGY: '{"rollingUpdate": {"maxSurge": "many"}}'},
        {keys.ROLLOUT_STRATEGY: '{"rollingUpdate": {"surge": 1}}'},
    ],
)
def test_wrong_annotations_are_denied_by_name_and_value(annotations: dict[str, str]) -> None:
    (key,) = annotations
    with pytest.raises(Denied, match=key):
        rolled(deployment(own=annotations))


def test_a_deadline_within_min_ready_seconds_is_denied() -> None:
    with pytest.raises(Denied, match="minReadySeconds"):
        rolled(deployment(own={keys.PROGRESS_DEADLINE: "1m"}, minReadySeconds=60))


def test_recorded_garbage_is_ignored() -> None:
    given = deployment(own={keys.ROLLOUT_APPLIED: "{"})
    assert at(rolled(given, settings(ALL)).deployment, DEADLINE) == 1800


def test_knatives_deployments_are_recognised() -> None:
    given = deployment()
    given["metadata"]["ownerReferences"] = [{"apiVersion": "serving.knative.dev/v1", "kind": "Revision"}]
    assert rollout.is_knatives(given)
    assert not rollout.is_knatives(deployment())


@pytest.mark.parametrize("value", [1, 0, "25%", "3"])
def test_numbers_of_pods(value: Any) -> None:
    assert strategy.pods(value) in (1, 0, "25%", 3)


def test_observe_mode_names_the_fields_that_would_be_set():
    given = deployment(pod=WRITES)
    chosen = settings(defaults={"mode": "observe"})
    asked = rollout.ask_deployment(given, "models", chosen)
    outcome = rollout.settle_deployment(given, None, asked, chosen, NO_FACTS)
    assert (outcome.kind, outcome.reason, outcome.pod) == ("observed", "adjusted", None)
    said = "would be adjusted, but observe mode changes nothing: spec.strategy.rollingUpdate, spec.strategy.type"
    assert outcome.warnings[0] == said
