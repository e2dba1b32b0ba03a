"""Scanning and pruning of a cache directory."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.download.pods import Claim, contents, shell, until
from webhook.download.key import key
from webhook.download.store import Entry, Removal, Rules, State, is_locked, mounted_keys, plan, remove, scan

DAY = 86400.0
NOW = 1000 * DAY
DOWNLOAD = shell('printf weights > "$1/weights"')
OLD = Rules(unused_for=0, grace=0)


def ignore(_: int) -> None:
    """Ignore progress."""


def complete(name: str, *, size: int = 100, idle: float = 10 * DAY) -> Entry:
    return Entry(name, State.COMPLETE, size, last_used=NOW - idle)


def planned(entries: list[Entry], rules: Rules) -> dict[str, str]:
    return {removal.key: removal.reason for removal in plan(entries, rules, NOW)}


def test_no_model_is_removed_without_a_rule():
    assert planned([complete("a"), complete("b", idle=1000 * DAY)], Rules()) == {}


def test_models_are_removed_by_age():
    entries = [complete("old", idle=31 * DAY), complete("new", idle=29 * DAY)]
    assert planned(entries, Rules(unused_for=30 * DAY)) == {"old": "unused for too long"}


def test_models_are_removed_by_size_least_recently_used_first():
    entries = [complete("a", idle=5 * DAY), complete("b", idle=7 * DAY), complete("c", idle=6 * DAY)]
    assert planned(entries, Rules(max_bytes=150)) == {"b": "cache too large", "c": "cache too large"}
    assert planned(entries, Rules(max_bytes=200)) == {"b": "cache too large"}
    assert planned(entries, Rules(max_bytes=300)) == {}


def test_removals_by_age_count_towards_the_size():
    entries = [complete("old", idle=31 * DAY), complete("a"), complete("b")]
    assert planned(entries, Rules(unused_for=30 * DAY, max_bytes=200)) == {"old": "unused for too long"}


def test_downloads_in_progress_count_towards_the_size_and_are_kept():
    entries = [
        Entry("busy", State.WRITING, leftover_bytes=100, leftovers=1),
        complete("a"),
        complete("b", idle=9 * DAY),
    ]
    assert planned(entries, Rules(max_bytes=200)) == {"a": "cache too large"}


@pytest.mark.parametrize("rules", [Rules(unused_for=0), Rules(max_bytes=0), Rules(unused_for=0, max_bytes=0)])
def test_grace_period_and_mounts_take_precedence_over_age_and_size(rules: Rules):
    entries = [complete("used", idle=DAY - 1), complete("mounted"), complete("idle")]
    assert planned(entries, replace(rules, mounted=frozenset({"mounted"}))).keys() == {"idle"}


def test_leftovers_and_damaged_models_after_the_grace_period_are_removed():
    entries = [
        Entry("died", State.INCOMPLETE, leftover_bytes=5, leftovers=1),
        Entry("damaged", State.DAMAGED, 5, last_used=NOW - 2 * DAY),
        Entry("damaged but in use", State.DAMAGED, 5, last_used=NOW),
        replace(complete("a"), leftovers=1, leftover_bytes=5),
    ]
    expected = {"died": "interrupted download", "a": "interrupted download", "damaged": "damaged"}
    assert planned(entries, Rules()) == expected


def test_mounted_keys_of_pods():
    used, done, kinds = key("used"), key("done"), ("initContainers", "ephemeralContainers")
    others = {kind: key(kind) for kind in kinds}
    pods = json.loads(
        json.dumps(
            {
                "items": [
                    pod("Running", f"models/{used}"),
                    pod("Pending", used + "/a"),
                    pod("Succeeded", f"models/{done}"),
                    pod("Running", "models/iris"),
                    *(pod("Running", other, kind) for kind, other in others.items()),
                    {"spec": {"containers": [{"volumeMounts": None}], "initContainers": None}},
                    {"metadata": {}, "spec": {"containers": [{"name": "none"}]}},
                ]
            }
        )
    )
    assert mounted_keys(pods) == {used, *others.values()}


def pod(phase: str, sub_path: str, kind: str = "containers") -> object:
    mounts = [{"name": "other", "mountPath": "/x"}, {"name": "cache", "subPath": sub_path}]
    return {"status": {"phase": phase}, "spec": {"containers": [], kind: [{"volumeMounts": mounts}]}}


@pytest.mark.parametrize("wrong", [[], {}, "pods", {"items": [1]}, {"items": [{}]}, None])
def test_other_objects_than_a_list_of_pods_are_rejected(wrong: object):
    with pytest.raises(ValueError, match="not a list of pods"):
        mounted_keys(wrong)


def states(claim: Claim) -> dict[str, State]:
    return {entry.key: entry.state for entry in scan(claim.cache.directory, ignore)}


def test_scan_returns_the_state_of_each_key(claim: Claim):
    claim.run(DOWNLOAD)
    damaged = replace(claim, uri="s3://models/damaged")
    damaged.run(DOWNLOAD)
    (damaged.model / "weights").unlink()
    died = replace(claim, uri="s3://models/died")
    victim = died.start(shell('printf part > "$1/part"; exec sleep 1000'))
    busy = replace(claim, uri="s3://models/busy")
    writer = busy.start(shell('printf part > "$1/part"; exec sleep 1000'), "pod-w")
    until(lambda: len(claim.find("part")) == 2, "the downloads")
    victim.kill()
    until(lambda: not is_locked(died.cache.lock), "the downloader's end")
    (claim.cache.directory / "README").write_text("not ours")
    (claim.cache.directory / "lost+found").mkdir()

    entries = {entry.key: entry for entry in scan(claim.cache.directory, ignore)}
    writer.kill(signal.SIGTERM)

    assert {name: entry.state for name, entry in entries.items()} == {
        claim.model.name: State.COMPLETE,
        damaged.model.name: State.DAMAGED,
        died.model.name: State.INCOMPLETE,
        busy.model.name: State.WRITING,
    }
    entry = entries[claim.model.name]
    assert (entry.bytes, entry.files, entry.uri) == (7, 1, "s3://models/iris")
    assert abs(entry.last_used - time.time()) < 3600
    assert entries[busy.model.name].leftover_bytes == 4
    assert "pod pod-w" in entries[busy.model.name].holder


def prune(claim: Claim, rules: Rules, now: float) -> list[Removal]:
    directory = claim.cache.directory
    removals = plan(scan(directory, ignore), rules, now)
    return [removal for removal in removals if remove(directory, removal, rules, now, ignore)]


def test_a_removal_keeps_only_the_lock(claim: Claim):
    claim.run(DOWNLOAD)
    removed: list[int] = []
    rules, now = Rules(unused_for=DAY), time.time() + 2 * DAY
    (removal,) = plan(scan(claim.cache.directory, ignore), rules, now)
    assert remove(claim.cache.directory, removal, rules, now, removed.append)
    assert claim.names() == set()
    assert sum(removed) >= 7
    assert claim.run(DOWNLOAD).process.returncode == 0


def test_a_model_that_was_used_since_the_plan_is_kept(claim: Claim):
    claim.run(DOWNLOAD)
    rules, later = Rules(unused_for=DAY), time.time() + 2 * DAY
    (removal,) = plan(scan(claim.cache.directory, ignore), rules, later)
    os.utime(claim.cache.record, (later, later))
    assert not remove(claim.cache.directory, removal, rules, later, ignore)
    assert contents(claim.model) == {"weights": b"weights"}


def test_a_download_in_progress_is_kept(claim: Claim):
    gate = claim.root / "gate"
    writer = claim.start(shell(f'printf x > "$1/part"; until [ -e {gate} ]; do sleep 0.02; done'))
    until(lambda: claim.find("part"), "the download")
    assert prune(claim, OLD, time.time() + DAY) == []
    leftovers = Removal(claim.model.name, False, 1, "planned before the download began")
    assert not remove(claim.cache.directory, leftovers, OLD, time.time(), ignore)
    gate.touch()
    assert writer.finish() == 0
    assert contents(claim.model) == {"part": b"x"}


def test_leftovers_of_a_killed_pod_are_removed_and_other_files_kept(claim: Claim):
    pod = claim.start(shell('mkdir "$1/deep"; ln -s deep "$1/link"; printf x > "$1/deep/part"; exec sleep 1000'))
    until(lambda: claim.find("part"), "the download")
    pod.kill()
    until(lambda: not is_locked(claim.cache.lock), "the downloader's end")
    foreign = claim.cache.directory / "README"
    foreign.write_text("not ours")
    assert [removal.reason for removal in prune(claim, Rules(), time.time())] == ["interrupted download"]
    assert claim.names() == {"README"}


def test_links_are_not_followed(claim: Claim, tmp_path: Path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("stay")
    claim.run(DOWNLOAD)
    (claim.model / "link").symlink_to(precious)
    prune(claim, OLD, time.time() + DAY)
    assert claim.names() == set()
    assert contents(precious) == {"file": b"stay"}


def test_concurrent_pods_and_prunes(claim: Claim):
    """Every pod succeeds, and all remaining models are complete."""
    claim.run(DOWNLOAD)
    pods = []
    for number in range(10):
        pods.append(claim.start(DOWNLOAD, f"pod-{number}"))
        prune(claim, OLD, time.time() + DAY)
    assert [pod.finish() for pod in pods] == [0] * 10
    prune(claim, Rules(), time.time())
    assert set(states(claim).values()) <= {State.COMPLETE}
