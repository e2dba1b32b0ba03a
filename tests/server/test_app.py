"""The admission endpoint over HTTPS: responses, HTTP errors and health."""

import json

import jsonpatch
import pytest

from tests.golden import Case, cases, described
from tests.serving import GivenSettings, pod, response_of, review, serving
from webhook.cluster.facts import NO_FACTS, NoCluster
from webhook.errors import Denied, LookupFailed
from webhook.server.endpoint import MAX_BODY_BYTES
from webhook.settings.parse import SettingsError
from webhook.settings.source import Snapshot

MUTATE = "/mutate-pods"
OBSERVING = {"mode": "observe"}


DEEP = "deeper than any object of Kubernetes"
DEPTH = 500


def admit(client, of, **request):
    body = json.dumps(review(of, **request)).replace(json.dumps(DEEP), "[" * DEPTH + "]" * DEPTH)
    return response_of(post(client, body))


def post(client, body):
    return client.post(MUTATE, content=body, headers={"content-type": "application/json"})


# --- The response


class FactsOfCase(NoCluster):
    """The facts of a golden case, which each test sets."""

    case: Case

    def cached(self, request, settings):
        return self.case.facts(request)


@pytest.fixture(scope="module")
def changing(authority, tmp_path_factory):
    """A server whose settings and facts each test changes."""
    settings, facts = GivenSettings({}), FactsOfCase()
    directory = tmp_path_factory.mktemp("tls")
    with serving(authority, directory, settings=settings, facts=facts) as server, server.client() as client:
        yield client, settings, facts


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_server_responds_like_the_core(changing, case):
    client, settings, facts = changing
    settings.current, facts.case = Snapshot(case.settings, "case"), case
    http_response = post(client, case.body)
    assert http_response.status_code == 200
    assert described(http_response.json()["response"], case.pod) == case.outcome()


