"""The examples of the repository, for the page: manifests, and the cluster objects that they need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from webhook.annotations import ROLLOUT_STRATEGY
from webhook.offline import manifests
from webhook.playground.preview import Webhook

DIRECTORY = Path(__file__).parents[2] / "examples"
"""An installed package has no examples. They are for the checkout that `make run` runs in."""
_OBJECTS = frozenset({"ServiceAccount", "Secret", "ClusterStorageContainer", "PersistentVolumeClaim"})
_SEPARATOR = re.compile(r"^---\n", re.MULTILINE)


class Example(BaseModel):
    """One file: its title and description, which are the comment at its start, and its documents as text."""

    name: str
    title: str
    description: str
    manifests: str
    objects: str = ""
    webhook: Webhook = "pods"


class Examples(BaseModel):
    """The examples of manifests and of settings, sorted by title. The text of settings is in `manifests`."""

    manifests: list[Example]
    settings: list[Example]


def examples(directory: Path = DIRECTORY) -> Examples:
    """Read the examples; empty when the directory does not exist."""
    return Examples(manifests=_sorted(directory), settings=_sorted(directory / "settings"))


def _sorted(directory: Path) -> list[Example]:
    return sorted(map(_example, directory.glob("*.yaml")), key=lambda example: example.title)


def _example(path: Path) -> Example:
    lines = path.read_text().splitlines(keepends=True)
    comment = list(_comment(lines))
    documents = _SEPARATOR.split("".join(lines[len(comment) :]))
    return Example(
        name=path.stem,
        title=comment[0],
        description=" ".join(comment[1:]),
        manifests="---\n".join(each for each in documents if not _is_object(each)),
        objects="---\n".join(each for each in documents if _is_object(each)),
        webhook="deployments" if any(ROLLOUT_STRATEGY in each for each in documents) else "pods",
    )


def _comment(lines: list[str]) -> Iterator[str]:
    """The text of the comment at the start."""
    for line in lines:
        if not line.startswith("#"):
            return
        yield line.removeprefix("#").strip()


def _is_object(text: str) -> bool:
    return any(document["kind"] in _OBJECTS for document in manifests.load(text))
