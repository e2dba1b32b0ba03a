"""The cases of the node, with the words for the table in docs/testing.md."""

import hashlib
import random
from collections.abc import Callable, Mapping
from typing import TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., None])

MODEL = {"weights.bin": random.Random(16).randbytes(300_000), "config/config.json": b'{"layers": 12}'}
"""A model of two files."""
PULL = "puller:hush"
"""User and password of the registry."""


def case(source: str, compared: str) -> Callable[[Test], Test]:
    """Mark a test as a case: what the pod asked for, and what was compared in its container."""
    mark: Callable[[Test], Test] = pytest.mark.case(source=source, compared=compared)
    return mark


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """The files' SHA-256 digests, by path."""
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
