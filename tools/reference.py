"""Generate docs/reference.md from the code: annotations, settings, skip reasons and denials.

A test checks that the file is up to date.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from webhook import annotations as keys
from webhook.request.model_request import SKIP_REASONS
from webhook.settings.kserve_keys import Credentials, Deploy, StorageInitializer
from webhook.settings.model import EMBEDDED
from webhook.settings.storage_containers import StorageContainerSettings
from webhook.settings.storage_defaults import StorageDefaults

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "reference.md"

_HEAD = """# Reference

Generated from the code by `make docs`. Do not edit.
"""
_OWN_GROUPS = (StorageInitializer, Credentials, Deploy, StorageDefaults, StorageContainerSettings)
_STATUS = {"Denied": "422", "Forbidden": "403"}


def reference() -> str:
    """The page as Markdown."""
    parts = (_HEAD, _annotations(), _settings(), _how_tos(), _skip_reasons(), _denials())
    return "\n".join(parts)


def _table(*rows: tuple[str, ...]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in lines)


# --- Annotations and labels ---------------------------------------------------------------------------------------


def _annotations() -> str:
    ours = [key for key in keys.ALL if key.startswith(keys.PREFIX)]
    others = [key for key in keys.ALL if not key.startswith(keys.PREFIX)]
    return (
        "## Annotations and labels\n\n### Ours\n\n"
        + _key_table(ours)
        + "\n### KServe's, Istio's and kubectl's\n\n"
        + "Keys with the prefix `internal.serving.kserve.io/` are used only on pods with the label "
        + f"`{keys.INFERENCE_SERVICE}`.\n\n"
        + _key_table(others)
    )


def _key_table(found: list[keys.Key]) -> str:
    rows = ((f"`{key}`", key.meaning, key.values) for key in found)
    return _table(("Key", "Meaning", "Values"), *rows)


# --- Settings -----------------------------------------------------------------------------------------------------


def _settings() -> str:
    intro = (
        "## Settings\n\nKeys of the ConfigMap. Each value is JSON or YAML text. Unknown settings are an error in "
        "`storageDefaults` and `storageContainers`, and a warning in KServe's keys.\n"
    )
    return intro + _embedded() + "".join(_setting_group(group) for group in _OWN_GROUPS)


def _embedded() -> str:
    """The settings of `--settings embedded` that differ from the defaults of keys that a ConfigMap leaves out."""
    initializer = EMBEDDED.storage_initializer
    different = ", ".join(
        f"`{field.alias or name}` is `{str(value).lower() if isinstance(value, bool) else value}`"
        for name, field in StorageInitializer.model_fields.items()
        if (value := getattr(initializer, name)) != field.default
    )
    return (
        "\nThe defaults below apply to keys that a ConfigMap leaves out, as in KServe's code. The embedded settings "
        f"and the chart's values are those of KServe's own ConfigMap: {different}.\n"
    )


def _setting_group(group: Any) -> str:
    title = (group.__doc__ or "").partition(": ")[2]
    rows = _fields(group, "")
    return f"\n### `{group.key}`\n\n{title[:1].upper()}{title[1:]}\n\n" + _table(
        ("Setting", "Default", "Type", "Meaning"), *rows
    )


def _fields(group: type[BaseModel], prefix: str) -> Iterator[tuple[str, ...]]:
    for name, field in group.model_fields.items():
        path = prefix + (field.alias or name)
        nested = _nested(field.annotation)
        if nested is not None:
            yield from _fields(nested, path + ("[]." if "tuple" in str(field.annotation) else "."))
        else:
            yield f"`{path}`", _default(field), _type(field.annotation), field.description or ""


def _nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_nested, get_args(annotation))), None)


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.is_required():
        return "required"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return " ".join(f"`{item}`" for item in value) or "none"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else "empty"


_TYPE_NAMES = {str: "text", int: "number", bool: "true or false", dict: "object", tuple: "list", type(None): ""}


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type(get_args(annotation)[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" if value else "empty" for value in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(filter(None, map(_type, get_args(annotation))))
    return _TYPE_NAMES.get(origin or annotation, "object")


HOW_TOS: dict[str, str] = {
    keys.CONTAINERS: "download-options.md#init-containers-that-read-the-model",
    keys.ENV: "download-options.md#environment-variables",
    keys.ENV_FROM_CONTAINER: "download-options.md#environment-variables",
    "storageDefaults.overrides.env": "download-options.md#environment-variables",
    "storageDefaults.downloadVolume": "download-options.md#a-volume-of-its-own-for-each-download",
    "storageDefaults.imagePullPolicy": "download-options.md#the-image-of-the-initializer",
    "storageDefaults.imagePullSecrets": "download-options.md#the-image-of-the-initializer",
    "storageDefaults.cpuLimit": "download-options.md#no-cpu-limit",
    "storageContainers": "storage-containers.md",
    "storageContainers[].namespaces": "storage-containers.md#a-place-for-each-tenant",
}
"""Keys of annotations and settings, with the part of a page that shows how to use them."""


def _how_tos() -> str:
    rows = ((f"`{key}`", f"[{target}]({target})") for key, target in HOW_TOS.items())
    return "## How-tos\n\nFor keys that take more than a line to explain.\n\n" + _table(("Key", "Page"), *rows)


# --- Skip reasons and denials -------------------------------------------------------------------------------------


def _skip_reasons() -> str:
    rows = ((f"`{reason}`", meaning) for reason, meaning in SKIP_REASONS.items())
    return (
        "## Skip reasons\n\nReported in the log, in the metric "
        '`storage_webhook_admissions_total{outcome="skipped"}` and in the '
        "audit annotation `reason`.\n\n" + _table(("Reason", "Meaning"), *rows)
    )


def _denials() -> str:
    found = sorted({denial for path in sorted((ROOT / "webhook").rglob("*.py")) for denial in _denials_in(path)})
    return (
        "\n## Denials\n\nMessages for the author of a pod or Deployment. `…` is a placeholder for a name or value. "
        "422: the content is invalid. 403: the settings do not allow it.\n\n" + _table(("Message", "Code"), *found)
    )


def _denials_in(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if name in _STATUS and isinstance(node, ast.Call) and node.args:
            message = "".join(_message_parts(node.args[0]))
            if message.strip("… "):
                yield message, _STATUS[name]


def _message_parts(node: ast.expr) -> Iterator[str]:
    """The constant parts of a message, with `…` for each value."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            yield from _message_parts(part)
    elif isinstance(node, ast.BinOp):
        yield from _message_parts(node.left)
        yield from _message_parts(node.right)
    elif isinstance(node, ast.FormattedValue):
        yield _annotation_name(node.value)
    else:
        yield "…"


def _annotation_name(node: ast.expr) -> str:
    """The name of an annotation if the node is one of its constants, such as `keys.URI` or `URI`; else `…`."""
    name = ast.unparse(node).removeprefix("keys.")
    value = getattr(keys, name, None) if name.isidentifier() else None
    return str(value) if isinstance(value, keys.Key) else "…"


if __name__ == "__main__":
    TARGET.write_text(reference())
