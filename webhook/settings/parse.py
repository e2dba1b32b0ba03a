"""ConfigMap data in, settings out: lenient where KServe may add keys, strict in our own."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from webhook import quantity, yaml_text
from webhook.errors import shown
from webhook.settings.model import Credentials, Deploy, Settings, StorageDefaults, StorageInitializer

Group = StorageInitializer | Credentials | Deploy | StorageDefaults
KEYS = (StorageInitializer.key, Credentials.key, Deploy.key, StorageDefaults.key)
"""The keys of the ConfigMap that are read."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One key that is wrong, as a dotted path from the ConfigMap's key on, and why."""

    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class SettingsError(Exception):
    """The settings cannot be used; `problems` names every bad key with its reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def parse(data: Mapping[str, Any]) -> tuple[Settings, list[Problem]]:
    """A ConfigMap's `data` as settings, with a warning for each thing that is probably not meant.

    Values are JSON or YAML texts, or already objects (bare settings). Other keys of the ConfigMap belong to
    KServe and are ignored; missing keys take KServe's defaults. In KServe's keys null and "" mean absent, names
    count in any case, and names that we do not know are warnings. Raises SettingsError with every problem found.
    """
    problems: list[Problem] = []
    warnings = _misspelt(data)
    groups: dict[str, Any] = {}
    for group in (StorageInitializer, Credentials, Deploy):
        groups[group.key] = _read(group, data.get(group.key), problems, warnings)
    groups[StorageDefaults.key] = _read(StorageDefaults, data.get(StorageDefaults.key), problems, problems)
    if problems:
        raise SettingsError(problems)
    settings = Settings.model_construct(
        storage_initializer=groups[StorageInitializer.key],
        credentials=groups[Credentials.key],
        deploy=groups[Deploy.key],
        storage_defaults=groups[StorageDefaults.key],
    )
    return settings, warnings + _doubts(settings)


def require_keys(data: Mapping[str, Any]) -> None:
    """Raises SettingsError when none of our keys is there: that is another ConfigMap, or an emptied one."""
    if not any(key in data for key in KEYS):
        there = f"; there are {', '.join(map(_glance, list(data)[:10]))}" if data else ", and no other"
        raise SettingsError([Problem("data", f"holds none of the keys {', '.join(KEYS)}{there}")])


def _misspelt(data: Mapping[str, Any]) -> list[Problem]:
    """Keys of the ConfigMap that look like one of ours, and would go unread."""
    return [
        Problem(str(key), f"is ignored; did you mean {near[0]}?")
        for key in data
        if key not in KEYS and (near := _nearest(str(key), KEYS, cutoff=0.85))
    ]


def _doubts(settings: Settings) -> list[Problem]:
    """Values of KServe's keys that KServe takes and Kubernetes does not mean as they look."""
    initializer = settings.storage_initializer
    return [
        Problem(f"{initializer.key}.{name}", f"{value} is a fraction of a byte: `m` means thousandths, not megabytes")
        for name, value in (
            ("memoryRequest", initializer.memory_request),
            ("memoryLimit", initializer.memory_limit),
            ("memoryModelcar", initializer.memory_modelcar),
        )
        if quantity.parse(value) % 1
    ]


def _read(group: type[Group], value: Any, problems: list[Problem], unknown: list[Problem]) -> Any:
    try:
        fields = _known(group, _object(value), group.key, unknown)
        return group.model_validate(fields)
    except ValidationError as error:
        problems.extend(_problem(group.key, details) for details in error.errors())
    except ValueError as error:
        problems.append(Problem(group.key, str(error)))
    return None


def _object(value: Any) -> dict[Any, Any]:
    """Raises ValueError when the value is neither an object nor the JSON or YAML text of one."""
    if isinstance(value, str):
        documents = yaml_text.load(value)
        if len(documents) > 1:
            raise ValueError("must be one document, not several with `---` between them")
        value = documents[0] if documents else None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"must be an object, not {_glance(value)}")
    return value


def _known(group: type[BaseModel], value: dict[Any, Any], path: str, unknown: list[Problem]) -> dict[str, Any]:
    """The fields that the group has; the others are added to `unknown`.

    Names are matched without regard to case, as KServe's JSON decoder does; null and "" mean absent, as for KServe.
    """
    fields = {field.alias or name: _group_of(field.annotation) for name, field in group.model_fields.items()}
    names = {name.lower(): name for name in fields}
    known: dict[str, Any] = {}
    for key, inner in value.items():
        name = names.get(str(key).lower())
        if name is None:
            unknown.append(Problem(f"{path}.{key}", "unknown key" + _suggestion(str(key), fields)))
        elif inner is not None and inner != "":
            nested = fields[name]
            known[name] = _known(nested, inner, f"{path}.{name}", unknown) if nested and _is_object(inner) else inner
    return known


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _group_of(annotation: Any) -> type[BaseModel] | None:
    """The group that a field holds, if it holds one."""
    candidates = (annotation, *getattr(annotation, "__args__", ()))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _suggestion(key: str, names: Iterable[str]) -> str:
    near = _nearest(key, names, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(names))}"


def _nearest(key: str, names: Iterable[str], cutoff: float) -> list[str]:
    lowered = {name.lower(): name for name in names}
    return [lowered[near] for near in difflib.get_close_matches(key.lower(), lowered, n=1, cutoff=cutoff)]


# What pydantic finds, in the words of someone who writes YAML. A type's name may stand for all that begin with it.
_REASONS = {
    "bool": "must be true or false",
    "string": "must be a text (in quotes)",
    "int": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
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
    path = ".".join(str(part) for part in (key, *details["loc"]))
    kind, context = details["type"], details.get("ctx", {})
    reason = _REASONS.get(kind) or _REASONS.get(kind.partition("_")[0])
    if reason is None:
        return Problem(path, _with_value(details["msg"].removeprefix("Value error, "), details["input"]))
    return Problem(path, _with_value(reason.format(**context), details["input"]))


def _with_value(reason: str, value: Any) -> str:
    return reason if isinstance(value, BaseModel | dict) else f"{reason}, not {_glance(value)}"


def _glance(value: Any) -> str:
    """A value for a message, as YAML would write it, short however large it is."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    try:
        return shown(value) if isinstance(value, str) else shown(reprlib.repr(value))[1:-1]
    except ValueError:  # Python refuses to write out integers of thousands of digits
        return "a very long number"
