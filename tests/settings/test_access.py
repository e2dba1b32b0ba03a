"""Rules for claims: the first one that matches decides, and a mount is allowed what is allowed everywhere in it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.settings.access import MAX_PATTERNS, MAX_RULES, AccessRule, Requester, permission
from webhook.settings.parse import SettingsError, parse
from webhook.uri import ClaimPath

LEVELS = ("none", "read", "readWrite")
NAMES = st.sampled_from(["a", "b", "ab"])
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "a*", "?b"]), min_size=1, max_size=2)
SEGMENTS = ("a", "b", "ab")
PATH_PATTERNS = st.lists(
    st.sampled_from(["a", "b", "a/b", "a/*", "*", "*/b", "a*", "a/b/ab", "b/?", "ab/a"]), min_size=1, max_size=2
)
PARTS = {"namespaces": PATTERNS, "serviceAccounts": PATTERNS, "claims": PATTERNS, "paths": PATH_PATTERNS}
RULES = st.lists(st.fixed_dictionaries({"allow": st.sampled_from(LEVELS)}, optional=PARTS), max_size=4)
PATHS = st.lists(st.sampled_from(SEGMENTS), max_size=3).map("/".join)


def _matches(text: str, patterns: list[str] | None) -> bool:
    return patterns is None or any(fnmatchcase(text, pattern) for pattern in patterns)


def _allowed(rules: list[dict[str, Any]], names: tuple[str, str, str], path: str) -> str:
    """What the first rule allows that matches this very path, or a directory that contains it."""
    segments = path.split("/") if path else []
    directories = ["/".join(segments[:number]) for number in range(1, len(segments) + 1)] or [""]
    for rule in rules:
        parts = zip(names, ("namespaces", "serviceAccounts", "claims"), strict=True)
        if all(_matches(name, rule.get(part)) for name, part in parts) and (
            "paths" not in rule or any(_matches(directory, rule["paths"]) for directory in directories)
        ):
            return str(rule["allow"])
    return "read"


def _below(path: str, levels: int) -> list[str]:
    if not levels:
        return [path]
    inner = [f"{path}/{segment}".lstrip("/") for segment in SEGMENTS]
    return [path, *(each for one in inner for each in _below(one, levels - 1))]


@given(RULES, NAMES, NAMES, NAMES, PATHS)
def test_a_mount_is_allowed_no_more_than_each_path_in_it(
    rules: list[dict[str, Any]], namespace: str, account: str, claim: str, path: str
) -> None:
    found = permission(
        [AccessRule(**rule) for rule in rules], Requester(namespace, account), ClaimPath(claim, path, is_directory=True)
    )
    allowed = {_allowed(rules, (namespace, account, claim), each) for each in _below(path, 3)}
    lowest = min(allowed, key=LEVELS.index)
    assert LEVELS.index(found.allow) <= LEVELS.index(lowest)
    # Less only where a pattern may match a path that is not in this sample.
    if len(allowed) == 1 and not any("paths" in rule for rule in rules):
        assert found.allow == lowest


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "none"),
        ("private", "none"),
        ("private/key", "none"),
        ("privately", "read"),
        ("public", "readWrite"),
        ("public/iris/v1", "readWrite"),
        ("team-a", "none"),
        ("team-a/secret", "none"),
        ("teams", "read"),
        ("other", "read"),
    ],
)
def test_rules_for_paths_include_what_is_below_and_count_for_what_contains_them(path: str, expected: str) -> None:
    rules = [
        AccessRule(paths=("private", "team-*/secret"), allow="none"),
        AccessRule(paths=("/public/",), allow="readWrite"),
    ]
    found = permission(rules, Requester("models", "default"), ClaimPath("claim", path, is_directory=True))
    assert found.allow == expected


@pytest.mark.parametrize(
    ("access", "setting"),
    [
        ([{"allow": "none", "claims": ["models"]}], "storageDefaults.access[0]"),
        ([{"allow": "none", "claims": ["x"]}, {"allow": "read"}], "storageDefaults.access[1]"),
        ([], "storageDefaults.access, of which no rule matches"),
        (None, "storageDefaults.allowReadWrite"),
    ],
)
def test_the_setting_that_decided_is_named(access: Any, setting: str) -> None:
    settings, _ = parse({"storageDefaults": {"access": access}})
    found = settings.storage_defaults.permission(Requester("a", "default"), ClaimPath("models", "a", False))
    assert found.setting == setting


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({}, "storageDefaults.access.0.allow"),
        ({"allow": "write"}, "storageDefaults.access.0.allow"),
        ({"allow": "read", "claims": []}, "storageDefaults.access.0.claims"),
        ({"allow": "read", "claims": ["A"]}, "storageDefaults.access.0.claims.0"),
        ({"allow": "read", "claims": ["a"] * (MAX_PATTERNS + 1)}, "storageDefaults.access.0.claims"),
        ({"allow": "read", "paths": ["../a"]}, "storageDefaults.access.0.paths.0"),
        ({"allow": "read", "paths": ["/"]}, "storageDefaults.access.0.paths.0"),
        ({"allow": "read", "paths": ["[ab]"]}, "storageDefaults.access.0.paths.0"),
        ({"allow": "read", "users": ["a"]}, "storageDefaults.access.0.users"),
    ],
)
def test_an_invalid_rule_is_rejected_by_name(rule: Any, reason: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse({"storageDefaults": {"access": [rule]}})
    assert [problem.key for problem in raised.value.problems] == [reason]


def test_the_number_of_rules_is_limited() -> None:
    parse({"storageDefaults": {"access": [{"allow": "read"}] * MAX_RULES}})
    with pytest.raises(SettingsError, match=r"storageDefaults\.access"):
        parse({"storageDefaults": {"access": [{"allow": "read"}] * (MAX_RULES + 1)}})
