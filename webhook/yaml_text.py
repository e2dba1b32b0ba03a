"""JSON and YAML texts as plain values and back: what kubectl would read, however hostile the text is."""

from __future__ import annotations

import re
from typing import Any

import orjson
import yaml

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

# libyaml's binding recurses in C without a check of its own: a text of a hundred thousand `[` ends the process.
MAX_DEPTH = 100
# Aliases of aliases make a few hundred bytes stand for billions of values.
MAX_VALUES = 1_000_000


# What kubectl takes for a number or a switch, which is more than YAML 1.1 and less: `1e3` is a number, `12:30` is not.
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)$")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_SWITCH = re.compile(r"[yYnN]$")
_LARGEST = 2**64


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Reads what kubectl reads, as JSON has it: dates stay text, keys are text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("bool", "null", "merge")]
        for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        """An object; a key that is no text becomes its text in JSON."""
        pairs = super().construct_mapping(node, deep).items()
        return {key if isinstance(key, str) else orjson.dumps(key).decode(): value for key, value in pairs}

    def construct_integer(self, node: Any) -> int | float:
        """A number; one that JSON's readers cannot hold as an integer is a float, as for kubectl."""
        value: int = self.construct_yaml_int(node)
        return value if -_LARGEST // 2 <= value < _LARGEST else float(value)


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)
for _name in ("binary", "timestamp", "set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _Loader.construct_undefined)


class _Dumper(_SafeDumper):  # type: ignore[misc]
    """Writes texts that anybody could take for something else in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        """Anchors and aliases would be correct, and unreadable."""
        return True

    def represent_text(self, text: str) -> Any:
        """A text of several plain lines, such as a program, line by line; any other as YAML will have it."""
        style = "|" if "\n" in text and _is_plain(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


def _is_plain(text: str) -> bool:
    return not text[0].isspace() and all(line.isprintable() and not line.endswith(" ") for line in text.split("\n"))


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", _SWITCH, list("yYnN"))


def load(text: str) -> list[Any]:
    """The documents of a JSON or YAML text, empty ones left out. Raises ValueError, saying where it is wrong.

    JSON is tried first: it is the common form, and it may hold tabs, which YAML forbids.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _load_yaml(text)
    _check_depth(value)
    return [] if value is None else [value]


def dump(documents: list[Any]) -> str:
    """The documents as YAML, separated by `---`."""
    return str(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000))


def _load_yaml(text: str) -> list[Any]:
    try:
        _check_size(text)
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"neither JSON nor YAML: {error.problem}{_place(error.problem_mark)}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"neither JSON nor YAML: {' '.join(str(error).split())}") from None
    except Exception as error:  # PyYAML lets through whatever its makers of values stumble over, as in `!!bool x`
        raise ValueError(f"neither JSON nor YAML: {error}") from None


def _check_depth(value: Any, left: int = MAX_DEPTH) -> None:
    if left == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for inner in inside:
        _check_depth(inner, left - 1)


def _place(mark: Any) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""


def _check_size(text: str) -> None:
    """Raises ValueError when the values nest too deep, are too many once aliases are followed, or hold themselves."""
    sizes: dict[str, int] = {}
    anchors: list[str | None] = [None]
    counts = [0]
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            anchors.append(event.anchor)
            counts.append(1)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = anchors.pop(), counts.pop()
            counts[-1] += size
            sizes[anchor or ""] = size
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in anchors:
                raise ValueError(f"*{event.anchor} stands within what it names{_place(event.start_mark)}")
            counts[-1] += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            counts[-1] += 1
        if len(counts) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels{_place(event.start_mark)}")
        if counts[-1] > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values{_place(event.start_mark)}")
