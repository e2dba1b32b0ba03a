"""A pod that both webhooks admit, field by field, and what a class of intended differences is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.kserve_corpus.recorded import INITIALIZER, Case, Fields, fields
from webhook.admission.outcome import Outcome

ABSENT = None
"""A field that one of the two pods does not have."""

MODEL_PATH = "/mnt/models"


class Difference(NamedTuple):
    """One field that differs."""

    path: tuple[str, ...]
    kserve: Any
    ours: Any

    @property
    def is_added(self) -> bool:
        """Whether only this webhook sets the field."""
        return self.kserve is ABSENT

    @property
    def is_missing(self) -> bool:
        """Whether only KServe sets the field."""
        return self.ours is ABSENT

    def in_initializer(self, *fields: str) -> bool:
        """Whether this is a field of the init container, below `fields`."""
        return self.path[: 2 + len(fields)] == ("initContainers", INITIALIZER, *fields)

    @property
    def variable(self) -> str:
        """The name of the init container's variable that differs, or ""."""
        return self.path[3] if self.in_initializer("env") else ""

    def is_mount(self, kind: str, path: str | None = None) -> bool:
        """Whether this is a mount (at `path`) of one of the `kind` of containers."""
        return self.path[0] == kind and self.path[2:3] == ("volumeMounts",) and path in (None, self.path[3])


class Pair(NamedTuple):
    """A pod as each of the webhooks admitted it."""

    case: Case
    kserve: Fields
    ours: Fields
    own: Fields
    """The pod before injection."""

    @staticmethod
    def of(case: Case, outcome: Outcome) -> Pair:
        """The pod as KServe recorded it, and as `outcome` has it.

        A container in another place is compared with its counterpart, so that only its name or place differs.
        """
        ours = fields(outcome.mutated or case.pod)
        if ("containers", "modelcar", "image") in (kserve := _under_one_name(case)):
            ours = _moved(ours, ("initContainers", "modelcar"), ("containers", "modelcar"))
        return Pair(case, kserve, ours, fields(case.pod))

    def differences(self) -> list[Difference]:
        """The fields that differ."""
        paths = [*self.kserve, *(path for path in self.ours if path not in self.kserve)]
        found = (Difference(path, self.kserve.get(path, ABSENT), self.ours.get(path, ABSENT)) for path in paths)
        return [each for each in found if each.kserve != each.ours]


class IntendedDifference(NamedTuple):
    """A class of differences: a name and one sentence, as in the documentation, and the fields that it is about."""

    name: str
    sentence: str
    is_about: Callable[[Pair, Difference], bool]

    def explains(self, pair: Pair, given: Difference) -> bool:
        """Whether the field differs for this reason. No reason explains that a field of the pod's author is gone."""
        return not (given.is_missing and given.path in pair.own) and self.is_about(pair, given)


def _under_one_name(case: Case) -> Fields:
    """KServe's fields, with its init container as `storage-initializer`: a ClusterStorageContainer can rename it."""
    found = fields(case.kserve["pod"])
    own = {container["name"] for container in case.own_containers}
    order = found["initContainers", "order"]
    renamed = next((name for name in order if name not in own and name not in (INITIALIZER, "modelcar-init")), None)
    if renamed is None:
        return found
    found["initContainers", "order"] = [INITIALIZER if name == renamed else name for name in order]
    return _moved(found, ("initContainers", renamed), ("initContainers", INITIALIZER))


def _moved(given: Fields, old: tuple[str, str], new: tuple[str, str]) -> Fields:
    return {(*new, *path[2:]) if path[:2] == old else path: value for path, value in given.items()}
