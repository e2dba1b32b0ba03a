"""The program that checks the paths of mounted claims, run as its init container runs it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.download.test_command import expanded
from webhook.download import path_check
from webhook.download.command import ClaimedPath, check_command
from webhook.download.composition import path_check_text


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    """A claim that contains a model."""
    root = tmp_path / "claim"
    (root / "iris" / "v1").mkdir(parents=True)
    (root / "iris" / "v2").mkdir()
    (root / "iris" / "v1" / "model.onnx").touch()
    (root / "$(HOME)").mkdir()
    (root / "latest").symlink_to("iris/v2")
    (root / "current.onnx").symlink_to("iris/v1/model.onnx")
    (root / "dangling").symlink_to("/data/iris")
    (root / "outside").symlink_to(tmp_path)
    return root


def run(*paths: ClaimedPath, user: int | None = None) -> tuple[int, str]:
    """The exit status and the output."""
    command, args = check_command(paths)
    python = sys.executable if user is None else "/usr/bin/python3"
    command = [python, *(expanded(part, {}) for part in [*command[1:], *args])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, user=user, group=user, extra_groups=())
    assert not done.stderr
    return done.returncode, done.stdout


def of(root: Path, path: str, *, is_file: bool = False) -> ClaimedPath:
    return ClaimedPath("models", str(root), path, is_file)


@pytest.mark.parametrize(
    ("path", "is_file"),
    [
        ("iris", False),
        ("iris/v1", False),
        ("iris/v1/model.onnx", True),
        ("latest", False),
        ("current.onnx", True),
        ("$(HOME)", False),
    ],
)
def test_a_path_that_exists_passes(claim: Path, path: str, is_file: bool) -> None:
    assert run(of(claim, path, is_file=is_file)) == (0, "")


@pytest.mark.parametrize(
    ("path", "is_file", "reason"),
    [
        ("iris/v3", False, "claim models has no path iris/v3: iris contains v1, v2"),
        ("irsi/v1", False, "claim models has no path irsi/v1: its root contains iris"),
        ("iris/v1/model.onx", True, "iris/v1 contains model.onnx"),
        ("iris/v2/model.onnx", True, "iris/v2 contains nothing"),
        ("iris/v1/model.onnx/1", False, "model.onnx in iris/v1 is a file"),
        ("dangling", False, "dangling in its root is a link to /data/iris, which is not in the claim"),
        ("dangling/v1", False, "dangling in its root is a link to /data/iris, which is not in the claim"),
        ("outside", False, "which is not in the claim"),
        ("iris/" + 300 * "x", False, "File name too long"),
        ("iris/\n\x1b", False, "claim models has no path iris/??: "),
        ("iris/v1/model.onnx", False, "is a file, not a directory: set annotation storage.kserve.io/path-type to file"),
        ("iris/v1", True, "is a directory, not a file: set annotation storage.kserve.io/path-type to directory"),
    ],
)
def test_a_path_that_cannot_be_mounted_fails_with_a_sentence(
    claim: Path, path: str, is_file: bool, reason: str
) -> None:
    before = sorted(claim.rglob("*"))
    status, output = run(of(claim, path, is_file=is_file))
    assert status == 1
    assert reason in output
    assert len(output.splitlines()) == 1
    assert sorted(claim.rglob("*")) == before


def test_all_paths_are_checked(claim: Path) -> None:
    status, output = run(of(claim, "iris"), of(claim, "a"), of(claim, "latest"), of(claim, "b"))
    assert status == 1
    assert [line.split(":")[0] for line in output.splitlines()] == [
        "claim models has no path a",
        "claim models has no path b",
    ]


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="needs root and a system Python")
def test_a_path_that_the_user_may_not_see_passes() -> None:
    # The kubelet, which is root, may see it.
    root = Path("/var/tmp") / f"path-check-{os.getpid()}"
    (root / "iris").mkdir(parents=True)
    try:
        root.chmod(0o700)
        status, output = run(of(root, "iris/v1"), user=1000)
        assert status == 0
        assert output == "cannot check path iris/v1 of claim models as user 1000: Permission denied\n"
    finally:
        (root / "iris").rmdir()
        root.rmdir()


def test_a_large_directory_is_not_read_to_its_end(tmp_path: Path) -> None:
    for number in range(path_check.MAX_NAMES + 100):
        (tmp_path / f"{number:05}").touch()
    status, output = run(of(tmp_path, "iris"))
    assert status == 1
    assert len(output) < 200


def test_the_program_runs_on_python_3_8() -> None:
    ast.parse(path_check_text(), feature_version=(3, 8))
    vermin = Path(sys.executable).with_name("vermin")
    command = [str(vermin), "--no-tips", "--violations", "-t=3.8-", path_check.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_program_is_small_and_has_nothing_that_kubernetes_expands() -> None:
    assert "$" not in path_check_text()
    assert len(path_check_text()) < 4_000
