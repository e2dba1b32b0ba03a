"""Where pods are found in manifests."""

import pytest

from tests.serving import pod, review
from webhook.manifests import Place, edit_pods, name_of

TEMPLATE: dict[str, object] = {"metadata": {}, "spec": {"containers": []}}


def found(document):
    """The places of the pods in a document; each pod is marked."""
    places = []

    def mark(pod, place):
        places.append(place)
        return {**pod, "marked": True}

    return edit_pods(document, mark), places


def workload(kind, spec, **metadata):
    return {"kind": kind, "metadata": {"name": "iris", **metadata}, "spec": spec}


@pytest.mark.parametrize(
    "kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"]
)
def test_a_workload_keeps_its_pod_in_its_template(kind):
    edited, places = found(workload(kind, {"replicas": 1, "template": TEMPLATE}, namespace="models"))
    assert edited == workload(kind, {"replicas": 1, "template": {**TEMPLATE, "marked": True}}, namespace="models")
    assert places == [Place(f"{kind} iris", "models")]


def test_a_cron_job_keeps_it_deeper():
    edited, _ = found(workload("CronJob", {"jobTemplate": {"spec": {"template": TEMPLATE}}}))
    assert edited["spec"]["jobTemplate"]["spec"]["template"]["marked"]


def test_a_pod_template_keeps_it_at_the_top():
    assert found({"kind": "PodTemplate", "template": TEMPLATE})[0]["template"]["marked"]


def test_a_pod_is_one():
    edited, places = found(pod())
    assert edited["marked"]
    assert places == [Place("Pod iris", "models")]


def test_a_pod_that_will_be_named_is_named_by_how_it_begins():
    assert name_of({"kind": "Pod", "metadata": {"generateName": "iris-"}}) == "Pod iris-"


def test_a_list_is_followed_and_each_item_named():
    document = {"kind": "List", "items": [pod(), {"kind": "Service"}, {"kind": "List", "items": [pod()]}]}
    edited, places = found(document)
    assert edited["items"][0]["marked"]
    assert edited["items"][1] == {"kind": "Service"}
    assert edited["items"][2]["items"][0]["marked"]
    assert places == [Place("Pod iris", "models")] * 2


def test_items_of_a_typed_list_need_no_kind():
    bare = {key: value for key, value in pod().items() if key != "kind"}
    edited, places = found({"kind": "PodList", "items": [bare]})
    assert edited == {"kind": "PodList", "items": [{**bare, "marked": True}]}
    assert places == [Place("Pod iris", "models")]


def test_a_review_of_a_new_pod_holds_it():
    edited, places = found(review(pod()))
    assert edited["request"]["object"]["marked"]
    assert places == [Place("Pod iris", "models")]


@pytest.mark.parametrize(
    "request_fields",
    [{"operation": "UPDATE"}, {"subResource": "binding"}, {"kind": {"kind": "Deployment"}}, {"object": None}],
)
def test_a_review_of_anything_else_is_left_alone(request_fields):
    assert found(review(pod(), **request_fields)) == (review(pod(), **request_fields), [])


@pytest.mark.parametrize(
    "other",
    [
        None,
        3,
        "text",
        [pod()],
        {},
        {"kind": None},
        {"kind": ["Pod"]},
        {"kind": "Service", "spec": {"template": TEMPLATE}},
        {"kind": "Deployment"},
        {"kind": "Deployment", "spec": []},
        {"kind": "Deployment", "spec": {"template": None}},
        {"kind": "List", "items": {"a": 1}},
        {"kind": "AdmissionReview", "request": [1]},
        {"kind": "AdmissionReview", "request": {"kind": "Pod"}},
    ],
)
def test_what_is_not_known_comes_back_as_it_is(other):
    edited, places = found(other)
    assert edited is other
    assert places == []


def test_what_is_not_edited_is_the_very_same():
    for document in (pod(), {"kind": "List", "items": [pod()]}, {"kind": "PodList", "items": [{}]}, review(pod())):
        assert edit_pods(document, lambda pod, place: pod) is document
