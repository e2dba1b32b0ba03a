"""Load JSON and YAML as kubectl does, with limits for untrusted input, and dump YAML."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import yaml

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

# libyaml's binding recurses in C without a limit: 100,000 `[` would crash the process.
MAX_DEPTH = 100
# With nested aliases, a few hundred bytes can expand to billions of values.
MAX_VALUES = 1_000_000
# libyaml compares each %TAG directive with all before it.
_MAX_DIRECTIVES = 100

# Numbers and booleans as kubectl reads them, which differs from YAML 1.1: `1e3` is a number, `12:30` is not.
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)$")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_BOOLEAN = re.compile(r"[yYnN]$")
_UINT64_LIMIT = 2**64
_MAX_INTEGER = 1_000
"""Characters of an integer."""
_LINE_BREAK = re.compile("[\n\r\x85\u2028\u2029]")


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Loads YAML as JSON values, like kubectl: dates stay strings, and keys are strings."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("bool", "null", "merge")]
        for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        """Construct an object. A key that is not a string becomes its JSON text."""
        pairs = super().construct_mapping(node, deep).items()
        return {key if isinstance(key, str) else msgspec.json.encode(key).decode(): value for key, value in pairs}

    def construct_integer(self, node: Any) -> int | float:
        """Construct a number. An integer outside 64 bits becomes a float, as in kubectl."""
        # Only a tag brings other text here. PyYAML reads `1:1:1` in base 60, in quadratic time.
        if not _INTEGER.match(node.value) or len(node.value) > _MAX_INTEGER:
            raise ValueError(f"not an integer of at most {_MAX_INTEGER} characters{_position(node.start_mark)}")
        value: int = self.construct_yaml_int(node)
        return value if -_UINT64_LIMIT // 2 <= value < _UINT64_LIMIT else float(value)


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)
for _name in ("binary", "timestamp", "set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _Loader.construct_undefined)


class _Dumper(_SafeDumper):  # type: ignore[misc]
    """Quotes strings that a YAML parser could read as another type."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never write anchors and aliases: they are hard to read."""
        return True

    def represent_text(self, text: str) -> Any:
        """Represent a multi-line string, such as a program, as a block; any other in the default style."""
        style = "|" if "\n" in text and _is_plain(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


def _is_plain(text: str) -> bool:
    return not text[0].isspace() and all(line.isprintable() and not line.endswith(" ") for line in text.split("\n"))


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOLEAN, list("yYnN"))


def load(text: str, max_values: int = MAX_VALUES) -> list[Any]:
    """Load the documents of a JSON or YAML text, without empty ones. Raises ValueError with the position of the error.

    `max_values` limits YAML, which takes a hundred times as long as JSON: some 5 µs for each value. JSON is tried
    first: it is the common form, and it may contain tabs, which YAML forbids.
    """
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return _load_yaml(text, max_values)
    _check_depth(value)
    return [] if value is None else [value]


def dump(documents: list[Any]) -> str:
    """Dump documents as YAML, separated by `---`."""
    return str(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000))


def _load_yaml(text: str, max_values: int) -> list[Any]:
    if sum(line.startswith("%") for line in _LINE_BREAK.split(text)) > _MAX_DIRECTIVES:
        raise ValueError(f"more than {_MAX_DIRECTIVES} directives (lines that start with %)")
    try:
        _check_size(text, max_values)
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"neither JSON nor YAML: {error.problem}{_position(error.problem_mark)}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"neither JSON nor YAML: {' '.join(str(error).split())}") from None
    except Exception as error:  # PyYAML's constructors raise any exception, as for `!!bool x`
        raise ValueError(f"neither JSON nor YAML: {error}") from None


def _check_depth(value: Any, levels: int = MAX_DEPTH) -> None:
    if levels == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _check_depth(child, levels - 1)


def _position(mark: Any) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""


def _check_size(text: str, max_values: int) -> None:
    """Raise ValueError for too deep nesting, too many values with aliases expanded, or a recursive alias."""
    sizes: dict[str, int] = {}
    # The anchor of each open collection, and the number of values before it.
    opened: list[tuple[str | None, int]] = []
    values = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor or ""] = values - before
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in opened):
                raise ValueError(f"alias *{event.anchor} is recursive{_position(event.start_mark)}")
            values += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, values))
            values += 1
        if len(opened) >= MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels{_position(event.start_mark)}")
        if values > max_values:
            raise ValueError(f"more than {max_values:,} values{_position(event.start_mark)}")
