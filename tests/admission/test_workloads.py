"""Workloads: what `kubectl apply` shows about the pods of a Deployment, StatefulSet, Job or CronJob."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.mutation import KSERVE, SOURCE_URI, JsonObject, a_pod, plain_pod
from tools.reference import reference
from webhook import annotations as keys
from webhook.admission import pods, review, workloads
from webhook.admission.outcome import Outcome
from webhook.admission.workloads import TEMPLATES, Path, misplaced
from webhook.cluster.facts import NO_FACTS
from webhook.settings.model import Settings
from webhook.settings.parse import parse

BAD = plain_pod("pvc://Models/iris")
TYPO = plain_pod("pvc://models/iris", annotations={"storage.kserve.io/readnoly": "false"})
WRONG_PLACE = {keys.URI: "s3://models/iris"}
DEPLOYMENT = ("apps", "Deployment")
CRON_JOB = ("batch", "CronJob")


def workload(
    pod: JsonObject, kind: tuple[str, str] = DEPLOYMENT, path: Path | None = None, **metadata: Any
) -> JsonObject:
    """A workload of this kind with the pod as its template."""
    template = copy.deepcopy({"metadata": pod["metadata"], "spec": pod["spec"]})
    *parents, last = map(str, TEMPLATES[kind] if path is None else path)
    made: JsonObject = {"kind": kind[1], "metadata": {"name": "iris", **metadata}}
    inner = made
    for key in parents:
        inner = inner.setdefault(key, {})
    inner[last] = template
    return made


def advice(
    found: Any,
    kind: tuple[str, str] = DEPLOYMENT,
    old: Any = None,
    settings: Any = None,
    outcome_of_pods: Outcome | None = None,
) -> Outcome:
    """The outcome for a workload; `outcome_of_pods`: instead of that of the core."""
    before, path = copy.deepcopy(found), TEMPLATES[kind]
    template = workloads.template_of(found, old, path)
    if isinstance(template, Outcome):
        return template
    parsed = parse(settings or {})[0]
    outcome = workloads.advise(found, path, outcome_of_pods or _decide(template, parsed.enforced), parsed)
    assert outcome.allowed
    assert outcome.mutated is None
    assert found == before
    return outcome


def _decide(template: JsonObject, settings: Settings) -> Outcome:
    request = pods.read(template, "models", settings)
    return request if isinstance(request, Outcome) else pods.apply(template, request, settings, NO_FACTS)


def warnings(outcome: Outcome) -> list[str]:
    """The warnings as the API server gets them."""
    request = {"uid": "1", "operation": "CREATE", "object": {}}
    parsed = review.from_object({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    found: list[str] = json.loads(review.respond(parsed, outcome))["response"].get("warnings", [])
    return found


# --- What is said -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TEMPLATES, ids=lambda kind: kind[1])
def test_a_denial_of_the_pods_is_a_warning(kind):
    outcome = advice(workload(BAD, kind), kind)
    (warning,) = warnings(outcome)
    assert warning.startswith('the pods will be denied: annotation storage.kserve.io/uri "pvc://Models/iris"')
    assert (outcome.kind, outcome.reason) == ("skipped", "pods-denied")


@pytest.mark.parametrize("kind", TEMPLATES, ids=lambda kind: kind[1])
def test_a_warning_of_the_pods_is_a_warning(kind):
    (warning,) = warnings(advice(workload(TYPO, kind), kind))
    assert "storage.kserve.io/readnoly" in warning
    assert "storage.kserve.io/readonly" in warning


@pytest.mark.parametrize("kind", TEMPLATES, ids=lambda kind: kind[1])
@pytest.mark.parametrize("pod", [a_pod(), plain_pod("pvc://models/iris")], ids=["no model", "model"])
def test_what_is_right_is_not_mentioned(kind, pod):
    assert warnings(advice(workload(pod, kind), kind)) == []


def test_the_pods_of_kserve_are_checked_too():
    (warning,) = warnings(advice(workload(a_pod(labels=KSERVE, annotations={SOURCE_URI: "s3://models/iris"}))))
    assert "kserve-container" in warning


def test_the_most_important_comes_first():
    found = workload(BAD, annotations={keys.READ_ONLY: "false"})
    assert [text.split()[0] for text in warnings(advice(found))] == ["the", "annotation"]
    first, second = warnings(advice(workload(TYPO, annotations={keys.CACHE: "pvc://cache"})))
    assert keys.CACHE in first
    assert "readnoly" in second


def test_a_failed_lookup_is_not_mentioned():
    failed = Outcome("failed", message="the API server did not respond", code=503)
    outcome = advice(workload(plain_pod("s3://b/m"), annotations={keys.READ_ONLY: "false"}), outcome_of_pods=failed)
    assert outcome.reason == "lookup-failed"
    assert [keys.READ_ONLY in text for text in warnings(outcome)] == [True]


def test_observe_mode_says_what_enforce_mode_would_do():
    observing = {"storageDefaults": {"mode": "observe"}}
    (warning,) = warnings(advice(workload(BAD), settings=observing))
    assert warning.startswith("the pods would be denied: ")
    assert warnings(advice(workload(plain_pod("s3://b/m")), settings=observing)) == []
    assert len(warnings(advice(workload(TYPO), settings=observing))) == 1


# --- Nothing to say -----------------------------------------------------------------------------------------------


def _owned(**fields: Any) -> list[JsonObject]:
    return [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "iris", **fields}]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (workload(BAD, ownerReferences=_owned(controller=True)), "owned"),
        (workload(BAD, deletionTimestamp="2026-01-01T00:00:00Z"), "being-deleted"),
        (workload({**BAD, "metadata": {**BAD["metadata"], "labels": {keys.INJECT: "disabled"}}}), "disabled"),
        ({"kind": "Deployment", "metadata": {}}, "not-a-workload"),
        ({"kind": "Deployment", "metadata": {}, "spec": {"template": None}}, "not-a-workload"),
        (None, "not-a-workload"),
        ([], "not-a-workload"),
    ],
    ids=["owned", "being deleted", "disabled", "no spec", "no template", "no object", "list"],
)
def test_nobody_would_read_it(found, reason):
    outcome = advice(found)
    assert (outcome.kind, outcome.reason, outcome.warnings) == ("skipped", reason, ())


def test_an_owner_that_does_not_create_the_workload_is_no_controller():
    assert warnings(advice(workload(BAD, ownerReferences=_owned())))


STORED = workload(BAD, CRON_JOB, annotations={**WRONG_PLACE, "a": "1"}, labels={"team": "a"})


def _changed(path: Path, value: Any) -> JsonObject:
    """The stored CronJob with one value changed."""
    changed = copy.deepcopy(STORED)
    inner = changed
    *parents, last = map(str, path)
    for key in parents:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return changed


TEMPLATE = TEMPLATES[CRON_JOB]


@pytest.mark.parametrize(
    "path",
    [
        ("status", "lastScheduleTime"),
        ("spec", "suspend"),
        ("spec", "schedule"),
        ("metadata", "resourceVersion"),
        ("metadata", "annotations", "a"),
        ("metadata", "annotations", keys.ROLLOUT_APPLIED),
        ("metadata", "labels", "team"),
        ("metadata", "managedFields"),
    ],
    ids=".".join,
)
def test_an_update_of_something_else_is_silent(path):
    outcome = advice(_changed(path, "changed"), CRON_JOB, old=STORED)
    assert (outcome.reason, outcome.warnings) == ("same-template", ())


@pytest.mark.parametrize(
    "path",
    [
        (*TEMPLATE, "metadata", "annotations", "restarted"),
        (*TEMPLATE, "spec", "nodeName"),
        ("metadata", "annotations", keys.URI),
        ("metadata", "annotations", keys.CACHE),
        ("metadata", "labels", keys.INJECT),
        ("spec", "jobTemplate", "metadata", "annotations", keys.URI),
    ],
    ids=".".join,
)
def test_an_update_of_what_the_pods_request_is_told(path):
    assert warnings(advice(_changed(path, "changed"), CRON_JOB, old=STORED))


# --- The wrong place ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "target"), [(kind, ".".join(path)) for kind, path in TEMPLATES.items()], ids=lambda value: value[1]
)
def test_an_annotation_on_the_workload_itself(kind, target):
    (warning,) = warnings(advice(workload(a_pod(), kind, annotations=WRONG_PLACE), kind))
    assert warning == (
        f"annotation storage.kserve.io/uri has no effect on the {kind[1]}: set it in {target}.metadata.annotations"
    )


def test_an_annotation_on_the_job_template_of_a_cron_job():
    found = workload(a_pod(), CRON_JOB)
    found["spec"]["jobTemplate"]["metadata"] = {"annotations": WRONG_PLACE}
    (warning,) = misplaced(found, TEMPLATE)
    assert "has no effect in spec.jobTemplate.metadata: set it in spec.jobTemplate.spec.template.metadata" in warning


FOR_DEPLOYMENTS = {keys.ROLLOUT_STRATEGY, keys.PROGRESS_DEADLINE, keys.ROLLOUT_APPLIED}


@pytest.mark.parametrize("key", sorted(keys.KNOWN))
def test_every_annotation_of_pods_has_a_place(key):
    sentences = misplaced(workload(a_pod(), annotations={key: "x"}), TEMPLATES[DEPLOYMENT])
    assert [key in sentence for sentence in sentences] == [True] * (key not in FOR_DEPLOYMENTS)


def test_the_model_comes_first():
    sentences = misplaced(workload(a_pod(), annotations={keys.READ_ONLY: "x", keys.URI: "x"}), TEMPLATES[DEPLOYMENT])
    assert [keys.URI in sentence for sentence in sentences] == [True, False]


def test_an_unknown_annotation_on_the_workload_is_called_unknown():
    (sentence,) = misplaced(workload(a_pod(), annotations={"storage.kserve.io/ur": "x"}), TEMPLATES[DEPLOYMENT])
    assert "unknown" in sentence
    assert "storage.kserve.io/uri" in sentence


@pytest.mark.parametrize(
    ("annotations", "labels"),
    [
        (WRONG_PLACE, {}),
        ({"example.com/uri": "s3://b/m", SOURCE_URI: "s3://b/m"}, {}),
        ({}, {keys.INFERENCE_SERVICE: "iris", "team": "a"}),
        ({"annotations": 7}, {7: 7}),
    ],
    ids=["the template has it", "not ours", "label of another", "malformed"],
)
def test_what_is_in_the_right_place_is_not_mentioned(annotations, labels):
    found = workload(plain_pod(WRONG_PLACE[keys.URI]), annotations=annotations, labels=labels)
    assert misplaced(found, TEMPLATES[DEPLOYMENT]) == ()


def test_another_value_than_in_the_template_is_mentioned():
    found = workload(plain_pod("s3://models/old"), annotations=WRONG_PLACE)
    assert [keys.URI in sentence for sentence in misplaced(found, TEMPLATES[DEPLOYMENT])] == [True]


def test_the_label_that_turns_injection_off():
    labels = {keys.INJECT: "disabled"}
    (sentence,) = misplaced(workload(plain_pod("s3://b/m"), labels=labels), TEMPLATES[DEPLOYMENT])
    assert "does not turn off injection for its pods: set it in spec.template.metadata.labels" in sentence
    assert misplaced(workload(a_pod(), labels=labels), TEMPLATES[DEPLOYMENT]) == ()


def test_the_label_of_kserve():
    (sentence,) = misplaced(workload(a_pod(annotations={SOURCE_URI: "s3://b/m"}), labels=KSERVE), ("spec", "template"))
    assert sentence == (
        "label serving.kserve.io/inferenceservice has no effect on the Deployment: "
        "set it in spec.template.metadata.labels"
    )


@given(strategies.json_values, st.sampled_from(list(TEMPLATES)), st.data())
def test_malformed_objects_do_no_harm(value, kind, data):
    found = workload(BAD, kind, annotations=WRONG_PLACE, labels={keys.INJECT: "x"})
    spoiled = data.draw(strategies.spoiled(found) | st.just(value))
    assert isinstance(misplaced(spoiled, TEMPLATES[kind]), tuple)


# --- What the API server keeps ------------------------------------------------------------------------------------


def _denials() -> list[str]:
    rows = reference().partition("## Denials")[2].splitlines()
    return [row.split("|")[1].strip() for row in rows if row.startswith("| ") and row.endswith(("| 422 |", "| 403 |"))]


@pytest.mark.parametrize("message", _denials())
def test_every_denial_fits_with_its_way_out(message):
    """The API server cuts a warning at 256 characters. Values are long, and names of annotations are not values."""
    values = '"' + "v" * 118 + '"'
    (warning,) = warnings(
        advice(workload(BAD), outcome_of_pods=Outcome("denied", message=message.replace("…", values)))
    )
    assert len(warning) <= 256
    assert re.sub('"v+…?"', "…", warning) == f"the pods will be denied: {message}"


def test_without_quoted_values_a_long_warning_is_cut():
    (warning,) = warnings(advice(workload(BAD), outcome_of_pods=Outcome("denied", message="word " * 100)))
    assert (len(warning), warning[-1]) == (256, "…")


@given(strategies.pods(), strategies.settings, st.sampled_from(list(TEMPLATES)))
def test_all_warnings_fit(pod, settings, kind):
    unknown = {f"storage.kserve.io/{'y' * 200}{number}": "" for number in range(9)}
    annotations = dict.fromkeys(keys.KNOWN, "x") | unknown
    found = warnings(advice(workload(pod, kind, annotations=annotations), kind, settings=settings))
    assert max(map(len, found)) <= 256
    assert sum(map(len, found)) <= 4096
