"""Parsing of ConfigMap data: unknown keys are warnings in KServe's groups, and errors in `storageDefaults`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError

from webhook import yaml_loader
from webhook.errors import quoted
from webhook.settings.kserve_keys import Credentials, Deploy, StorageInitializer
from webhook.settings.model import Settings
from webhook.settings.probable_mistakes import probable_mistakes
from webhook.settings.storage_containers import StorageContainerSettings, check_together
from webhook.settings.storage_defaults import StorageDefaults

Group = StorageInitializer | Credentials | Deploy | StorageDefaults | StorageContainerSettings
KEYS = (
    StorageInitializer.key,
    Credentials.key,
    Deploy.key,
    StorageDefaults.key,
    StorageContainerSettings.key,
)
"""The keys of the ConfigMap that the webhook reads."""


MAX_TEXT = 128 * 1024
"""The maximum length of a key's text, in characters. A ConfigMap has at most 1 MiB, and other keys of it are larger."""
MAX_VALUES = 3_000
"""The maximum number of values in a key: each one costs microseconds, and a webhook's caller may send any settings."""
# In YAML a key is a node of its own, and so is an alias.
_MAX_YAML_NODES = 3 * MAX_VALUES
MAX_PROBLEMS = 20
"""The maximum number of problems, or warnings, that are described. The last one gives the number of the others."""
# Of a name or reason in a message, in characters.
_MAX_NAME = 120
_MAX_REASON = 1_000
# Names that are longer resemble none, and comparing them is slow.
_MAX_COMPARED = 64
_MAX_KEYS_COMPARED = 1_000


@dataclass(frozen=True, slots=True)
class Problem:
    """An invalid or questionable key, as a dotted path that starts with the key of the ConfigMap, and the reason."""

    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class SettingsError(Exception):
    """The settings are invalid; `problems` lists invalid keys with their reasons, at most `MAX_PROBLEMS`."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = _first(problems)
        super().__init__("; ".join(map(str, self.problems)))


def _first(problems: list[Problem]) -> list[Problem]:
    """The problems that are described, cut to a length that a message may have."""
    shown = [Problem(each.key[:_MAX_REASON], each.reason[:_MAX_REASON]) for each in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        last = shown[-1]
        shown[-1] = Problem(last.key, f"{last.reason} (and {len(problems) - MAX_PROBLEMS:,} more problems)")
    return shown


def parse(data: Mapping[str, Any]) -> tuple[Settings, list[Problem]]:
    """Parse the `data` of a ConfigMap. Returns the settings, and warnings about probable mistakes.

    Values are JSON or YAML strings, or objects. Other keys of the ConfigMap belong to KServe and are ignored; missing
    keys have KServe's defaults. null and "" mean absent, and names are not case-sensitive. Unknown names are warnings
    in KServe's groups, and problems in `storageDefaults`. Raises SettingsError with all problems, up to
    MAX_PROBLEMS of them, and for a key with more than MAX_TEXT characters or MAX_VALUES values.
    """
    problems: list[Problem] = []
    warnings = _misspelled_keys(data)
    groups: dict[str, Any] = {}
    for group in (StorageInitializer, Credentials, Deploy):
        groups[group.key] = _read(group, data.get(group.key), problems, warnings)
    groups[StorageDefaults.key] = _read(StorageDefaults, data.get(StorageDefaults.key), problems, problems)
    storage_containers = _read_list(data.get(StorageContainerSettings.key), problems)
    if problems:
        raise SettingsError(problems)
    settings = Settings.model_construct(
        storage_initializer=groups[StorageInitializer.key],
        credentials=groups[Credentials.key],
        deploy=groups[Deploy.key],
        storage_defaults=groups[StorageDefaults.key],
        storage_container_settings=storage_containers,
    )
    return settings, _first(warnings + [Problem(*each) for each in probable_mistakes(settings)])


def require_keys(data: Mapping[str, Any]) -> None:
    """Raise SettingsError when the data has none of KEYS: it is the wrong ConfigMap, or an empty one."""
    if not any(key in data for key in KEYS):
        found = f"; found {', '.join(map(_format, islice(data, 10)))}" if data else "; it is empty"
        raise SettingsError([Problem("data", f"has none of the keys {', '.join(KEYS)}{found}")])


def _misspelled_keys(data: Mapping[str, Any]) -> list[Problem]:
    """Warnings about ignored keys of the ConfigMap that resemble one of KEYS."""
    return [
        Problem(str(key), f"is ignored; did you mean {match[0]}?")
        for key in islice(data, _MAX_KEYS_COMPARED)
        if key not in KEYS and (match := _closest(str(key), KEYS, cutoff=0.85))
    ]


def _read(group: type[Group], value: Any, problems: list[Problem], unknown: list[Problem]) -> Any:
    try:
        return _validated(group, _parse_object(value), group.key, problems, unknown)
    except ValueError as error:
        problems.append(Problem(group.key, str(error)))
    return None


def _validated(
    group: type[Group], value: dict[Any, Any], path: str, problems: list[Problem], unknown: list[Problem]
) -> Any:
    try:
        return group.model_validate(_known_fields(group, value, path, unknown))
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems.extend(_problem(path, each) for each in details[:MAX_PROBLEMS])
        problems.extend(Problem(path, each["msg"]) for each in details[MAX_PROBLEMS:])
    return None


def _read_list(value: Any, problems: list[Problem]) -> tuple[StorageContainerSettings, ...]:
    """The storage containers, each validated on its own and then all together."""
    key, before = StorageContainerSettings.key, len(problems)
    try:
        items = _parse_list(value)
        found = [_validated(StorageContainerSettings, item, f"{key}.{i}", problems, problems) for i, item in items]
        if len(problems) == before:
            check_together(found)
            return tuple(found)
    except ValueError as error:
        problems.append(Problem(key, str(error)))
    return ()


def _parse_list(value: Any) -> Iterable[tuple[int, dict[Any, Any]]]:
    """The objects of a list with their positions. Raises ValueError when it is not a list of objects."""
    items = _parse_value(value)
    if items is None or items == {}:
        return ()
    if not isinstance(items, list):
        raise ValueError(f"must be a list, not {_format(items)}")
    for item in items:
        if not isinstance(item, dict):
            raise ValueError(f"must be a list of objects, not {_format(item)}")
    return enumerate(items)


def _parse_object(value: Any) -> dict[Any, Any]:
    """Return the object, parsed from JSON or YAML when it is a string. Raises ValueError when it is not an object."""
    value = _parse_value(value)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"must be an object, not {_format(value)}")
    return value


def _parse_value(value: Any) -> Any:
    """Return the value, parsed from JSON or YAML when it is a string. Raises ValueError when it is too large."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ValueError(f"is {len(value):,} characters long: the maximum is {MAX_TEXT:,}")
        documents = yaml_loader.load(value, _MAX_YAML_NODES)
        if len(documents) > 1:
            raise ValueError("must be one YAML document, without `---` separators")
        value = documents[0] if documents else None
    _check_number(value)
    return value