@pytest.mark.parametrize("version", ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"])
def test_the_response_has_the_version_of_the_request(client, version):
    http_response = client.post(MUTATE, json={**review(pod(uri="pvc://claim/iris")), "apiVersion": version}).json()
    assert (http_response["apiVersion"], http_response["kind"]) == (version, "AdmissionReview")


def test_the_patch_injects_the_model(client):
    before = pod(uri="s3://models/iris")
    response = admit(client, before)
    after = jsonpatch.apply_patch(before, response["patch"])
    (init,) = after["spec"]["initContainers"]
    assert init["args"] == ["s3://models/iris", "/mnt/models"]
    assert response["uid"] == "8a7e-1"
    assert response["allowed"] is True
    assert response["auditAnnotations"] == {"outcome": "injected", "sources": "s3", "containers": "server"}


def test_no_patch_when_nothing_changes(client):
    response = admit(client, pod())
    assert response == {
        "uid": "8a7e-1",
        "allowed": True,
        "auditAnnotations": {"outcome": "skipped", "reason": "no-uri"},
    }


def test_injecting_twice_changes_nothing(client):
    once = jsonpatch.apply_patch(pod(uri="s3://b/m"), admit(client, pod(uri="s3://b/m"))["patch"])
    assert "patch" not in admit(client, once)


@pytest.mark.parametrize(
    ("request_fields", "reason"),
    [
        ({"operation": "UPDATE"}, "not-a-create"),
        ({"operation": "DELETE", "object": None}, "not-a-create"),
        ({"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}}, "not-a-pod"),
        ({"kind": {"group": "example.com", "version": "v1", "kind": "Pod"}}, "not-a-pod"),
        ({"subResource": "binding"}, "not-a-pod"),
    ],
)
def test_other_requests_than_pod_creations_are_allowed(client, request_fields, reason):
    response = admit(client, pod(uri="s3://b/m"), **request_fields)
    assert response["allowed"] is True
    assert response["auditAnnotations"]["reason"] == reason
    assert "patch" not in response


def test_a_probable_mistake_is_a_warning(client):
    response = admit(client, pod(uri="s3://b/m", readyonly="true"))
    (warning,) = response["warnings"]
    assert "storage.kserve.io/readyonly" in warning
    assert "did you mean storage.kserve.io/readonly" in warning


def test_warnings_have_the_lengths_that_the_api_server_accepts(client):
    response = admit(client, pod(uri="s3://b/m", **{f"x{number}{'y' * 300}": "" for number in range(100)}))
    assert sum(map(len, response["warnings"])) <= 4096
    assert max(map(len, response["warnings"])) <= 256


def test_invalid_content_is_denied_with_422_and_a_message(client):
    response = admit(client, pod(uri="pvc://Claim/iris"))
    assert response["allowed"] is False
    assert "patch" not in response
    status = response["status"]
    assert (status["status"], status["code"], status["reason"]) == ("Failure", 422, "Invalid")
    assert "storage.kserve.io/uri" in status["message"]
    assert "Claim" in status["message"]


def test_forbidden_content_is_denied_with_403(client):
    response = admit(client, pod(uri="s3://b/m", image="evil:1"))
    assert (response["allowed"], response["status"]["code"], response["status"]["reason"]) == (False, 403, "Forbidden")
    assert "storageDefaults.overrides.image" in response["status"]["message"]


@pytest.mark.parametrize("wrong", [None, [], "pod", 3, True])
def test_a_pod_that_is_not_an_object_is_denied(client, wrong):
    response = admit(client, wrong)
    assert (response["allowed"], response["status"]["code"]) == (False, 422)
    assert "must be an object" in response["status"]["message"]


@pytest.mark.parametrize("labels", [{}, {"storage.kserve.io/inject": "disabled"}], ids=["", "disabled"])
@pytest.mark.parametrize(
    "annotations",
    [["storage.kserve.io/uri"], [1], "text", 7, {"a": 1}, {"storage.kserve.io/uri": None}, {"a": DEEP}],
    ids=["list", "numbers", "text", "number", "number inside", "null inside", "deep"],
)
def test_annotations_of_the_wrong_type_are_denied(client, annotations, labels):
    wrong = pod()
    wrong["metadata"].update(annotations=annotations, labels=labels)
    response = admit(client, wrong)
    assert (response["allowed"], response["status"]["code"]) == (False, 422)
    assert "metadata.annotations" in response["status"]["message"]


def test_deeply_nested_values_are_accepted(client):
    deep = pod(uri="s3://b/m")
    deep["spec"]["containers"][0]["unknown"] = DEEP
    assert admit(client, deep)["allowed"] is True


def test_what_is_too_deep_is_refused_in_words_at_every_depth(client):
    deep = pod(uri="s3://b/m")
    # The second is a native sidecar, so that the first is moved behind it.
    deep["spec"]["initContainers"] = [
        {"name": "storage-initializer", "image": "i", "unknown": DEEP},
        {"name": "proxy", "image": "i", "restartPolicy": "Always"},
    ]
    seen = set()
    # The first depth that is refused depends on the Python: about 1,000 in 3.11, more in later ones.
    for depth in (*range(600, 1100, 10), *range(2_000, 40_000, 2_000)):
        body = json.dumps(review(deep)).replace(json.dumps(DEEP), "[" * depth + "]" * depth)
        answer = post(client, body)
        if answer.status_code == 200:
            response = answer.json()["response"]
            assert response["allowed"] or "nested too deeply" in response["status"]["message"]
        else:
            assert (answer.status_code, answer.text) == (400, "the body is nested too deeply\n")
        seen.add(answer.status_code)
    assert 400 in seen


def test_json_that_is_too_deep_gets_a_400(client):
    http_response = post(client, b"[" * 100_000)
    assert (http_response.status_code, http_response.text) == (400, "the body is nested too deeply\n")


def test_the_denial_of_a_huge_value_is_short(client):
    response = admit(client, pod(uri="s3://" + "x" * 1_000_000))
    assert response["status"]["code"] == 422
    assert len(response["status"]["message"]) < 1000


def test_a_dry_run_has_the_same_response(client):
    assert "patch" in admit(client, pod(uri="s3://b/m"), dryRun=True)


# --- What is no admission request


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"[]", "not an AdmissionReview"),
        (b"{}", "apiVersion"),
        (json.dumps({**review({}), "apiVersion": "v1"}).encode(), "apiVersion"),
        (json.dumps({**review({}), "kind": "Pod"}).encode(), "kind"),
        (json.dumps({**review({}), "request": None}).encode(), "request"),
        (json.dumps(review({}, uid="")).encode(), "request.uid"),
        (json.dumps(review({}, uid=7)).encode(), "request.uid"),
        (json.dumps(review({}, uid="x" * 1_000_000)).encode(), "request.uid"),
        (json.dumps(review({}, namespace=["a"])).encode(), "request.namespace"),
        (json.dumps(review({}, namespace="x" * 1_000_000)).encode(), "request.namespace"),
        (json.dumps(review({}, dryRun="no")).encode(), "request.dryRun"),
    ],
)
def test_an_invalid_review_gets_a_400_with_one_line(client, content, words):
    http_response = post(client, content)
    assert http_response.status_code == 400
    assert words in http_response.text
    assert len(http_response.text.splitlines()) == 1
    assert len(http_response.text) < 500


