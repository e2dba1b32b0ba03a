"""Who may read and write which paths of which claims: the list `storageDefaults.access`.

The first rule that matches a path decides about it and about everything below it. A mount contains all paths below its
own, so rules for these paths count too: it gets the lowest of their permissions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from webhook import wildcard
from webhook.settings.formats import NamePattern, PathPattern
from webhook.settings.group import SettingsGroup
from webhook.uri import ClaimPath

MAX_RULES = 50
MAX_PATTERNS = 20
"""The maximum number of patterns in each part of a rule."""

Allowed = Literal["none", "read", "readWrite"]

ALLOW_READ_WRITE = "storageDefaults.allowReadWrite"
"""The setting that decides where there is no list."""

_LEVELS: tuple[Allowed, ...] = ("none", "read", "readWrite")
_WITHOUT_RULE: Allowed = "read"


def _not_empty(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if not patterns:
        raise ValueError("must have a pattern: leave it out to match everything")
    return patterns


Names = Annotated[tuple[NamePattern, ...], Field(max_length=MAX_PATTERNS), AfterValidator(_not_empty)]
Paths = Annotated[tuple[PathPattern, ...], Field(max_length=MAX_PATTERNS), AfterValidator(_not_empty)]


class AccessRule(SettingsGroup):
    """A rule for the claims that pods request. Each part is optional; a part that is missing matches everything."""

    namespaces: Names | None = Field(None, description="Patterns (`*`, `?`) of namespaces.")
    service_accounts: Names | None = Field(None, description="Patterns of service accounts.")
    claims: Names | None = Field(None, description="Patterns of claims. Downloads have no claim.")
    paths: Paths | None = Field(
        None, description="Patterns of paths in the claim. A path includes everything below it; `*` matches `/` too."
    )
    allow: Allowed = Field(description="`none`, `read` or `readWrite`.")


class Requester(NamedTuple):
    """Whose pods request a claim."""

    namespace: str
    service_account: str


class Permission(NamedTuple):
    """What is allowed, and the setting that decided."""

    allow: Allowed
    setting: str


def permission(rules: Sequence[AccessRule], requester: Requester, claim: ClaimPath | None) -> Permission:
    """What pods may do with a path in a claim, and what is below it.

    `claim` is None for a model that is in no claim: rules with claims or paths do not match it.
    """
    lowest: Permission | None = None
    for index, rule in enumerate(rules):
        if not _is_about(rule, requester):
            continue
        whole = _covers(rule, claim)
        if whole or _is_inside(rule, claim):
            found = Permission(rule.allow, f"storageDefaults.access[{index}]")
            lowest = found if lowest is None else _lower(lowest, found)
        if whole:
            return lowest or found
    without = Permission(_WITHOUT_RULE, "storageDefaults.access, of which no rule matches")
    return without if lowest is None else _lower(lowest, without)


def _is_about(rule: AccessRule, requester: Requester) -> bool:
    is_there = _matches(requester.namespace, rule.namespaces)
    return is_there and _matches(requester.service_account, rule.service_accounts)


def _lower(first: Permission, second: Permission) -> Permission:
    return min(first, second, key=lambda each: _LEVELS.index(each.allow))


def _covers(rule: AccessRule, claim: ClaimPath | None) -> bool:
    """Whether the rule matches the path, or a directory that contains it."""
    if claim is None:
        return rule.claims is None and rule.paths is None
    if not _matches(claim.claim, rule.claims):
        return False
    return rule.paths is None or wildcard.matches_below(claim.path, rule.paths)


def _is_inside(rule: AccessRule, claim: ClaimPath | None) -> bool:
    """Whether the rule may match a path below this one."""
    if claim is None or rule.paths is None or not _matches(claim.claim, rule.claims):
        return False
    directory = f"{claim.path}/" if claim.path else ""
    return any(_may_match_below(directory, pattern) for pattern in rule.paths)


def _may_match_below(directory: str, pattern: str) -> bool:
    """Whether the pattern may match a path that starts with `directory`."""
    literal = pattern.partition("*")[0].partition("?")[0]
    return literal.startswith(directory) or (literal != pattern and directory.startswith(literal))


def _matches(text: str, patterns: tuple[str, ...] | None) -> bool:
    return patterns is None or wildcard.matches(text, patterns)