def _check_number(value: Any) -> None:
    """Raise ValueError when an object has too many values, or too long strings, in all."""
    number = size = 0
    rest = [value]
    while rest:
        each = rest.pop()
        number += 1 + len(each) if isinstance(each, dict | list) else 0
        if number > MAX_VALUES:
            raise ValueError(f"has more than {MAX_VALUES:,} values")
        if isinstance(each, dict):
            size += sum(len(str(key)) for key in each)
            rest.extend(each.values())
        elif isinstance(each, list):
            rest.extend(each)
        elif isinstance(each, str):
            size += len(each)
        if size > MAX_TEXT:
            raise ValueError(f"has more than {MAX_TEXT:,} characters")


def _known_fields(group: type[BaseModel], value: dict[Any, Any], path: str, unknown: list[Problem]) -> dict[str, Any]:
    """Return the known fields of a group, and add the others to `unknown`.

    As in KServe, names are not case-sensitive, and null and "" mean absent.
    """
    fields = {field.alias or name: _group_of(field.annotation) for name, field in group.model_fields.items()}
    names = {name.lower(): name for name in fields}
    known: dict[str, Any] = {}
    for key, inner in value.items():
        name = names.get(str(key).lower())
        if name is None:
            # Those after the first are only counted.
            suggestion = _suggestion(str(key), fields) if len(unknown) < MAX_PROBLEMS else ""
            unknown.append(Problem(f"{path}.{_cut(key)}", f"unknown key{suggestion}"))
        elif inner is not None and inner != "":
            nested = fields[name]
            known[name] = (
                _known_fields(nested, inner, f"{path}.{name}", unknown) if nested and _is_object(inner) else inner
            )
    return known


def _cut(name: Any) -> str:
    text = str(name)
    return text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "…"


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _group_of(annotation: Any) -> type[BaseModel] | None:
    """The model class of a field's annotation, if there is one."""
    candidates = (annotation, *getattr(annotation, "__args__", ()))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _suggestion(key: str, names: Iterable[str]) -> str:
    match = _closest(key, names, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else f"; known keys: {', '.join(sorted(names))}"


def _closest(key: str, names: Iterable[str], cutoff: float) -> list[str]:
    if len(key) > _MAX_COMPARED:
        return []
    lowered = {name.lower(): name for name in names}
    return [lowered[match] for match in difflib.get_close_matches(key.lower(), lowered, n=1, cutoff=cutoff)]


# Messages for pydantic's error types. A key also matches the types that start with it and "_".
_REASONS = {
    "bool": "must be true or false",
    "string": "must be a string (use quotes)",
    "int": "must be an integer",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length} items",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be {expected}",
    "tuple": "must be a list",
    "list": "must be a list",
    "dict": "must be an object",
    "model": "must be an object",
    "missing": "is missing",
    "extra_forbidden": "unknown key",
}


def _problem(key: str, details: Any) -> Problem:
    path = ".".join(_cut(part) for part in (key, *details["loc"]))
    kind, context = details["type"], details.get("ctx", {})
    reason = _REASONS.get(kind) or _REASONS.get(kind.partition("_")[0])
    if reason is None:
        return Problem(path, _append_value(details["msg"].removeprefix("Value error, "), details["input"]))
    return Problem(path, _append_value(reason.format(**context), details["input"]))


def _append_value(reason: str, value: Any) -> str:
    return reason if isinstance(value, BaseModel | dict) else f"{reason}, not {_format(value)}"


def _format(value: Any) -> str:
    """Format a value for a message: as in YAML, and shortened."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    try:
        return quoted(value) if isinstance(value, str) else quoted(value)[1:-1]
    except ValueError:  # Python does not convert integers with thousands of digits
        return "a very long number"
