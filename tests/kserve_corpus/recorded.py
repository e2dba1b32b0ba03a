"""Pods with KServe's recorded responses, this webhook's outcome for each, and the comparison of the two.

A pod is compared as `Fields`: one entry for each container, variable, mount and volume, whatever their order.
`tests/fixtures/kserve-corpus/README.md` describes the recording.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from webhook import quantity
from webhook.admission import pods
from webhook.admission.outcome import Outcome
from webhook.offline.facts_file import FactsFile
from webhook.settings.model import Settings
from webhook.settings.parse import parse

JsonObject = dict[str, Any]
Fields = dict[tuple[str, ...], Any]
"""The fields of a pod by their path, such as `("initContainers", "storage-initializer", "env", "HF_TOKEN")`."""

INITIALIZER = "storage-initializer"
ABSENT = None
"""A field that one of the two pods does not have."""

_CORPUS = Path(__file__).parents[1] / "fixtures" / "kserve-corpus" / "cases.jsonl.gz"
_NOT_STORAGE = ("serving.kserve.io/enable-metric-aggregation", "serving.kserve.io/enable-prometheus-scraping")
_ITEMS = {"env": "name", "volumeMounts": "mountPath"}
_REFERENCE = re.compile(r"\$\(([^)]+)\)")


class Case:
    """One pod of the corpus, its cluster, and KServe's response."""

    def __init__(self, recorded: JsonObject) -> None:
        """`recorded` is one line of the corpus."""
        self.id: str = recorded["id"]
        self.pod: JsonObject = recorded["pod"]
        self.namespace: str = recorded["namespace"]
        self.kserve: JsonObject = recorded["kserve"]
        self.config: Mapping[str, str] = recorded["config"]
        self.secrets: list[JsonObject] = recorded["secrets"]
        self.accounts: list[JsonObject] = recorded["serviceAccounts"]
        self.storage_containers: list[JsonObject] = recorded["storageContainers"]
        self.annotations: Mapping[str, str] = self.pod["metadata"].get("annotations") or {}
        self.labels: Mapping[str, str] = self.pod["metadata"].get("labels") or {}
        self.spec: JsonObject = self.pod["spec"]

    @property
    def service_account(self) -> JsonObject | None:
        """The pod's service account; None when it does not exist."""
        name = self.spec.get("serviceAccountName") or "default"
        return next((each for each in self.accounts if each["metadata"]["name"] == name), None)

    @property
    def named_secret(self) -> str | None:
        """The Secret that the pod names for its credentials, by the annotations that count for this webhook."""
        known = self.settings.credentials.secret_annotations
        return next((self.annotations[key] for key in known if key in self.annotations), None)

    @property
    def storage_parameters(self) -> JsonObject:
        """The parameters of the storage spec; empty when they are not a JSON object."""
        try:
            found = json.loads(self.annotations.get("internal.serving.kserve.io/storage-spec-param", "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def credentials(self) -> JsonObject:
        """The key `credentials` of the ConfigMap, as it is written."""
        found: JsonObject = json.loads(self.config.get("credentials") or "{}")
        return found

    @property
    def own_containers(self) -> list[JsonObject]:
        """The containers and init containers of the pod before injection."""
        return [*self.spec["containers"], *(self.spec.get("initContainers") or ())]

    def secret(self, name: str | None) -> JsonObject:
        """The Secret of this name; an empty object when it does not exist."""
        return next((each for each in self.secrets if each["metadata"]["name"] == name), {})

    @property
    def written_uri(self) -> str:
        """The model's URI, as the annotation has it."""
        return self.annotations.get("internal.serving.kserve.io/storage-initializer-sourceuri", "")

    @property
    def uri(self) -> str:
        """The model's URI, without white space around it."""
        return self.written_uri.strip()

    @property
    def image_mode(self) -> str | None:
        """How an image is delivered; None for other URIs, and when OCI is off."""
        mode = self.settings.storage_initializer.oci_mode
        if mode is None or not self.uri.startswith(("oci://", "oci+")):
            return None
        return mode if self.uri.startswith("oci://") else self.uri.partition("://")[0].removeprefix("oci+")

    @property
    def settings(self) -> Settings:
        """The webhook's settings from the recorded ConfigMap."""
        return _settings(tuple(sorted(self.config.items())))

    @property
    def objects(self) -> list[JsonObject]:
        """The recorded objects of the cluster."""
        return [*self.secrets, *self.accounts, *self.storage_containers]

    def decide(self) -> Outcome:
        """This webhook's outcome for the pod."""
        request = pods.read(self.pod, self.namespace, self.settings)
        if isinstance(request, Outcome):
            return request
        facts = FactsFile(self.objects).facts(request, self.settings)
        return pods.apply(self.pod, request, self.settings, facts)


@cache
def _settings(config: tuple[tuple[str, str], ...]) -> Settings:
    return parse(dict(config))[0]


def cases() -> Iterator[Case]:
    """The cases of the corpus."""
    with gzip.open(_CORPUS, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield Case(json.loads(line))


def fields(pod: JsonObject) -> Fields:
    """The fields of a pod that storage injection can change.

    Left out are fields that mean the same when they are absent, the namespace, which KServe's recording adds, and
    annotations that are not about storage.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    found: Fields = {}
    for kind in ("labels", "annotations"):
        for key, value in (metadata.get(kind) or {}).items():
            if key not in _NOT_STORAGE:
                found[kind, key] = value
    for key, value in spec.items():
        if key not in ("containers", "initContainers", "volumes") and value not in ([], {}):
            found["spec", key] = value
    for volume in spec.get("volumes") or ():
        found["volumes", volume["name"]] = _without_defaults(volume)
    for kind in ("containers", "initContainers"):
        found[kind, "order"] = [container["name"] for container in spec.get(kind) or ()]
        for container in spec.get(kind) or ():
            found.update(_container_fields((kind, container["name"]), container))
    return found


def _container_fields(path: tuple[str, ...], container: JsonObject) -> Fields:
    found: Fields = {}
    for key, value in container.items():
        if key in _ITEMS:
            for item in value or ():
                place = (*path, key, item[_ITEMS[key]])
                found[(*place, item["name"]) if place in found and key == "volumeMounts" else place] = _item(item)
        elif key == "securityContext":
            found.update({(*path, key, name): inner for name, inner in (value or {}).items() if inner not in ({}, [])})
        elif key == "resources":
            found.update(_resource_fields((*path, key), value or {}))
        elif value not in ("", [], {}):
            found[(*path, key)] = value
    found.update(_order_of_references((*path, "env order"), container.get("env") or ()))
    return found


def _order_of_references(path: tuple[str, ...], variables: Any) -> Fields:
    """For each variable with `$(VAR)`, the variables that it refers to and that are defined before it."""
    before: set[str] = set()
    found: Fields = {}
    for variable in variables:
        if references := set(_REFERENCE.findall(variable.get("value") or "")):
            found[(*path, variable["name"])] = sorted(references & before)
        before.add(variable["name"])
    return found


def _resource_fields(path: tuple[str, ...], resources: JsonObject) -> Fields:
    return {
        (*path, kind, name): quantity.parse(amount)
        for kind, amounts in resources.items()
        for name, amount in amounts.items()
    }


def _item(item: JsonObject) -> JsonObject:
    """A variable or a mount without defaults. A JSON object in a variable is compared as an object."""
    plain = _without_defaults(item)
    if plain["name"] == "STORAGE_OVERRIDE_CONFIG" and "value" in plain:
        plain["value"] = json.loads(plain["value"])
    return plain


def _without_defaults(item: JsonObject) -> JsonObject:
    return {key: _without_empty(value) for key, value in item.items() if value not in ("", False)}


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_empty(inner) for key, inner in value.items() if inner != {}}
