"""Finding pods in manifests."""

import pytest

from tests.serving import pod, review
from webhook.offline.manifests import edit_pods, name_of

TEMPLATE: dict[str, object] = {"metadata": {}, "spec": {"containers": []}}


def edit_and_collect(document):
    """Edit each pod of a document. Returns the edited document and the owners of the pods."""
    owners = []

    def mark(pod, owner):
        owners.append((owner.name, owner.namespace))
        return {**pod, "marked": True}

    return edit_pods(document, mark), owners


def workload(kind, spec, **metadata):
    return {"kind": kind, "metadata": {"name": "iris", **metadata}, "spec": spec}


@pytest.mark.parametrize(
    "kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"]
)
def test_a_workload_has_a_pod_template(kind):
    edited, owners = edit_and_collect(workload(kind, {"replicas": 1, "template": TEMPLATE}, namespace="models"))
    assert edited == workload(kind, {"replicas": 1, "template": {**TEMPLATE, "marked": True}}, namespace="models")
    assert owners == [(f"{kind} iris", "models")]


def test_a_cron_job_has_a_nested_pod_template():
    edited, _ = edit_and_collect(workload("CronJob", {"jobTemplate": {"spec": {"template": TEMPLATE}}}))
    assert edited["spec"]["jobTemplate"]["spec"]["template"]["marked"]


def test_a_pod_template_is_edited():
    assert edit_and_collect({"kind": "PodTemplate", "template": TEMPLATE})[0]["template"]["marked"]


def test_a_pod_is_edited():
    edited, owners = edit_and_collect(pod())
    assert edited["marked"]
    assert owners == [("Pod iris", "models")]


def test_a_pod_without_a_name_is_named_by_generate_name():
    assert name_of({"kind": "Pod", "metadata": {"generateName": "iris-"}}) == "Pod iris-"


def test_items_of_a_list_are_edited_and_named():
    document = {"kind": "List", "items": [pod(), {"kind": "Service"}, {"kind": "List", "items": [pod()]}]}
    edited, owners = edit_and_collect(document)
    assert edited["items"][0]["marked"]
    assert edited["items"][1] == {"kind": "Service"}
    assert edited["items"][2]["items"][0]["marked"]
    assert owners == [("Pod iris", "models")] * 2


def test_items_of_a_typed_list_need_no_kind():
    bare = {key: value for key, value in pod().items() if key != "kind"}
    edited, owners = edit_and_collect({"kind": "PodList", "items": [bare]})
    assert edited == {"kind": "PodList", "items": [{**bare, "marked": True}]}
    assert owners == [("Pod iris", "models")]


def test_the_pod_in_a_review_is_edited():
    edited, owners = edit_and_collect(review(pod()))
    assert edited["request"]["object"]["marked"]
    assert owners == [("Pod iris", "models")]


@pytest.mark.parametrize(
    "request_fields",
    [{"operation": "UPDATE"}, {"subResource": "binding"}, {"kind": {"kind": "Deployment"}}, {"object": None}],
)
def test_other_reviews_are_unchanged(request_fields):
    assert edit_and_collect(review(pod(), **request_fields)) == (review(pod(), **request_fields), [])


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
        {"kind": "Deployment"},
        {"kind": "Deployment", "spec": []},
        {"kind": "Deployment", "spec": {"template": None}},
        {"kind": "List", "items": {"a": 1}},
        {"kind": "AdmissionReview", "request": [1]},
        {"kind": "AdmissionReview", "request": {"kind": "Pod"}},
        {"kind": "AdmissionReview", "request": {"kind": {"kind": "Pod"}, "operation": "CREATE"}},
    ],
)
def test_other_documents_are_unchanged(other):
    edited, owners = edit_and_collect(other)
    assert edited is other
    assert owners == []


def test_an_unedited_document_is_the_same_object():
    for document in (pod(), {"kind": "List", "items": [pod()]}, {"kind": "PodList", "items": [{}]}, review(pod())):
        assert edit_pods(document, lambda pod, owner: pod) is document
