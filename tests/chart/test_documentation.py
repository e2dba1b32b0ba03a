"""values.yaml, its schema, the table in README.md and the settings of the webhook are consistent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from tests.chart.rendering import CHART, CHART_VALUES, VALUE_SETS
from tools.chart_readme import Source, readme, values
from tools.chart_settings import TARGET, default_settings
from webhook.settings.kserve_keys import Credentials, Deploy, StorageInitializer
from webhook.settings.storage_containers import StorageContainerSettings, UriFormatSettings
from webhook.settings.storage_defaults import StorageDefaults

SOURCE = Source(CHART_VALUES.read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
# The chart has one value in the format of Kubernetes for KServe's four keys for resources.
RESOURCES = {"cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit"}


def test_readme_is_up_to_date():
    text = (CHART / "README.md").read_text()
    assert text == readme(text, SOURCE), "run `make docs`"


def test_default_settings_are_up_to_date():
    assert TARGET.read_text() == default_settings(), "run `make docs`"


def test_readme_without_markers_is_rejected():
    with pytest.raises(ValueError, match="needs the lines"):
        readme("# A chart\n", SOURCE)


def test_every_value_is_documented():
    documented = [value.name for value in values(SOURCE, SOURCE.root)]
    groups = [name for name in documented if any(other.startswith(name + ".") for other in documented)]
    whole = tuple(f"{name}." for name in documented if name not in groups)
    leaves = _leaves(yaml.safe_load(SOURCE.text))
    assert [name for name in leaves if name not in documented and not name.startswith(whole)] == []


def test_schema_has_exactly_the_values():
    assert _open_objects(SCHEMA) == [".global"]  # other charts have global values too
    # Helm hands a chart the condition of a chart that depends on it.
    assert _names(SCHEMA) - {"enabled"} == set(yaml.safe_load(SOURCE.text))
    unknown = [name for name in _leaves(yaml.safe_load(SOURCE.text)) if not _in_schema(SCHEMA, name.split("."))]
    assert unknown == []


@pytest.mark.parametrize("group", [StorageInitializer, Credentials, Deploy, StorageDefaults], ids=lambda g: g.key)
def test_every_setting_has_a_value(group):
    chart = set(_schema_leaves(SCHEMA["properties"][group.key]))
    expected = set(_settings(group))
    if group is StorageInitializer:
        expected = expected - RESOURCES | {"resources"}
    assert {name.partition(".")[0] if name.startswith("resources.") else name for name in chart} == expected


def test_artifact_hub_annotations_are_those_that_it_reads():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    annotations = {key.removeprefix("artifacthub.io/"): text for key, text in chart["annotations"].items()}
    assert annotations["category"] == "ai-machine-learning"
    assert all(isinstance(text, str) for text in annotations.values())
    defaults = yaml.safe_load(SOURCE.text)
    used = {f"{defaults['image']['repository']}:{chart['appVersion']}", defaults["storageInitializer"]["image"]}
    assert {each["image"] for each in yaml.safe_load(annotations["images"])} == used
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    for change in yaml.safe_load(annotations["changes"]):
        assert change["kind"] in kinds
        assert change["description"]


def test_a_storage_container_has_the_fields_of_the_settings():
    items = SCHEMA["properties"][StorageContainerSettings.key]["items"]
    assert set(items["properties"]) == {field.alias for field in StorageContainerSettings.model_fields.values()}
    formats = items["properties"]["supportedUriFormats"]["items"]["properties"]
    assert set(formats) == {field.alias for field in UriFormatSettings.model_fields.values()}


@pytest.mark.parametrize("path", VALUE_SETS, ids=lambda path: path.name)
def test_every_example_has_a_description(path):
    assert path.read_text().startswith("# ")


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _names(schema: dict[str, Any]) -> set[str]:
    return set(schema["properties"])


def _open_objects(schema: dict[str, Any], name: str = "") -> list[str]:
    """Objects of the schema that allow additional properties."""
    found = [name] if "properties" in schema and schema.get("additionalProperties") is not False else []
    for key, inner in schema.get("properties", {}).items():
        found += _open_objects(inner, f"{name}.{key}")
    return found


def _in_schema(schema: dict[str, Any], path: list[str]) -> bool:
    if "properties" not in schema or not path:
        return True
    return path[0] in schema["properties"] and _in_schema(schema["properties"][path[0]], path[1:])


def _schema_leaves(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, inner in schema["properties"].items():
        if "properties" in inner:
            yield from _schema_leaves(inner, f"{prefix}{key}.")
        else:
            yield prefix + key


def _settings(group: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in group.model_fields.items():
        alias = prefix + (field.alias or name)
        inner = [t for t in _classes(field.annotation) if issubclass(t, BaseModel)]
        if inner:
            yield from _settings(inner[0], alias + ".")
        else:
            yield alias


def _classes(annotation: Any) -> list[type]:
    """The classes of `X` or `X | None`."""
    return [t for t in getattr(annotation, "__args__", [annotation]) if isinstance(t, type)]
