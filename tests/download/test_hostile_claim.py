"""A claim that somebody else may write to: real links, FIFOs, deep trees and large files under all names of a cache."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.download.pods import Claim, contents, shell
from webhook.cli.app import app
from webhook.download import trees
from webhook.download.command import CachedModel, Delivery, Limits, wrap_cached
from webhook.download.key import key
from webhook.download.store import Rules, State, plan, remove, scan

DOWNLOAD = shell('printf weights > "$1/weights.bin"')
MODEL = {"weights.bin": b"weights"}
OLD = Rules(unused_for=0, grace=0)
MANY = 1_100
"""More nested directories than the recursion limit of Python."""
TOO_MANY = 2_500
"""More nested directories than a path can name."""


MEMORY = "/dev/shm"


def ignore(_: int) -> None:
    """Ignore progress."""


@pytest.fixture
def precious(hostile: Claim) -> Iterator[Path]:
    """A directory outside of the claim, on the same file system, that must stay as it is."""
    folder = hostile.root.parent / "precious"
    folder.mkdir()
    (folder / "file").write_text("stay")
    (folder / key("s3://models/iris")).mkdir()
    (folder / key("s3://models/iris") / "file").write_text("stay")
    before = contents(folder)
    yield folder
    assert contents(folder) == before
    assert len(list(folder.rglob("*"))) == 3


@pytest.fixture
def hostile() -> Iterator[Claim]:
    """A claim with an empty cache directory, in memory if possible: disks are slow to make deep trees.

    It is emptied in the end, because the standard library cannot delete deep trees.
    """
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        claim = Claim(Path(folder, "claim"))
        claim.cache.directory.mkdir(parents=True)
        yield claim
        claim.end()
        trees.delete(claim.root)


def a_fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def a_link_to_a_file(path: Path, precious: Path) -> None:
    path.symlink_to(precious / "file")


def a_hard_link(path: Path, precious: Path) -> None:
    path.hardlink_to(precious / "file")


def a_link_to_a_directory(path: Path, precious: Path) -> None:
    path.symlink_to(precious)


def a_link_to_nothing(path: Path, _: Path) -> None:
    path.symlink_to("nothing")


def a_link_to_itself(path: Path, _: Path) -> None:
    path.symlink_to(path.name)


def nested_json(path: Path, _: Path) -> None:
    path.write_text("[" * 100_000)


def short_nested_json(path: Path, _: Path) -> None:
    path.write_text("[" * 60_000)


def a_gigabyte(path: Path, _: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


def a_list(path: Path, _: Path) -> None:
    path.write_text("[1]")


def infinite_numbers(path: Path, _: Path) -> None:
    path.write_text('{"files": Infinity, "bytes": NaN, "since": Infinity, "pod": {"a": "\\u001b[2J"}}')


def a_directory(path: Path, _: Path) -> None:
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "file").write_text("x")


def deep(path: Path, levels: int) -> None:
    """Nested directories, each with a file."""
    path.mkdir()
    folder = os.open(path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(folder)
        folder = inner
    os.close(folder)


def a_deep_tree(path: Path, _: Path) -> None:
    deep(path, MANY)


def a_tree_too_deep_for_a_path(path: Path, _: Path) -> None:
    deep(path, TOO_MANY)


def links_in_a_directory(path: Path, precious: Path) -> None:
    path.mkdir()
    (path / "link").symlink_to(precious)
    (path / "file").symlink_to(precious / "file")


Plant = Callable[[Path, Path], None]
PLANTS: list[Plant] = [
    a_fifo,
    a_link_to_a_file,
    a_hard_link,
    a_link_to_a_directory,
    a_link_to_nothing,
    a_link_to_itself,
    nested_json,
    short_nested_json,
    a_gigabyte,
    a_list,
    infinite_numbers,
    a_directory,
    a_deep_tree,
    a_tree_too_deep_for_a_path,
    links_in_a_directory,
]
NAMES = {
    "record": lambda cache: cache.record,
    "model": lambda cache: cache.model,
    "tmp": lambda cache: cache.path("0a.tmp"),
    "trash": lambda cache: cache.path("0a.trash"),
}
cases = pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)


def list_and_prune(claim: Claim) -> None:
    """List the cache and remove all in it, with the commands."""
    directory = str(claim.cache.directory)
    for command in (["list", directory], ["prune", directory, "--unused-for", "0s", "--grace", "0s"]):
        result = CliRunner().invoke(app, ["cache", *command])
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.output


@cases
@pytest.mark.parametrize("name", NAMES)
def test_what_is_in_the_place_of_a_file_is_replaced(hostile: Claim, precious: Path, name: str, plant: Plant) -> None:
    """The pod downloads the model, and removes what it found."""
    plant(NAMES[name](hostile.cache), precious)
    pod = hostile.run(DOWNLOAD)
    assert pod.process.returncode == 0, pod.output
    assert contents(hostile.model) == MODEL
    assert hostile.names() == {hostile.model.name, hostile.cache.record.name}


@cases
@pytest.mark.parametrize("name", NAMES)
def test_what_is_in_the_place_of_a_file_is_listed_and_pruned(
    hostile: Claim, precious: Path, name: str, plant: Plant
) -> None:
    plant(NAMES[name](hostile.cache), precious)
    os.utime(NAMES[name](hostile.cache), (0, 0), follow_symlinks=False)
    list_and_prune(hostile)
    assert hostile.names() == set()


@cases
def test_other_models_stay_usable_beside_a_hostile_one(hostile: Claim, precious: Path, plant: Plant) -> None:
    assert hostile.run(DOWNLOAD).process.returncode == 0
    other = replace(hostile, uri="s3://models/other")
    for find in (*NAMES.values(), lambda cache: cache.lock):
        plant(find(other.cache), precious)
    entries = {entry.key: entry.state for entry in scan(hostile.cache.directory, ignore)}
    assert entries[hostile.model.name] == State.COMPLETE
    assert entries[other.model.name] in (State.DAMAGED, State.INCOMPLETE)


@pytest.mark.parametrize(
    "plant", [a_fifo, a_link_to_a_file, a_hard_link, a_link_to_nothing, a_link_to_itself, a_directory]
)
def test_a_lock_that_is_no_regular_file_is_reported(hostile: Claim, precious: Path, plant: Plant) -> None:
    plant(hostile.cache.lock, precious)
    pod = hostile.run(DOWNLOAD)
    assert pod.process.returncode == 1
    assert "contains a link or a special file: " in pod.message
    assert str(hostile.cache.lock) in pod.message
    assert not hostile.model.exists()


@pytest.mark.parametrize("plant", [nested_json, short_nested_json, a_gigabyte, a_list, infinite_numbers])
def test_the_content_of_a_lock_does_not_matter(hostile: Claim, precious: Path, plant: Plant) -> None:
    """The pod that waits reads the name of the pod that holds the lock."""
    writer = hostile.start(shell('printf x > "$1/part"; exec sleep 1000'))
    while not hostile.find("part"):
        time.sleep(0.01)
    plant(hostile.cache.lock, precious)
    follower = replace(hostile, limits=Limits(wait=0)).run(DOWNLOAD, "pod-b")
    assert follower.message.startswith("timeout: the wait"), follower.output
    assert "\x1b" not in follower.output
    writer.kill()


@pytest.mark.parametrize("directory", ["link", "link/inner", "real/link", "real/link/inner"])
def test_a_link_in_the_path_of_the_cache_directory_is_reported(hostile: Claim, precious: Path, directory: str) -> None:
    (hostile.root / "real").mkdir()
    for folder in (hostile.root, hostile.root / "real"):
        (folder / "link").symlink_to(precious)
    pod = replace(hostile, directory=directory).run(DOWNLOAD)
    assert pod.process.returncode == 1
    assert "contains a link or a special file" in pod.message
    result = CliRunner().invoke(app, ["cache", "list", str(hostile.root / directory)])
    assert result.exit_code == 2, result.output


def test_a_file_as_cache_directory_is_reported(claim: Claim) -> None:
    (claim.root / "models").write_text("x")
    pod = claim.run(DOWNLOAD)
    assert pod.process.returncode == 1
    assert "contains a link or a special file" in pod.message


def test_a_link_that_takes_the_place_of_the_directory_is_not_followed(hostile: Claim, precious: Path) -> None:
    """Between the plan and the removal, the directory becomes a link to another one with the same names."""
    hostile.run(DOWNLOAD)
    directory = hostile.cache.directory
    removals = plan(scan(directory, ignore), OLD, time.time() + 1)
    assert removals
    directory.rename(hostile.root / "moved")
    directory.symlink_to(precious)
    with pytest.raises(NotADirectoryError):
        remove(directory, removals[0], OLD, time.time() + 1, ignore)


@pytest.mark.parametrize("plant", [a_fifo, a_deep_tree, a_tree_too_deep_for_a_path])
def test_a_hostile_tree_inside_a_model_is_a_damaged_model(hostile: Claim, precious: Path, plant: Plant) -> None:
    hostile.run(DOWNLOAD)
    plant(hostile.model / "planted", precious)
    pod = hostile.run(DOWNLOAD, "pod-b")
    assert pod.process.returncode == 0, pod.output
    assert contents(hostile.model) == MODEL


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('mkfifo "$1/pipe"', "a special file"),
        ('ln -s loop "$1/loop"; printf x > "$1/file"', "a link out of it"),
        ('for i in $(seq 1200); do ln -s link$i "$1/link$((i + 1))"; done; ln -s . "$1/link1"', "a link out of it"),
    ],
)
def test_links_and_special_files_of_a_downloader(hostile: Claim, script: str, reason: str) -> None:
    """Loops and long chains of links, which no server can open, end with a message."""
    pod = hostile.run(shell(script))
    assert "Traceback" not in pod.output
    assert reason in pod.message
    assert pod.message.startswith("unknown: the model contains")
    assert pod.process.returncode == 1


def test_names_in_a_record_are_shown_without_control_characters(hostile: Claim) -> None:
    hostile.run(DOWNLOAD)
    record = json.loads(hostile.cache.record.read_text())
    bad = dict.fromkeys(("uri", "time", "pod"), f"a\n\x1b[2Jb{'c' * 5000}")
    hostile.cache.record.write_text(json.dumps({**record, **bad}))
    pod = hostile.run(DOWNLOAD, "pod-b")
    assert pod.process.returncode == 0
    assert "\x1b" not in pod.output
    assert len(pod.message.splitlines()) == 1
    list_and_prune(hostile)


def test_a_tree_without_an_end_is_given_up(hostile: Claim, tmp_path: Path) -> None:
    """The time limits count for reading too."""
    hostile.run(DOWNLOAD)
    code = (
        "import itertools, os, sys; from webhook.download.program import cache, process\n"
        "status = os.stat('.')\n"
        "cache.walk = lambda *_: itertools.repeat(('file', status))\n"
        "process.main(sys.argv[1:], cache.in_cache)"
    )
    log = tmp_path / "log"
    delivery = Delivery(limits=Limits(0.5, 0.5), termination_log=str(log))
    model = CachedModel(hostile.uri, str(hostile.root), hostile.directory, hostile.model.name)
    _, arguments = wrap_cached(DOWNLOAD, [], "/mnt/models", model, delivery)
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=False, timeout=60)
    assert done.returncode == 1
    assert log.read_text() == "timeout: the download took over 0 s"


WITHOUT_ROOTS_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.mark.parametrize("hidden", ["", "a/b"])
def test_what_a_user_may_not_read_hides_no_other_model(hostile: Claim, hidden: str) -> None:
    for claim in (hostile, other := replace(hostile, uri="s3://models/other")):
        assert claim.run(DOWNLOAD).process.returncode == 0
    secret = other.model / hidden
    secret.mkdir(parents=True, exist_ok=True)
    secret.chmod(0)
    program_path = Path(sys.executable).with_name("storage-webhook")
    for command in (("list",), ("prune", "--unused-for", "0s", "--grace", "0s")):
        arguments = [*WITHOUT_ROOTS_RIGHTS, program_path, "cache", *command, hostile.cache.directory, "-ojson"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        message = f"{other.model.name} is left out: no permission to read {(Path(other.model.name) / hidden)}."
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        if command == ("list",):
            assert done.returncode == 0
            states = {entry["key"]: entry["state"] for entry in json.loads(done.stdout)}
            assert states == {hostile.model.name: "complete", other.model.name: "unreadable"}
    secret.chmod(0o700)
