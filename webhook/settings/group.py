"""The base of all groups of settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from webhook import quantity


class SettingsGroup(BaseModel):
    """A group of settings: immutable, with names in camel case, and no unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        # Build validators on first use. Defaults are made with `model_construct`, which needs none, so that `mutate`
        # with the embedded settings starts faster.
        defer_build=True,
    )


def check_order(request: str | None, limit: str | None, what: str) -> None:
    """Raise ValueError when a request is larger than its limit: Kubernetes rejects such a container.

    None and a quantity of 0 are no limit.
    """
    if request is not None and limit is not None and 0 < quantity.parse(limit) < quantity.parse(request):
        raise ValueError(f"the {what} request {request} is larger than the {what} limit {limit}")
