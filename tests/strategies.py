"""Hypothesis strategies: pods that request models in all ways, invalid pods, and settings."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.mutation import JsonObject, a_container
from webhook import annotations as keys

SERVERS = ("server", "kserve-container", "worker-container", "transformer-container", "modelcar")
OTHERS = ("istio-proxy", "istio-init", "warm-up", "modelcar-init")
VOLUMES = ("kserve-provision-location", "kserve-pvc-source", "mnt-models", "mnt", "data")
PATHS = (
    *("/mnt/models", "/mnt/models/", "/mnt", "/mnt/pvc", "/mnt/base", "/mnt/models/adapters", "/opt/a-b", "/opt/a/b"),
    *("/opt/a/c", "/data"),
)
URIS = (
    "pvc://claim",
    "pvc://claim/",
    "pvc://claim/iris/v1",
    "pvc://claim//iris/./v1/",
    "pvc://claim/iris/model.joblib",
    "pvc://other/Model.ONNX",
    "s3://bucket/model",
    "gs://bucket/model",
    "hdfs://namenode/model",
    "webhdfs://namenode/model",
    "hf://org/model:main",
    "modelscope://org/model",
    "https://example.com/model.tar.gz?x=~1&y=%2F",
    "oci://registry.example.com/model:1",
    "oci://registry.example.com/model:2",
    "oci+modelcar://registry.example.com/model:1",
    "oci+native://registry.example.com/model:1",
    "oci+fetch://registry.example.com/model:1",
    "file:///model",
    "model",
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[JsonObject]:
    """An object with some of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def _one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def _annotations(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries(
        {str(key): value for key, value in required.items()},
        optional={str(key): value for key, value in optional.items()},
    )


# --- Pods that request a model ------------------------------------------------------------------------------------

_uris = _one_of(*URIS)
_several = st.lists(
    st.fixed_dictionaries({"uri": _uris, "mountPath": _one_of(*PATHS)}),
    min_size=1,
    max_size=3,
    unique_by=lambda item: item["mountPath"].rstrip("/"),
).map(json.dumps)

_where = st.one_of(
    _annotations({keys.URI: _uris}, {keys.MOUNT_PATH: _one_of(*PATHS)}),
    _annotations({keys.SOURCE_URI: _uris}, {}),
    _annotations({keys.URIS: _several}, {}),
)

_how = _annotations(
    {},
    {
        keys.READ_ONLY: _one_of("true", "false", "FALSE", "perhaps"),
        keys.PATH_TYPE: _one_of("auto", "directory", "file"),
        keys.PVC_MOUNT: _one_of("direct", "copy"),
        keys.CHECK_PATH: _one_of("true", "false"),
        keys.IMAGE: st.just("registry.example.com/initializer:2"),
        keys.ENV: _one_of('[{"name": "HF_ENDPOINT", "value": "https://hub"}]', "[]"),
        keys.ENV_FROM_CONTAINER: _one_of("true", "false"),
        keys.CPU_REQUEST: _one_of("100m", "2"),
        keys.MEMORY_LIMIT: _one_of("50Mi", "2Gi"),
        keys.EPHEMERAL_STORAGE_LIMIT: st.just("5Gi"),
        keys.DEFAULT_CONTAINER: _one_of(*SERVERS),
        keys.PREFIX + "readyonly": st.just("false"),
        keys.INITIALIZER_UID: _one_of("1337", "istio"),
        keys.ISTIO_INTERCEPTION_MODE: st.just("REDIRECT"),
        keys.ISTIO_STATUS: _one_of('{"containers": ["server"]}', '{"containers": null}', "[]"),
        keys.CONFIDENTIAL_ENABLED: st.just("true"),
    },
)

_volume_sources = _one_of(
    {"emptyDir": {}},
    {"emptyDir": {"medium": "Memory"}},
    {"persistentVolumeClaim": {"claimName": "claim"}},
    {"persistentVolumeClaim": {"claimName": "other", "readOnly": True}},
    {"configMap": {"name": "config", "defaultMode": 420}},
)

_volumes = st.lists(
    st.builds(lambda name, source: {"name": name, **source}, _one_of(*VOLUMES), _volume_sources),
    max_size=2,
    unique_by=lambda volume: volume["name"],
)

_security_contexts = st.none() | _some(
    runAsNonRoot=st.booleans(),
    runAsUser=_one_of(0, 1000, 2000),
    runAsGroup=_one_of(0, 2000),
    capabilities=_one_of({"drop": ["ALL"]}, {"drop": ["KILL"], "add": ["DAC_OVERRIDE"]}, {}),
    seccompProfile=_one_of(
        {"type": "RuntimeDefault"}, {"type": "Localhost", "localhostProfile": "a"}, {"type": "Unconfined"}
    ),
)

_pod_resources = _one_of(
    {"limits": {"cpu": "500m", "memory": "512Mi"}}, {"requests": {"memory": "64Mi"}}, {"limits": None}
)

# Unknown fields must be preserved, with nulls, types of numbers, and characters that JSON pointers escape.
_unknown = _one_of({"~a/b": [None, 1.0, True, {"": "\x00 😀"}]}, [], None, 0)


_variables = st.lists(
    _some(value=_one_of("", "s3://b")).map(lambda value: {"name": "STORAGE_URI", **value}), max_size=2
)


@cache  # creating a strategy takes longer than drawing from it
def _container_fields(volumes: tuple[str, ...]) -> st.SearchStrategy[JsonObject]:
    """Fields of a container in a pod with these volumes."""
    mount = st.fixed_dictionaries(
        {"name": _one_of(*(volumes or ("data",))), "mountPath": _one_of(*PATHS)},
        optional={"readOnly": st.booleans(), "subPath": _one_of("iris/v1", "iris/v1/", "x")},
    )
    mounts = st.lists(mount, max_size=2 if volumes else 0, unique_by=lambda item: item["mountPath"])
    return _some(
        volumeMounts=st.none() | mounts,
        env=st.none() | _variables,
        securityContext=_security_contexts,
        unknown=_unknown,
    )


_server_names = st.lists(_one_of(*SERVERS), min_size=1, max_size=3, unique=True)
_other_names = st.lists(_one_of(*OTHERS), unique=True)
_pod_fields = _some(
    securityContext=_security_contexts,
    resources=_pod_resources,
    unknown=_unknown,
    restartPolicy=_one_of("Always", "OnFailure", "Never"),
    imagePullSecrets=_one_of([], [{"name": "registry"}], [{"name": "a"}, {"name": "b"}]),
    hostPID=st.booleans(),
    shareProcessNamespace=st.booleans(),
)


@st.composite
def pods(draw: st.DrawFn) -> JsonObject:
    """Pods with fields of the correct types that request a model."""
    where = draw(_where)
    managed = keys.SOURCE_URI in where or draw(st.booleans())
    servers = list(dict.fromkeys(draw(_server_names) + managed * ["kserve-container"]))
    volumes = draw(_volumes)
    fields = _container_fields(tuple(volume["name"] for volume in volumes))
    spec: JsonObject = {
        "containers": [a_container(name, **draw(fields)) for name in servers],
        "initContainers": [a_container(name, **draw(fields)) for name in draw(_other_names)],
        "volumes": volumes,
    }
    for sidecar in spec["initContainers"][:1]:
        sidecar["restartPolicy"] = "Always"
    if draw(st.booleans()):
        spec |= {field: spec[field] or None for field in ("initContainers", "volumes")}
    spec |= draw(_pod_fields)
    how = draw(_how)
    if draw(st.booleans()):
        inits = [each["name"] for each in spec["initContainers"] or () if each["name"] != "modelcar-init"]
        how[str(keys.CONTAINERS)] = ", ".join(servers[:2] + inits[: draw(st.integers(0, 2))])
    metadata: JsonObject = {"name": "pod", "annotations": where | how, "unknown": draw(_unknown)}
    if managed:
        metadata["labels"] = {str(keys.INFERENCE_SERVICE): "iris"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "unknown": draw(_unknown)}


_PREFIX, _REGEX = [{"prefix": "s3://"}, {"prefix": "model"}], [{"regex": "^(hf|gs)://"}]
_OWN_ENVIRONMENT = {"env": [{"name": "HF_ENDPOINT", "value": "https://ours"}], "imagePullPolicy": "Never"}
_OWN_VOLUMES = {
    "command": ["fetch"],
    "volumeMounts": [
        *({"name": name, "mountPath": f"/etc/{name}"} for name in ("data", "scratch")),
        {"name": "mirror", "mountPath": "/etc/mirror", "readOnly": True},
    ],
}
_ADDED = [
    {"name": "data", "secret": {"secretName": "ca"}},
    {"name": "scratch", "emptyDir": {}},
    {"name": "mirror", "persistentVolumeClaim": {"claimName": "claim", "readOnly": True}},
]

settings = _some(
    storageInitializer=_some(
        enableDirectPvcVolumeMount=st.booleans(),
        enableModelcar=st.booleans(),
        ociModelMode=_one_of("modelcar", "native", "fetch"),
        ociInsecureRegistry=st.booleans(),
        uidModelcar=_one_of(0, 1010),
        caBundleConfigMapName=st.just("ca"),
    ),
    storageContainers=st.lists(
        st.fixed_dictionaries(
            {"name": st.just("own"), "container": _one_of(_OWN_ENVIRONMENT, _OWN_VOLUMES)},
            optional={"namespaces": _one_of(["mod*"], ["other"]), "supportedUriFormats": _one_of(_PREFIX, _REGEX)},
        ).map(lambda found: {**found, "volumes": _ADDED} if "volumeMounts" in found["container"] else found),
        max_size=1,
    ),
    storageDefaults=st.fixed_dictionaries(
        {"overrides": _one_of({"image": ["*"]}, {"image": ["*"], "cpuLimit": "1"})},
        optional={
            "readOnly": st.booleans(),
            "allowReadWrite": _one_of(True, ["models"]),
            "checkPath": st.booleans(),
            "emptyDir": _one_of({"sizeLimit": "5Gi"}, {"medium": "Memory"}),
            "downloadVolume": _one_of("emptyDir", {"ephemeral": {"size": "5Gi", "storageClassName": "fast"}}),
            "imagePullPolicy": _one_of("Always", "IfNotPresent"),
            "imagePullSecrets": _one_of(["registry"], ["mirror"]),
            "cpuLimit": st.just("none"),
            "ephemeralStorage": st.just({"request": "1Gi", "limit": "2Gi"}),
            "securityContext": _one_of({}, {"runAsUser": 1000}),
        },
    ),
)


# --- Invalid pods -------------------------------------------------------------------------------------------------

_texts = _one_of(
    "",
    " ",
    "\x00",
    "..",
    "//",
    "/../..",
    "[",
    "{}",
    "null",
    "pvc://",
    "pvc://c/\x00",
    "😀" * 9,
    "a" * 200_000,
    "9" * 5_000,
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spoiled(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value in which some values are replaced by arbitrary ones."""
    root = [copy.deepcopy(value)]
    for _ in range(draw(st.integers(1, 3))):
        parent, key = draw(st.sampled_from(list(_locations(root))))
        parent[key] = draw(json_values)
    return root[0]


def spoiled_pods() -> st.SearchStrategy[Any]:
    """Generated pods in which some values are replaced by arbitrary ones."""
    return pods().flatmap(spoiled)


def _locations(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _locations(inner)
