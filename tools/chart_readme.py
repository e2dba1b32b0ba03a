"""`python -m tools.chart_readme`: the table of values in the chart's README.md, made from the comments in values.yaml.

A comment right above a key is its meaning. A comment with a blank line below it is the heading of a section: its first
line the title, what follows an introduction. A key without a comment belongs to the value above it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

CHART = Path(__file__).parents[1] / "charts" / "storage-initializer-webhook"
BEGIN = "<!-- values: made by `make docs` from values.yaml -->\n"
END = "<!-- end of values -->\n"
LONGEST_DEFAULT = 60


class Value(NamedTuple):
    """One row: a key's full name, its default as JSON (empty for a group) and its meaning."""

    name: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Source:
    """values.yaml, as text and as nodes that know their lines."""

    text: str

    @property
    def root(self) -> yaml.MappingNode:
        node = yaml.compose(self.text, yaml.SafeLoader)
        assert isinstance(node, yaml.MappingNode)
        return node

    def comment(self, line: int) -> list[str]:
        """The comment that ends right above this line (from 0), without its marks."""
        lines = self.text.splitlines()
        first = line
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        return [text.strip().removeprefix("#").strip() for text in lines[first:line]]

    def heading(self, line: int) -> list[str]:
        """The section's heading above the key at this line; empty when the key begins none."""
        above = line - len(self.comment(line)) - 1
        return self.comment(above) if above > 0 and not self.text.splitlines()[above] else []


def values(source: Source, node: yaml.MappingNode, prefix: str = "") -> Iterator[Value]:
    """Every value with a comment, in order, groups before what is in them."""
    for key, value in node.value:
        name = prefix + key.value
        inner = list(values(source, value, name + ".")) if isinstance(value, yaml.MappingNode) else []
        if meaning := " ".join(source.comment(key.start_mark.line)):
            yield Value(name, "" if inner else default(value), meaning)
        yield from inner


def default(node: yaml.Node) -> str:
    """A default as JSON; of a long one only that it is long."""
    text = json.dumps(yaml.safe_load(yaml.serialize(node)))
    return text if len(text) <= LONGEST_DEFAULT else "see values.yaml"


def table(source: Source) -> str:
    """All sections in Markdown."""
    lines: list[str] = []
    for key, value in source.root.value:
        if heading := source.heading(key.start_mark.line):
            introduction = " ".join(heading[1:]).strip()
            lines += ["", f"### {heading[0]}", "", *([introduction, ""] if introduction else [])]
            lines += ["| Value | Default | Meaning |", "|---|---|---|"]
        one = yaml.MappingNode(tag="", value=[(key, value)])
        lines += [row(each) for each in values(source, one)]
    return "\n".join(lines[1:]) + "\n"


def row(value: Value) -> str:
    default_ = f"`{value.default}`" if value.default else ""
    return f"| `{value.name}` | {default_} | {value.meaning.replace('|', chr(92) + '|')} |"


def readme(old: str, source: Source) -> str:
    """README.md with a new table; ValueError when it has no place for one."""
    head, found, rest = old.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"README.md needs the lines {BEGIN!r} and {END!r}")
    return f"{head}{BEGIN}\n{table(source)}\n{END}{tail}"


def main() -> None:
    path = CHART / "README.md"
    path.write_text(readme(path.read_text(), Source((CHART / "values.yaml").read_text())))


if __name__ == "__main__":
    main()