def test_settings_that_are_not_a_configmap_get_a_400(client):
    http_response = client.post("/validate-settings", json=review(5))
    assert (http_response.status_code, http_response.text) == (400, "the AdmissionReview's object is not a ConfigMap\n")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_gets_a_405(client, method):
    http_response = client.request(method, MUTATE)
    assert (http_response.status_code, http_response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/yaml", "application/jsonx"])
def test_another_content_type_gets_a_415(client, content_type):
    headers = {} if content_type is None else {"content-type": content_type}
    assert client.post(MUTATE, content=json.dumps(review(pod())), headers=headers).status_code == 415


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_any_spelling_of_the_json_content_type_is_accepted(client, content_type):
    http_response = client.post(MUTATE, content=json.dumps(review(pod())), headers={"content-type": content_type})
    assert http_response.status_code == 200


@pytest.mark.parametrize("path", ["/", "/mutate-pods/", "/mutate-pods/x", "/docs", "/redoc", "/openapi.json", "/%00"])
def test_other_paths_get_a_404(client, path):
    assert client.post(path, json=review(pod())).status_code == 404
    assert client.get(path).status_code == 404


def test_a_body_of_the_maximum_size_is_read(client):
    body = json.dumps(review(pod(uri="s3://b/m"))).encode()
    http_response = post(client, body.ljust(MAX_BODY_BYTES))
    assert "patch" in response_of(http_response)


def test_a_body_declared_too_large_gets_a_413_before_it_is_sent(running):
    with running.connect() as connection:
        connection.sendall(
            b"POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_that_is_too_large_gets_a_413_before_its_end(running):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with running.connect() as connection:
        connection.sendall(
            b"POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(MAX_BODY_BYTES // 0x10000 + 1):
            connection.sendall(chunk)
        # The response arrives before the end of the body, and the connection closes.
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 4 * MAX_BODY_BYTES])
def test_clients_that_send_too_much_receive_the_413(client, size):
    http_response = post(client, b" " * size)
    assert http_response.status_code == 413
    assert str(MAX_BODY_BYTES) in http_response.text


def _read_answer(connection):
    http_response = b""
    while not http_response.endswith(b"}}"):
        http_response += connection.recv(10_000)
    return http_response


def test_the_connection_stays_open_for_the_next_request(running):
    with running.connect() as connection:
        body = json.dumps(review(pod())).encode()
        for _ in range(3):
            connection.sendall(
                b"POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            assert _read_answer(connection).startswith(b"HTTP/1.1 200 ")


# --- Health


def test_healthz(client):
    http_response = client.get("/healthz")
    assert (http_response.status_code, http_response.text) == (200, "ok\n")


def test_readyz_names_the_settings_in_effect(client):
    http_response = client.get("/readyz")
    assert (http_response.status_code, http_response.text) == (200, "settings given: version first, generation 1\n")


def test_without_settings_the_server_is_not_ready_and_pods_fail(authority, tmp_path):
    with serving(authority, tmp_path, settings=GivenSettings(None)) as server, server.client() as client:
        http_response = client.get("/readyz")
        assert (http_response.status_code, http_response.text) == (503, "settings given: not loaded yet\n")
        response = admit(client, pod(uri="s3://b/m"))
        assert (response["allowed"], response["status"]["code"]) == (False, 503)
        assert "not loaded its settings yet" in response["status"]["message"]


def test_readyz_names_rejected_settings(authority, tmp_path):
    settings = GivenSettings({})
    with serving(authority, tmp_path, settings=settings) as server, server.client() as client:
        with pytest.raises(SettingsError, match="cpuLimit"):
            settings.update({"storageInitializer": '{"cpuLimit": "lots"}'}, "second")
        http_response = client.get("/readyz")
        assert http_response.status_code == 200
        lines = http_response.text.splitlines()
        assert lines[0] == "settings given: version first, generation 1"
        assert lines[1].startswith("rejected version second: storageInitializer.cpuLimit: ")
        assert "patch" in admit(client, pod(uri="s3://b/m"))


def test_readyz_reports_that_changes_cannot_be_seen(authority, tmp_path):
    settings = GivenSettings({})
    settings.watch_error = "the API server does not answer"
    with serving(authority, tmp_path, settings=settings) as server, server.client() as client:
        http_response = client.get("/readyz")
    assert http_response.status_code == 200
    assert http_response.text.splitlines()[1] == "changes cannot be seen: the API server does not answer"


# --- Settings and facts


def test_observe_mode_never_patches_and_never_denies(authority, tmp_path):
    with serving(authority, tmp_path, settings=GivenSettings(OBSERVING)) as server, server.client() as client:
        good, bad = admit(client, pod(uri="s3://b/m")), admit(client, pod(uri="pvc://"))
    assert good["allowed"] is bad["allowed"] is True
    assert "patch" not in good
    differs = "containers.volumeMounts,initContainers,volumes"
    expected = {"outcome": "observed", "reason": "injected", "sources": "s3", "differs": differs}
    assert good["auditAnnotations"] == expected
    assert good["warnings"][0].startswith("would be injected, but observe mode changes nothing: ")
    assert bad["auditAnnotations"] == {"outcome": "observed", "reason": "denied"}
    assert bad["warnings"][0].startswith("would be denied: annotation storage.kserve.io/uri")


class Facts(NoCluster):
    """Facts whose lookup returns or raises what a test sets."""

    def __init__(self, outcome):
        self._outcome = outcome

    def cached(self, request, settings):
        return None

    async def lookup(self, request, settings):
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        (LookupFailed("the API server did not answer: try again"), 503, "did not answer: try again"),
        (Denied("secret keys is not there"), 422, "secret keys is not there"),
        (RuntimeError("a bug with s3cr3t in it"), 500, "its log says why"),
    ],
)
def test_a_failed_lookup_gets_an_admission_response(authority, tmp_path, outcome, code, message):
    with serving(authority, tmp_path, facts=Facts(outcome)) as server, server.client() as client:
        response = admit(client, pod(uri="s3://b/m"))
        assert (response["allowed"], response["status"]["code"]) == (False, code)
        assert message in response["status"]["message"]
        assert "s3cr3t" not in response["status"]["message"]
        assert "patch" not in admit(client, pod())


