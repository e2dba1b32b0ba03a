"""Storage specs: the URI and the credentials from an entry of the storage-config Secret.

KServe: `spec.predictor.model.storage`. The init container gets a reference to the entry, never its content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import structs

from webhook import annotations as keys
from webhook import uri as storage_uri
from webhook.cluster.facts import Facts, StorageEntry
from webhook.cluster.lookups import downloads_from_storage, has_storage_spec, named_secret, storage_secret
from webhook.errors import Denied, quoted
from webhook.pod.pod import JsonObject, PodDraft, secret_variable
from webhook.request.model_request import ModelRequest, Source
from webhook.settings.model import Settings
from webhook.steps.inputs import Inputs

SCHEME_PLACEHOLDER = "<scheme-placeholder>://"

_TYPES = ("s3", "hdfs", "webhdfs")
_TYPES_WITH_BUCKET = ("s3",)
_DEFAULT_ENTRY = "default"


class StorageSpec(NamedTuple):
    """A pod's storage spec, combined with its entry in the Secret."""

    type: str
    bucket: str
    params: Mapping[str, str]
    secret: str
    key: str
    """The key of the entry in the Secret."""
    has_entry: bool
    ca_bundle_config_map: str


def resolve(request: ModelRequest, facts: Facts, settings: Settings) -> ModelRequest:
    """Replace the scheme placeholder in the request's URIs: `<scheme-placeholder>://p` becomes `s3://<bucket>/p`.

    Raises Denied when the storage spec is missing, or has no type or bucket.
    """
    if not any(source.uri.startswith(SCHEME_PLACEHOLDER) for source in request.downloaded):
        return request
    spec = read_spec(request, facts, settings)
    if spec is None:
        origin = request.downloaded[0].origin
        raise Denied(
            f"{origin} begins with {SCHEME_PLACEHOLDER}, which is valid only with a storage spec: use a complete "
            f'URI, such as "s3://bucket/model", or set annotation {keys.STORAGE_SPEC} to "true"'
        )
    return structs.replace(request, sources=tuple(_resolved(source, spec) for source in request.sources))


def add_storage_config(pod: PodDraft, inputs: Inputs) -> None:
    """Set the storage spec's variables in the init container: a reference to the entry, and the pod's parameters."""
    spec = read_spec(inputs.request, inputs.facts, inputs.settings)
    if spec is None or (container := pod.edit_init_container()) is None:
        return
    pod.set_env(container, *_variables(spec))
    is_named = named_secret(inputs.request, inputs.settings) is not None
    if is_named and not spec.has_entry and spec.secret in inputs.facts.storage_configs:
        pod.warnings.append(
            f"Secret {quoted(spec.secret)}, named by the pod, does not exist or has no entry {quoted(spec.key)}: the "
            f"download gets no credentials; add the entry, or name one in annotation {keys.STORAGE_SPEC_KEY}"
        )


def read_spec(request: ModelRequest, facts: Facts, settings: Settings) -> StorageSpec | None:
    """The pod's storage spec, combined with its entry in the Secret; None when the pod has none.

    Raises Denied when the parameters are not a JSON object of strings, a named entry is missing, or the type is
    missing or not supported.
    """
    if not has_storage_spec(request) or not downloads_from_storage(request):
        return None
    params = _read_params(request)
    secret = storage_secret(request, settings)
    key, entry = _find_entry(request, facts, settings, params.get("type", ""))
    location = f"entry {quoted(key)} of Secret {quoted(secret)}"
    return StorageSpec(
        type=params.get("type") or _type_of(entry, location),
        bucket=params.get("bucket") or (entry.bucket if entry else ""),
        params=params,
        secret=secret,
        key=key,
        has_entry=entry is not None,
        ca_bundle_config_map=entry.ca_bundle_config_map if entry else "",
    )


def _read_params(request: ModelRequest) -> Mapping[str, str]:
    text = request.annotations.get(keys.STORAGE_SPEC_PARAM)
    if text is None:
        return {}
    try:
        params = json.loads(text)
    except (ValueError, RecursionError):
        params = text
    if params is None:
        return {}
    if not isinstance(params, dict) or not all(isinstance(value, str) for value in params.values()):
        raise Denied(
            f"annotation {keys.STORAGE_SPEC_PARAM} must be a JSON object of strings, such as "
            '{"type": "s3", "bucket": "models"}'
        )
    return params


def _find_entry(
    request: ModelRequest, facts: Facts, settings: Settings, storage_type: str
) -> tuple[str, StorageEntry | None]:
    """The entry's key and the entry. A default entry is optional."""
    named = request.annotations.get(keys.STORAGE_SPEC_KEY)
    default = f"{_DEFAULT_ENTRY}_{storage_type}" if storage_type else _DEFAULT_ENTRY
    key = named or default
    secret = storage_secret(request, settings)
    entries = facts.storage_configs.get(secret)
    if named and secret in facts.storage_configs and (entries is None or named not in entries):
        # Nobody may learn the keys of a Secret by guessing one.
        problem = "does not exist" if entries is None else "does not have this entry"
        raise Denied(
            f"annotation {keys.STORAGE_SPEC_KEY} {quoted(named)} names an entry of Secret {quoted(secret)} in "
            f"namespace {quoted(request.namespace)}, which {problem}: add the entry, or name another"
        )
    return key, (entries or {}).get(key)


def _type_of(entry: StorageEntry | None, location: str) -> str:
    if entry is None or (entry.is_object and not entry.type):
        raise Denied(
            f"the storage spec has no storage type, and {location} does not exist or has no type either: "
            f'add "type" to the entry, or to annotation {keys.STORAGE_SPEC_PARAM}'
        )
    if not entry.is_object:
        raise Denied(f'{location} is not a JSON object, such as {{"type": "s3", "bucket": "models"}}')
    if entry.type not in _TYPES:
        # The type is not shown: the entry may be any Secret's, and not a storage spec's at all.
        raise Denied(f"{location} has a type that is not supported: use one of {', '.join(_TYPES)}")
    return entry.type


def _resolved(source: Source, spec: StorageSpec) -> Source:
    if not source.uri.startswith(SCHEME_PLACEHOLDER):
        return source
    path = source.uri.removeprefix(SCHEME_PLACEHOLDER)
    if spec.type in _TYPES_WITH_BUCKET:
        if not spec.bucket:
            raise Denied(
                f'the storage spec has type {spec.type} but no bucket: add "bucket" to its entry in Secret '
                f"{quoted(spec.secret)}, or to annotation {keys.STORAGE_SPEC_PARAM}"
            )
        path = f"{spec.bucket}/{path}"
    return source._replace(uri=storage_uri.check(f"{spec.type}://{path}", source.origin), written=source.uri)


def _variables(spec: StorageSpec) -> list[JsonObject]:
    """The environment variables, in the same order as KServe."""
    variables: list[JsonObject] = []
    if spec.ca_bundle_config_map:
        variables.append({"name": "AWS_CA_BUNDLE_CONFIGMAP", "value": spec.ca_bundle_config_map})
    if spec.has_entry:
        variables.append(secret_variable("STORAGE_CONFIG", spec.secret, spec.key))
    if spec.params:
        overrides = json.dumps(spec.params, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        variables.append({"name": "STORAGE_OVERRIDE_CONFIG", "value": overrides})
    return variables
