"""Environment variables of the download that the pod chooses, within the patterns of the settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from webhook import annotations as keys
from webhook.cluster.kinds import is_data_key
from webhook.errors import Denied, Forbidden, quoted
from webhook.pod.pod import JsonObject, PodDraft
from webhook.steps.credentials import s3
from webhook.steps.inputs import Inputs
from webhook.steps.storage_container import select_storage_container
from webhook.uri import is_object_name
from webhook.variables import is_name, is_secret
from webhook.wildcard import matches

MAX_VARIABLES = 100
_MAX_PATTERNS_SHOWN = 20

_EXAMPLE = '[{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}]'
_SOURCES = ("secretKeyRef", "configMapKeyRef")
_CA_BUNDLE = ("AWS_CA_BUNDLE", "AWS_CA_BUNDLE_CONFIGMAP", "CA_BUNDLE_CONFIGMAP_NAME", "CA_BUNDLE_VOLUME_MOUNT_POINT")
# AWS' own webhooks set these in each container, with a mounted token that the others do not have.
_OF_ONE_CONTAINER = frozenset(
    "AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_FULL_URI "
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE".split()
)
_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]*:[^/?#]*@")


def add_environment(pod: PodDraft, inputs: Inputs) -> None:
    """Set the variables of the pod's annotations in the init container, over those of its credentials.

    What the settings or a storage container set stays, with a warning. Raises Denied for an invalid variable or a
    secret as text, Forbidden for a name that the settings do not allow.
    """
    annotations = inputs.request.annotations
    if keys.ENV not in annotations and keys.ENV_FROM_CONTAINER not in annotations:
        return
    copied = _of_server(pod, inputs) if _is_true(annotations.get(keys.ENV_FROM_CONTAINER, "false")) else {}
    variables = copied | _of_annotation(inputs)
    _check_secrets(variables, copied)
    container = pod.edit_init_container()
    if container is None:
        pod.warnings.append(f"annotation {_given(inputs)} has no effect: the pod downloads nothing")
        return
    fixed = _set_by_administrator(container, inputs)
    pod.set_env(container, *(each for name, each in variables.items() if name not in fixed))
    pod.warnings.extend(
        f"variable {name} of annotation {_given(inputs)} is not used: {fixed[name]} sets it"
        for name in variables
        if name in fixed
    )


def _given(inputs: Inputs) -> str:
    """The annotation that the pod has; of both, the one with a list."""
    return keys.ENV if keys.ENV in inputs.request.annotations else keys.ENV_FROM_CONTAINER


def _is_true(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise Denied(f"annotation {keys.ENV_FROM_CONTAINER} {quoted(text)} is invalid: use true or false")
    return word == "true"


def _of_server(pod: PodDraft, inputs: Inputs) -> dict[str, JsonObject]:
    """The variables of the first server container that the settings allow, by name."""
    request, allowed = inputs.request, inputs.settings.storage_defaults.overrides.env
    name = next((each for each in request.targets if each not in request.init_targets), request.targets[0])
    found = {
        each["name"]: each
        for each in pod.container(name).get("env") or ()
        if matches(each["name"], allowed) and each["name"] not in _OF_ONE_CONTAINER
    }
    if len(found) > MAX_VARIABLES:
        raise Denied(
            f"annotation {keys.ENV_FROM_CONTAINER}: container {quoted(name)} has {len(found)} such variables: the "
            f"maximum is {MAX_VARIABLES}; remove the annotation, and list some in annotation {keys.ENV}"
        )
    if not found:
        pod.warnings.append(
            f"annotation {keys.ENV_FROM_CONTAINER}: container {quoted(name)} has no variable that the setting "
            f"storageDefaults.overrides.env allows (those of envFrom cannot be seen): use annotation {keys.ENV}"
        )
    return found


def _of_annotation(inputs: Inputs) -> dict[str, JsonObject]:
    """The variables in the annotation, by name. No message shows a value: it may be a secret."""
    text = inputs.request.annotations.get(keys.ENV)
    if text is None:
        return {}
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise Denied(f"annotation {keys.ENV} is not JSON: write {_EXAMPLE}") from None
    if not isinstance(items, list) or not 0 < len(items) <= MAX_VARIABLES:
        raise Denied(f"annotation {keys.ENV} must be a list of 1 to {MAX_VARIABLES} variables: write {_EXAMPLE}")
    variables: dict[str, JsonObject] = {}
    for index, item in enumerate(items):
        variable = _parsed(item, f"annotation {keys.ENV}, entry {index + 1}")
        if variable["name"] in variables:
            raise Denied(f"annotation {keys.ENV} has the variable {quoted(variable['name'])} twice: remove one")
        variables[variable["name"]] = variable
    _check_allowed(variables, inputs.settings.storage_defaults.overrides.env)
    return variables


def _parsed(item: Any, origin: str) -> JsonObject:
    if not isinstance(item, dict) or not (set(item) == {"name", "value"} or set(item) == {"name", "valueFrom"}):
        raise Denied(f'{origin} must be an object with "name", and either "value" or "valueFrom": write {_EXAMPLE}')
    name = item["name"]
    if not isinstance(name, str) or not is_name(name):
        raise Denied(f"{origin}: {quoted(name)} is not the name of a variable: use letters, digits and _")
    if "value" in item:
        if not isinstance(item["value"], str):
            raise Denied(f"{origin}: the value of {name} must be a string: put it into quotes")
        return {"name": name, "value": item["value"]}
    return {"name": name, "valueFrom": _reference(item["valueFrom"], f"{origin}: valueFrom of {name}")}


def _reference(source: Any, origin: str) -> JsonObject:
    kind = next(iter(source), "") if isinstance(source, dict) and len(source) == 1 else ""
    found = source[kind] if kind in _SOURCES else None
    if not isinstance(found, dict) or not {"name", "key"} <= set(found) <= {"name", "key", "optional"}:
        raise Denied(f'{origin} must be a secretKeyRef or a configMapKeyRef with "name" and "key": write {_EXAMPLE}')
    name, key, optional = found["name"], found["key"], found.get("optional", False)
    if not isinstance(name, str) or not is_object_name(name):
        raise Denied(f"{origin}: {quoted(name)} is not a valid name: use lower-case letters, digits, '-' and '.'")
    if not isinstance(key, str) or not is_data_key(key):
        raise Denied(f"{origin}: {quoted(key)} is not a valid key: use letters, digits, '-', '_' and '.'")
    if not isinstance(optional, bool):
        raise Denied(f'{origin}: "optional" must be true or false, without quotes')
    return {kind: {"name": name, "key": key, **({"optional": True} if optional else {})}}


def _check_allowed(names: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for name in names:
        if not matches(name, allowed):
            shown = ", ".join(allowed[:_MAX_PATTERNS_SHOWN]) or "none"
            raise Forbidden(
                f"annotation {keys.ENV}: variable {quoted(name)} is not allowed: the setting "
                f"storageDefaults.overrides.env allows {shown}"
            )


def _check_secrets(variables: Mapping[str, JsonObject], copied: Mapping[str, JsonObject]) -> None:
    """Raise Denied for a secret as text, without showing it: everybody who can read the pod could read it."""
    for name, variable in variables.items():
        text = variable.get("value")
        if text and (is_secret(name) or _PASSWORD.match(text)):
            is_copied = variable is copied.get(name)
            origin = f"annotation {keys.ENV_FROM_CONTAINER if is_copied else keys.ENV}: variable {quoted(name)}"
            what = "is a secret" if is_secret(name) else "contains a password"
            where = " in the container" if is_copied else ""
            raise Denied(f"{origin} {what}, which must not be text: take it from a Secret with valueFrom{where}")


def _set_by_administrator(container: JsonObject, inputs: Inputs) -> dict[str, str]:
    """The variables that pods cannot set, by name, each with what sets it."""
    settings = inputs.settings
    present = {variable["name"] for variable in container.get("env") or ()}
    fixed = {
        each["name"]: "the setting credentials.s3"
        for each in s3.connection_variables(settings.credentials.s3, s3.NO_DATA)
        if each["name"] in present
    }
    if settings.storage_initializer.ca_bundle_config_map_name:
        fixed |= dict.fromkeys(_CA_BUNDLE, "the setting storageInitializer.caBundleConfigMapName")
    return fixed | dict(_of_storage_container(inputs))


def _of_storage_container(inputs: Inputs) -> Iterator[tuple[str, str]]:
    if selected := select_storage_container(inputs):
        for variable in selected.container.get("env") or ():
            yield variable["name"], selected.title
