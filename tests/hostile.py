"""The most expensive requests that the webhook's limits accept, and what it does with a request."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.mutation import JsonObject, a_container, decide, plain_pod, several
from webhook import annotations as keys
from webhook.admission import deployments, review, workloads
from webhook.admission.outcome import Outcome
from webhook.admission.settings import admit_settings
from webhook.cluster.facts import NO_FACTS
from webhook.errors import BadReview
from webhook.server.fingerprint import fingerprint, is_cacheable
from webhook.server.response_cache import MAX_BODY_BYTES
from webhook.settings.parse import KEYS, parse

S3 = "s3://bucket/model"
ISTIO = {"sidecar.istio.io/interceptionMode": "REDIRECT"}
SETTINGS = {
    "storageInitializer": {"image": "initializer:1", "memoryLimit": "1Gi", "enableOciModelSupport": True},
    "credentials": {"s3": {"s3Endpoint": "s3.example.com"}, "gcs": {"gcsCredentialFileName": "a.json"}},
    "storageDefaults": {
        "singleFile": [".bin"],
        "allowReadWrite": ["models"],
        "overrides": {"image": ["*"], "memoryLimit": "2Gi", "env": ["*", "HF_*", "*a*b*c*"]},
        "cache": {"other": "pvc://cache/models"},
        "downloadVolume": {"ephemeral": {"size": "1Gi", "storageClassName": "a"}},
        "imagePullSecrets": ["registry-b"],
    },
    "storageContainers": [
        {
            "name": "git",
            "namespaces": ["models", "team-*"],
            "supportedUriFormats": [{"regex": "^git(\\+ssh)?://"}],
            "container": {
                "image": "git:1",
                "command": ["fetch"],
                "env": [{"name": "A", "value": "b"}],
                "resources": {"limits": {"cpu": "1"}},
                "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
            },
            "volumes": [{"name": "ca", "configMap": {"name": "ca", "items": [{"key": "a", "path": "b"}]}}],
        }
    ],
}


def plain_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def many_mounts(size: int) -> list[JsonObject]:
    return [{"name": f"v{index}", "mountPath": f"/v{index}"} for index in range(size)]


def of_one_claim(size: int) -> JsonObject:
    """Fields of a pod whose volumes and mounts are all of the model's claim."""
    volumes = [{"name": f"v{index}", "persistentVolumeClaim": {"claimName": "foo"}} for index in range(size)]
    return {"containers": [a_container(volumeMounts=many_mounts(size))], "volumes": volumes}


def many_containers(size: int) -> list[JsonObject]:
    return [a_container(f"c{index}") for index in range(size)]


def many_sources(size: int, scheme: str) -> JsonObject:
    return several(*((f"{scheme}://b{index}/m", f"/mnt/{index}/m") for index in range(size)))


def everything(size: int, *, one_claim: bool = False) -> JsonObject:
    """The maximum number of models and targets, with `size` mounts each; `one_claim`: all volumes are of one claim."""
    names = [f"c{index}" for index in range(20)]
    claims = ["foo"] * 100 if one_claim else [f"b{index}" for index in range(100)]
    sources = [{"uri": f"pvc://{claim}/{index}", "mountPath": f"/mnt/{index}"} for index, claim in enumerate(claims)]
    annotations = {str(keys.URIS): json.dumps(sources), str(keys.CONTAINERS): ",".join(names)}
    pod = plain_pod("", containers=[a_container(name, volumeMounts=many_mounts(size)) for name in names])
    pod["spec"]["volumes"] = [{"name": f"v{index}", "emptyDir": {}} for index in range(size)]
    if one_claim:
        pod["spec"]["volumes"] = of_one_claim(size)["volumes"]
    pod["metadata"]["annotations"] = annotations
    return pod