def test_looked_up_facts_are_used(authority, tmp_path):
    with serving(authority, tmp_path, facts=Facts(NO_FACTS)) as server, server.client() as client:
        assert "patch" in admit(client, pod(uri="s3://b/m"))


def test_an_unexpected_error_in_observe_mode_allows_the_pod(authority, tmp_path):
    settings, facts = GivenSettings(OBSERVING), Facts(RuntimeError())
    with serving(authority, tmp_path, settings=settings, facts=facts) as server, server.client() as client:
        assert admit(client, pod(uri="s3://b/m"))["allowed"] is True


# --- Workloads

KINDS = [("apps", "Deployment"), ("apps", "StatefulSet"), ("batch", "Job"), ("batch", "CronJob")]


def workload(of, kind="Deployment"):
    template = {field: of[field] for field in ("metadata", "spec")}
    inner = {"jobTemplate": {"spec": {"template": template}}} if kind == "CronJob" else {"template": template}
    return {"metadata": {"name": "iris"}, "spec": inner}


def advised(client, of, group="apps", kind="Deployment", **request):
    """The response for a workload: always admitted, and never patched."""
    fields = {"kind": {"group": group, "version": "v1", "kind": kind}, **request}
    body = json.dumps(review(of, **fields)).replace(json.dumps(DEEP), "[" * DEPTH + "]" * DEPTH)
    headers = {"content-type": "application/json"}
    response = response_of(client.post("/validate-workloads", content=body, headers=headers))
    assert response["allowed"] is True
    assert "patch" not in response
    return response


