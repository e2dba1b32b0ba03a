"""Deployments: values of the author override annotations, and annotations override settings."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given as given_each
from hypothesis import strategies as st

from webhook import annotations as keys
from webhook import strategy
from webhook.admission import deployments, rollout
from webhook.cluster.facts import NO_FACTS, Claim, Facts
from webhook.errors import Denied, Forbidden
from webhook.request.model_request import ModelRequest
from webhook.request.reader import read
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
    """A Deployment as the API server sends it, with defaults."""
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


def test_fields_owned_by_server_side_apply_are_never_changed() -> None:
    given = deployment()
    given["metadata"]["managedFields"] = managed(OWNED, "Apply")
    assert rolled(given, settings(ALL)).deployment == given


def test_defaults_owned_by_other_operations_are_changed() -> None:
    given = deployment()
    given["metadata"]["managedFields"] = managed(OWNED, "Update")
    assert at(rolled(given, settings(ALL)).deployment, DEADLINE) == 1800


def applied_by_client(manifest: Any, **spec: Any) -> dict[str, Any]:
    """A Deployment with this record of a client-side `kubectl apply`; objects are written as JSON."""
    text = manifest if isinstance(manifest, str) else json.dumps({"spec": manifest})
    return deployment(own={"kubectl.kubernetes.io/last-applied-configuration": text}, **spec)


WRITTEN = {
    "strategy": ROLLING,
    "progressDeadlineSeconds": 600,
    "template": {"spec": {"terminationGracePeriodSeconds": 30}},
}
FIELDS = {"strategy": STRATEGY, "progressDeadlineSeconds": DEADLINE, "terminationGracePeriodSeconds": GRACE}


def test_fields_in_the_record_of_client_side_apply_are_never_changed() -> None:
    given = applied_by_client(WRITTEN)
    assert rolled(given, settings(ALL)).deployment == given


def test_a_strategy_in_the_record_of_client_side_apply_wins_over_a_writable_claim() -> None:
    given = deployment(pod=WRITES, own=applied_by_client(WRITTEN)["metadata"]["annotations"])
    result = rolled(given, settings(ALL))
    assert result.deployment == given
    assert "the strategy is not Recreate" in " ".join(result.warnings)


@pytest.mark.parametrize(
    ("manifest", "kept"),
    [
        ({"strategy": {"type": "RollingUpdate"}}, {"strategy"}),
        ({"strategy": {"rollingUpdate": {"maxSurge": "25%"}}}, {"strategy"}),
        ({"progressDeadlineSeconds": 600}, {"progressDeadlineSeconds"}),
        ({"template": {"spec": {"terminationGracePeriodSeconds": 30}}}, {"terminationGracePeriodSeconds"}),
        # Not what the author wrote last, or nothing.
        ({"progressDeadlineSeconds": 900}, set()),
        ({"strategy": {"type": "Recreate"}}, set()),
        ({"strategy": {}, "progressDeadlineSeconds": None, "template": {"spec": {}}}, set()),
        ({"strategy": None, "template": None}, set()),
        # Client-side apply did not write these.
        ("", set()),
        ("{", set()),
        ("[]", set()),
        ("null", set()),
        ('{"spec": []}', set()),
        ('{"spec": {"template": [1], "strategy": [1]}}', set()),
        ('{"progressDeadlineSeconds": 600}', set()),
        ('{"spec": ' * 50_000 + "1" + "}" * 50_000, set()),
        ("[" * 100_000, set()),
        ('{"spec": {"progressDeadlineSeconds": 600, "x": "' + "x" * 300_000 + '"}}', set()),
    ],
)
def test_only_values_in_the_record_of_client_side_apply_are_kept(manifest: Any, kept: set[str]) -> None:
    given = applied_by_client(manifest)
    result = rolled(given, settings(ALL)).deployment
    assert {name for name, path in FIELDS.items() if at(result, path) == at(given, path)} == kept


def test_a_record_of_client_side_apply_on_the_template_says_nothing_about_the_deployment() -> None:
    record = applied_by_client(WRITTEN)["metadata"]["annotations"]
    given = deployment(pod={keys.URI: "s3://models/iris", **record})
    assert at(rolled(given, settings(ALL)).deployment, DEADLINE) == 1800


def test_a_client_that_applies_again_and_again_ends_with_its_own_values() -> None:
    webhooks_own = rolled(deployment(), settings(ALL)).deployment
    again = applied_by_client(WRITTEN)
    again["metadata"]["annotations"] |= webhooks_own["metadata"]["annotations"]
    once = rolled(again, settings(ALL), old=webhooks_own).deployment
    assert once["spec"] == again["spec"]
    assert rolled(once, settings(ALL), old=once).deployment == once


@given_each(st.sets(st.sampled_from(sorted(FIELDS))), st.sampled_from([600, 900, 1800]), st.booleans())
def test_what_the_author_wrote_is_kept_and_nothing_else(written: set[str], deadline: int, is_update: bool) -> None:
    spec = {"strategy": ROLLING, "progressDeadlineSeconds": deadline}
    manifest = {name: spec[name] for name in written & spec.keys()}
    if "terminationGracePeriodSeconds" in written:
        manifest["template"] = {"spec": {"terminationGracePeriodSeconds": 30}}
    deployed = applied_by_client(
        manifest, progressDeadlineSeconds=deadline if "progressDeadlineSeconds" in written else 600
    )
    old = rolled(deployment(), settings(ALL)).deployment if is_update else None
    result = rolled(deployed, settings(ALL), old=old).deployment
    assert {name for name, path in FIELDS.items() if at(result, path) == at(deployed, path)} == written


def test_a_second_call_changes_nothing() -> None:
    once = rolled(deployment(), settings(ALL)).deployment
    assert rolled(once, settings(ALL), old=once).deployment == once


def test_an_update_with_the_original_manifest_gives_the_same_object() -> None:
    first = rolled(deployment(), settings(ALL)).deployment
    again = rolled(deployment(), settings(ALL), old=first).deployment
    assert again == first


CHANGED = settings({**ALL, "progressDeadlineSeconds": 3600, "terminationGracePeriodSeconds": 120})


def test_fields_set_by_the_webhook_follow_the_settings() -> None:
    first = rolled(deployment(), settings(ALL)).deployment
    new_template = copy.deepcopy(first)
    new_template["spec"]["template"]["metadata"]["labels"] = {"version": "2"}
    second = rolled(new_template, CHANGED, old=first).deployment
    assert (at(second, DEADLINE), at(second, GRACE)) == (3600, 120)


def test_changed_settings_do_not_restart_pods() -> None:
    first = rolled(deployment(), settings(ALL)).deployment
    second = rolled(first, CHANGED, old=first).deployment
    assert at(second, DEADLINE) == 3600
    assert second["spec"]["template"] == first["spec"]["template"]
    third = copy.deepcopy(second)
    third["spec"]["template"]["metadata"]["labels"] = {"version": "2"}
    assert at(rolled(third, CHANGED, old=second).deployment, GRACE) == 120


def test_a_later_value_of_the_author_is_kept() -> None:
    first = rolled(deployment(), settings(ALL)).deployment
    edited = copy.deepcopy(first)
    edited["spec"]["progressDeadlineSeconds"] = 900
    assert at(rolled(edited, settings(ALL), old=first).deployment, DEADLINE) == 900


def test_an_update_outside_the_template_does_not_restart_pods() -> None:
    old = deployment()
    scaled = deployment(replicas=3)
    assert rolled(scaled, settings(ALL), old=old).deployment["spec"]["template"] == old["spec"]["template"]


def test_the_pod_security_context_is_merged_under_the_authors() -> None:
    given = deployment()
    given["spec"]["template"]["spec"]["securityContext"] = {"fsGroup": 7}
    chosen = settings({"podSecurityContext": {"fsGroup": 1, "runAsNonRoot": True}})
    pod = rolled(given, chosen).deployment["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"fsGroup": 7, "runAsNonRoot": True}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (deployment(pod=WRITES), "Recreate, so that old and new pods do not write to the claim"),
        (deployment(pod=WRITES, strategy=ONE_BY_ONE), "the strategy is not Recreate"),
        (deployment(pod=WRITES, replicas=3), "3 replicas mount claim"),
    ],
)
def test_a_writable_claim_warns(given: dict[str, Any], words: str) -> None:
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
def test_concurrent_pods_with_a_single_node_claim_warn(given: dict[str, Any], facts: Facts, words: str | None) -> None:
    warnings = rolled(given, facts=facts).warnings
    assert (words in " ".join(warnings)) if words else not warnings


def test_several_writers_are_forbidden_by_the_settings() -> None:
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
def test_invalid_annotations_are_denied_by_name(annotations: dict[str, str]) -> None:
    (key,) = annotations
    with pytest.raises(Denied, match=key):
        rolled(deployment(own=annotations))


def test_a_deadline_within_min_ready_seconds_is_denied() -> None:
    with pytest.raises(Denied, match="minReadySeconds"):
        rolled(deployment(own={keys.PROGRESS_DEADLINE: "1m"}, minReadySeconds=60))


def test_an_invalid_record_is_ignored() -> None:
    given = deployment(own={keys.ROLLOUT_APPLIED: "{"})
    assert at(rolled(given, settings(ALL)).deployment, DEADLINE) == 1800


def test_deployments_of_knative_are_recognized() -> None:
    given = deployment()
    given["metadata"]["ownerReferences"] = [{"apiVersion": "serving.knative.dev/v1", "kind": "Revision"}]
    assert deployments.is_owned_by_knative(given)
    assert not deployments.is_owned_by_knative(deployment())


@pytest.mark.parametrize("value", [1, 0, "25%", "3"])
def test_valid_amounts_of_pods(value: Any) -> None:
    assert strategy.pods(value) in (1, 0, "25%", 3)


def test_observe_mode_names_the_fields_that_would_be_set():
    given = deployment(pod=WRITES)
    chosen = settings(defaults={"mode": "observe"})
    request = deployments.read(given, "models", chosen)
    outcome = deployments.apply(given, None, request, chosen, NO_FACTS)
    assert (outcome.kind, outcome.reason, outcome.mutated) == ("observed", "adjusted", None)
    warning = "would be adjusted, but observe mode changes nothing: spec.strategy.rollingUpdate, spec.strategy.type"
    assert outcome.warnings[0] == warning


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"annotations": {keys.URI: "pvc://Models/x"}}, "pods-denied"),
        ({"annotations": {}}, "no-uri"),
        ({"labels": {keys.INJECT: "disabled"}}, "disabled"),
    ],
)
def test_deployments_are_skipped_for_a_reason(changes: dict[str, Any], reason: str | None) -> None:
    template = {
        "metadata": {"annotations": {keys.URI: "pvc://models/x"}, **changes},
        "spec": {"containers": [{"name": "s"}]},
    }
    found = deployments.read({"spec": {"template": template}}, "models", Settings())
    assert getattr(found, "reason", None) == reason
    assert isinstance(found, ModelRequest) == (reason is None)
    assert ("will be denied" in "".join(found.warnings)) == (reason == "pods-denied")


def test_a_disabled_deployment_is_skipped_whatever_its_pods_request() -> None:
    template = {"metadata": {"annotations": {keys.URI: "pvc://models/x"}}, "spec": {"containers": [{"name": "s"}]}}
    given = {"metadata": {"labels": {keys.INJECT: "disabled"}}, "spec": {"template": template}}
    assert getattr(deployments.read(given, "models", Settings()), "reason", None) == "disabled"
