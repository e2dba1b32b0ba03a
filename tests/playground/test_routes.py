"""The routes of the page over HTTPS: headers, limits and errors."""

import json
from pathlib import Path

import pytest

from tests.serving import GivenSettings, pod, review, serving
from webhook.playground import routes
from webhook.playground.routes import MAX_BODY_BYTES

STATIC = Path(routes.__file__).parent / "static"
PAGES = ["/", "/docs", "/page.css", "/page.js", "/diff.js", "/elements.js", "/docs.js", "/icon.svg"]


@pytest.fixture(scope="module")
def client(authority, tmp_path_factory):
    with serving(authority, tmp_path_factory.mktemp("tls"), page=True) as server, server.client() as client:
        yield client


def posted(client, **fields):
    return client.post("/preview", json={"manifests": "", **fields})


@pytest.mark.parametrize("path", PAGES)
def test_every_file_has_the_strict_policy(client, path):
    http_response = client.get(path)
    assert http_response.status_code == 200
    policy = http_response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert http_response.headers["x-content-type-options"] == "nosniff"


def test_every_file_is_served():
    assert {path.name for path in STATIC.iterdir()} == {"index.html", "docs.html", *(page[1:] for page in PAGES[2:])}


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_no_file_needs_the_internet_or_parses_text_as_html(path):
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    for forbidden in ("http:", "https:", "//cdn", "@import", "innerHTML", "insertAdjacentHTML", "eval(", "style="):
        assert forbidden not in text


def test_the_page_is_small():
    assert sum(path.stat().st_size for path in STATIC.iterdir()) < 48 * 1024


def test_the_preview_uses_the_settings_of_the_server(authority, tmp_path):
    settings = GivenSettings({"mode": "observe"})
    with serving(authority, tmp_path, settings=settings, page=True) as server, server.client() as client:
        shown = posted(client, manifests=json.dumps(pod(uri="s3://b/m"))).json()
        assert shown["documents"][0]["results"][0]["outcome"] == "observed"


def test_before_the_settings_are_loaded_there_is_no_preview(authority, tmp_path):
    with serving(authority, tmp_path, settings=GivenSettings(None), page=True) as server, server.client() as client:
        http_response = posted(client)
        assert http_response.status_code == 503
        assert "not loaded its settings" in http_response.json()["detail"]["message"]


HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_hostile_text_comes_back_as_json_only(client):
    http_response = posted(client, manifests=json.dumps(pod(uri=f"s3://b/{HOSTILE}")))
    assert http_response.headers["content-type"] == "application/json"
    assert http_response.headers["x-content-type-options"] == "nosniff"
    http_response = posted(client, manifests=f"a: [{HOSTILE}")
    assert (http_response.status_code, http_response.headers["content-type"]) == (422, "application/json")


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (b"{", "", "JSON"),
        (b"[]", "", "object"),
        (b"{}", "manifests", "required"),
        (b'{"manifests": 5}', "manifests", "string"),
        (b'{"manifests": "", "webhook": "x"}', "webhook", "pods"),
        (b'{"manifests": "", "more": 1}', "more", "not permitted"),
        (b'{"manifests": "a: ["}', "manifests", "neither JSON nor YAML"),
        (b'{"manifests": "", "namespace": "%s"}' % (b"n" * 64), "namespace", "63"),
    ],
)
def test_a_wrong_request_names_its_field(client, body, field, words):
    http_response = client.post("/preview", content=body, headers={"content-type": "application/json"})
    assert http_response.status_code == 422
    detail = http_response.json()["detail"]
    assert detail["field"] == field
    assert words in detail["message"]


def test_a_body_of_the_maximum_size_is_read(client):
    body = json.dumps({"manifests": ""}).encode().ljust(MAX_BODY_BYTES)
    http_response = client.post("/preview", content=body, headers={"content-type": "application/json"})
    assert http_response.status_code == 200


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10 * MAX_BODY_BYTES])
def test_a_larger_body_gets_a_413(client, size):
    http_response = client.post("/preview", content=b" " * size, headers={"content-type": "application/json"})
    assert http_response.status_code == 413
    assert "512 KiB" in http_response.json()["detail"]["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_of_another_page_gets_a_415(client, content_type):
    http_response = client.post("/preview", content=b'{"manifests": ""}', headers={"content-type": content_type})
    assert http_response.status_code == 415
    assert "access-control-allow-origin" not in http_response.headers


def test_openapi_lists_the_admission_routes_and_those_of_the_page(client):
    schema = client.get("/openapi.json").json()
    paths = {path: set(methods) for path, methods in schema["paths"].items()}
    admission = ("/mutate-pods", "/mutate-deployments", "/validate-settings", "/validate-workloads")
    assert paths == {
        **{key: {"post"} for key in admission},
        **{key: {"get"} for key in ("/", "/examples", "/healthz", "/readyz")},
        "/preview": {"post"},
    }
    for path in admission:
        operation = schema["paths"][path]["post"]
        assert operation["summary"]
        assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/AdmissionReview")
    references = [text for text in json.dumps(schema).split('"') if text.startswith("#/components/schemas/")]
    assert {text.rpartition("/")[2] for text in references} <= set(schema["components"]["schemas"])


def test_admission_works_beside_the_page(client):
    http_response = client.post("/mutate-pods", json=review(pod(uri="s3://b/m")))
    assert http_response.json()["response"]["allowed"] is True


def test_the_examples_are_served(client):
    found = client.get("/examples").json()
    assert len(found["manifests"]) >= 12
    assert len(found["settings"]) >= 3