def _hostile_models(scheme: str, length: int, mounts: int, *, one_claim: bool) -> JsonObject:
    """As many models and targets as a pod may have, with mount paths of about this length."""
    pod = everything(mounts, one_claim=one_claim)
    # The URIs and paths of all containers together have a maximum.
    number = min(100, 500_000 // 20 // (length + 20))
    segments = min(60, length // 2)
    path = ("/" + "a" * (length // segments - 1)) * segments if segments else ""
    names = ["foo" if one_claim else f"b{index}" for index in range(number)]
    models = [{"uri": f"{scheme}://{name}/m{i}", "mountPath": f"/mnt/m{i}{path}"} for i, name in enumerate(names)]
    pod["metadata"]["annotations"][str(keys.URIS)] = json.dumps(models)
    for container in pod["spec"]["containers"]:
        for each in container["volumeMounts"]:
            each["mountPath"] += "/./a" * (length // 16)
    return pod


def _hostile_sidecars(number: int) -> JsonObject:
    status = json.dumps({"containers": ["x"] * number})
    annotations = {**ISTIO, "sidecar.istio.io/status": status}
    return plain_pod(S3, *(f"c{index}" for index in range(250)), annotations=annotations)


def _hostile_containers(number: int) -> JsonObject:
    names = ",".join(f"x{index}" for index in range(number))
    return plain_pod(S3, *(f"c{index}" for index in range(250)), annotations={keys.CONTAINERS: names})


HOSTILE_PODS = {
    **{
        f"{scheme} of {length}, {mounts} mounts, one claim: {one}": partial(
            _hostile_models, scheme, length, mounts, one_claim=one
        )
        for scheme in ("pvc", "s3", "oci+native", "oci")
        for length in (0, 1_000, 4_000)
        for mounts in (0, 249)
        for one in ((False, True) if scheme == "pvc" else (False,))
    },
    "sidecars": partial(_hostile_sidecars, 50_000),
    "more sidecars": partial(_hostile_sidecars, 1_000_000),
    "targets": partial(_hostile_containers, 30_000),
    "more targets": partial(_hostile_containers, 500_000),
}


def _settings_of(value: Any) -> JsonObject:
    return {"data": dict.fromkeys(KEYS, value)}


def _storage_containers(number: int, **fields: Any) -> JsonObject:
    containers = [{"name": f"a{index}", "container": {"image": "a:1"}, **fields} for index in range(number)]
    return {"data": {"storageContainers": json.dumps(containers)}}


def _regexes(number: int, regex: str) -> JsonObject:
    """Storage containers with different regexes that cost as much as this one."""
    formats = [{"regex": f"{regex}{index}"} for index in range(number)]
    return _storage_containers(1, supportedUriFormats=formats)


HOSTILE_SETTINGS = {
    "a long list": _settings_of("[" + "a," * 800_000 + "a]"),
    "the longest list": _settings_of("[" + "a," * 1_400 + "a]"),
    "unknown keys as YAML": _settings_of("\n".join(f"readOnl{index}: a" for index in range(1_400))),
    "unknown keys as JSON": _settings_of(json.dumps({f"readOnl{index}": 1 for index in range(1_400)})),
    "unknown keys": _settings_of({f"readOnl{index}": 1 for index in range(50_000)}),
    "a long key": _settings_of({"k" * 1_500_000: 1}),
    "other keys": {"data": {"storageInitializer": "", **{f"storageInitialize{index}": "" for index in range(200_000)}}},
    "invalid values": _settings_of(json.dumps({"singleFile": [1] * 1_400, "allowReadWrite": [1] * 1_400})),
    "storage containers": _storage_containers(300),
    "storage containers with many patterns": _storage_containers(20, namespaces=["*a*b*c*d*e*"] * 100),
    "storage containers with many volumes": _storage_containers(
        5, volumes=[{"name": f"a{index}", "emptyDir": {}} for index in range(150)]
    ),
    "large regexes": _regexes(100, "(a{30}){30}"),
    "too large regexes": _regexes(100, "\\pL{1000}"),
    "too many regexes": _regexes(1_000, "\\pL{1000}"),
    "directives": _settings_of("".join(f"%TAG !a{index}! x\n" for index in range(7_000)) + "---\na: b"),
    "documents": _settings_of("---\n" * 30_000),
    "small objects": [{"": {}}] * 900_000,
    "numbers": [1] * 3_000_000,
    "few objects": [{"": {}}] * 60_000,
}
OF_KUBERNETES = 10
"""Times the work of parsing a megabyte of JSON: some 50 ms where that takes 5 ms."""
OF_ANYBODY = 50


_MEGABYTE = json.dumps([{"name": f"A{index}", "value": "b"} for index in range(31_000)])


def parse_a_megabyte(_: bytes) -> None:
    json.loads(_MEGABYTE)


def of_a_pod(body: bytes) -> None:
    found = review.parse_pod(body)
    outcome = decide(found.request.object, SETTINGS)
    written = review.respond(found, outcome)
    left_out = fingerprint(body) if len(body) <= MAX_BODY_BYTES else None
    if left_out is not None:
        is_cacheable(left_out, body, found, written)


def of_a_template(body: bytes) -> None:
    found = review.parse(body)
    settings = parse(SETTINGS)[0]
    request = deployments.read(found.request.object, "models", settings)
    if not isinstance(request, Outcome):
        request = deployments.apply(found.request.object, None, request, settings, NO_FACTS)
    review.respond(found, request)
    template = workloads.template_of(found.request.object, None, workloads.TEMPLATES["apps", "Deployment"])
    if not isinstance(template, Outcome):
        outcome = decide(template, SETTINGS)
        review.respond(found, workloads.advise(found.request.object, ("spec", "template"), outcome, settings))


def of_settings(body: bytes) -> None:
    found = review.parse(body)
    review.respond(found, admit_settings("CREATE", found.request.object))


def cpu_seconds(work: Callable[[bytes], None], found: Any) -> float:
    head = {"uid": "12345678-1234-1234-1234-123456789012", "operation": "CREATE", "object": found}
    sent = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": head}
    body = json.dumps(sent, separators=(",", ":")).encode()
    began = time.process_time()
    with contextlib.suppress(BadReview):
        work(body)
    return time.process_time() - began