@pytest.mark.parametrize(("group", "kind"), KINDS)
def test_a_workload_gets_the_warnings_of_its_pods(client, group, kind):
    (warning,) = advised(client, workload(pod(uri="pvc://Claim/iris"), kind), group, kind)["warnings"]
    assert warning.startswith("the pods will be denied: annotation storage.kserve.io/uri")


def test_an_update_gets_warnings_only_when_the_pods_change(client):
    bad = workload(pod(uri="pvc://Claim/iris"))
    same = advised(client, bad, operation="UPDATE", oldObject={**bad, "status": {}})
    assert (same["auditAnnotations"]["reason"], same.get("warnings")) == ("same-template", None)
    changed = advised(client, bad, operation="UPDATE", oldObject=workload(pod(uri="pvc://claim/iris")))
    assert len(changed["warnings"]) == 1


@pytest.mark.parametrize(
    ("request_fields", "reason"),
    [
        ({"operation": "DELETE"}, "not-a-change"),
        ({"subResource": "scale"}, "not-a-workload"),
        ({"kind": "DaemonSet"}, "not-a-workload"),
        ({"group": "example.com"}, "not-a-workload"),
    ],
)
def test_other_requests_for_workloads_get_no_warnings(client, request_fields, reason):
    response = advised(client, workload(pod(uri="pvc://Claim/iris")), **request_fields)
    assert (response["auditAnnotations"]["reason"], response.get("warnings")) == (reason, None)


@pytest.mark.parametrize(
    ("metadata", "spec"),
    [(7, {}), ({}, 7), ({"annotations": {"storage.kserve.io/uri": 7}}, {}), ({"a": DEEP}, {"containers": DEEP})],
    ids=["metadata", "spec", "annotation", "deep"],
)
def test_a_malformed_workload_is_admitted(client, metadata, spec):
    for malformed in (workload({"metadata": metadata, "spec": spec}), {"metadata": metadata, "spec": spec}):
        assert advised(client, malformed)["auditAnnotations"]["reason"] != "unexpected"


@pytest.mark.parametrize("wrong", [None, [], "workload", 3])
def test_a_workload_that_is_not_an_object_is_admitted(client, wrong):
    assert advised(client, wrong)["auditAnnotations"]["reason"] == "not-a-workload"


@pytest.mark.parametrize(
    ("outcome", "reason", "warned"),
    [
        (LookupFailed("the API server did not answer: try again"), "lookup-failed", None),
        (Denied("secret keys is not there"), "pods-denied", ["the pods will be denied: secret keys is not there"]),
        (RuntimeError("a bug with s3cr3t in it"), "unexpected", None),
        (RecursionError(), "unexpected", None),
    ],
)
def test_a_workload_is_admitted_after_any_error(authority, tmp_path, outcome, reason, warned):
    with serving(authority, tmp_path, facts=Facts(outcome)) as server, server.client() as client:
        response = advised(client, workload(pod(uri="s3://b/m")))
        assert (response["auditAnnotations"]["reason"], response.get("warnings")) == (reason, warned)


def test_a_workload_is_admitted_before_the_settings_are_loaded(authority, tmp_path):
    with serving(authority, tmp_path, settings=GivenSettings(None)) as server, server.client() as client:
        response = advised(client, workload(pod(uri="pvc://Claim/iris")))
        assert response["auditAnnotations"]["reason"] == "settings-missing"


def test_observe_mode_warns_about_the_pods_of_a_workload(authority, tmp_path):
    with serving(authority, tmp_path, settings=GivenSettings(OBSERVING)) as server, server.client() as client:
        (warning,) = advised(client, workload(pod(uri="pvc://Claim/iris")))["warnings"]
        assert warning.startswith("the pods would be denied: ")
        assert "warnings" not in advised(client, workload(pod(uri="s3://b/m")))
