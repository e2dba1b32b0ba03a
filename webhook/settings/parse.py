"""ConfigMap data in, settings out: lenient where KServe may add keys, strict in our own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from webhook.errors import shown
from webhook.settings.model import Credentials, Deploy, Settings, StorageDefaults, StorageInitializer

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    """A ConfigMap's `data` as settings, with a warning for each of KServe's keys that we do not know.

    Values are JSON or YAML texts, or already objects (bare settings). Other keys of the ConfigMap belong to
    KServe and are ignored; missing keys take KServe's defaults. Raises SettingsError with every problem found.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    groups: dict[str, Any] = {}
    for group in (StorageInitializer, Credentials, Deploy):
        groups[group.key] = _read(group, data.get(group.key), problems, warnings)
    groups[StorageDefaults.key] = _read(StorageDefaults, data.get(StorageDefaults.key), problems, problems)
    if problems:
        raise SettingsError(problems)
    return Settings.model_construct(
        storage_initializer=groups[StorageInitializer.key],
        credentials=groups[Credentials.key],
        deploy=groups[Deploy.key],
        storage_defaults=groups[StorageDefaults.key],
    ), warnings


def _read(
    group: type[StorageInitializer | Credentials | Deploy | StorageDefaults],
    value: Any,
    problems: list[Problem],
    unknown: list[Problem],
) -> Any:
    try:
        fields = _known(group, _object(value), group.key, unknown)
        return group.model_validate(fields)
    except ValidationError as error:
        problems.extend(_problem(group.key, details) for details in error.errors())
    except ValueError as error:
        problems.append(Problem(group.key, str(error)))
    return None


def _object(value: Any) -> dict[str, Any]:
    """Raises ValueError when the value is neither an object nor the JSON or YAML text of one."""
    if isinstance(value, str):
        try:
            value = yaml.load(value, Loader=_Loader)  # noqa: S506 - a safe loader, in C where there is one
        except yaml.YAMLError as error:
            place = getattr(error, "problem_mark", None)
            where = f" (line {place.line + 1}, column {place.column + 1})" if place else ""
            raise ValueError(f"neither JSON nor YAML{where}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"must be an object, not {shown(value)}")
    return value


def _known(group: type[BaseModel], value: dict[Any, Any], path: str, unknown: list[Problem]) -> dict[str, Any]:
    """The fields that the group has; the others are added to `unknown`.

    Names are matched without regard to case, as KServe's JSON decoder does; null and "" mean absent, as for KServe.
    """
    names = {(field.alias or name).lower(): field.alias or name for name, field in group.model_fields.items()}
    nested = {field.alias or name: _nested(field.annotation) for name, field in group.model_fields.items()}
    known: dict[str, Any] = {}
    for key, inner in value.items():
        name = names.get(str(key).lower())
        if name is None:
            unknown.append(Problem(f"{path}.{key}", "unknown key" + _suggestion(str(key), list(names.values()))))
        elif inner is not None and inner != "":
            inner_group = nested[name]
            is_group = inner_group is not None and isinstance(inner, dict)
            known[name] = _known(inner_group, inner, f"{path}.{name}", unknown) if is_group and inner_group else inner
    return known


def _nested(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _suggestion(key: str, names: list[str]) -> str:
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(key.lower(), lowered, n=1)
    return f"; did you mean {lowered[near[0]]}?" if near else f"; known are {', '.join(sorted(names))}"


def _problem(key: str, details: Any) -> Problem:
    path = ".".join(str(part) for part in (key, *details["loc"]))
    reason = details["msg"].removeprefix("Value error, ")
    given = details["input"]
    return Problem(path, reason if isinstance(given, BaseModel | dict) else f"{reason}, not {shown(given)}")
