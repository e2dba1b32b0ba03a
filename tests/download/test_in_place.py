"""The download program without a cache: supervision, digests and classes of failures. Runs the injected commands."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.download.pods import Claim, contents, shell, unescaped, until
from webhook.download.command import Delivery, Limits, Models, check_models, wrap_in_place
from webhook.download.program.digest import digests

WRONG = 64 * "0"


@dataclass(frozen=True)
class Result:
    """How an init container ended."""

    status: int
    output: str
    message: str

    @property
    def json(self) -> Any:
        return json.loads(self.message)


@dataclass(frozen=True)
class Download:
    """An init container that downloads to a directory."""

    folder: Path
    sha256: str = ""
    supervise: bool = False
    limits: Limits = field(default_factory=Limits)
    links: str = ""

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def start(self, script: str, patch: tuple[str, str] = ("", "")) -> subprocess.Popen[str]:
        """Start it with a shell script that gets the directory as `$1`."""
        self.model.mkdir(exist_ok=True)
        delivery = Delivery(self.supervise, self.limits, str(self.folder / "log"))
        models = Models("s3://models/iris", {str(self.model): self.sha256}, self.links)
        command, args = wrap_in_place(shell(script), [str(self.model)], models, delivery)
        words = [sys.executable, *command[1:4], command[4].replace(*patch), unescaped(args[0]), *args[1:]]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, script: str, patch: tuple[str, str] = ("", "")) -> Result:
        process = self.start(script, patch)
        output = process.communicate(timeout=60)[0]
        return Result(process.returncode, output, (self.folder / "log").read_text())


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path)


def manifest(files: dict[str, bytes]) -> str:
    """The digest of a directory as docs/downloads.md defines it."""
    lines = b"".join(
        b"%s\0%d\0%s\n" % (name.encode(), len(content), hashlib.sha256(content).hexdigest().encode())
        for name, content in sorted(files.items(), key=lambda item: item[0].encode())
    )
    return hashlib.sha256(lines).hexdigest()


FILES = {"config.json": b"{}", "weights/a.bin": b"aaa", "weights/b.bin": b"b"}
SCRIPT = (
    'mkdir -p "$1/weights" "$1/.cache/huggingface"; printf {} > "$1/config.json"; printf aaa > "$1/weights/a.bin"; '
    'printf b > "$1/weights/b.bin"; date > "$1/.cache/huggingface/time"'
)


def test_the_result_is_one_line_of_json(download: Download) -> None:
    result = replace(download, supervise=True).run(SCRIPT)
    assert result.status == 0, result.output
    found = result.json
    assert found.pop("seconds") >= 0
    assert found.pop("bytes") > 6
    assert found == {"files": 4, "source": "s3://models/iris"}


def test_the_downloaders_output_is_in_the_log(download: Download) -> None:
    result = replace(download, supervise=True).run('echo begin; printf x > "$1/x"; echo end >&2')
    assert result.output.splitlines()[:2] == ["begin", "end"]


@pytest.mark.parametrize("supervise", [False, True])
def test_a_model_with_the_right_digest_is_used(download: Download, supervise: bool) -> None:
    result = replace(download, sha256=manifest(FILES), supervise=supervise).run(SCRIPT)
    assert result.status == 0, result.output
    assert result.json["sha256"] == manifest(FILES)
    assert set(FILES) < set(contents(download.model))


def test_the_digest_of_a_single_file_counts_too(download: Download) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    assert replace(download, sha256=digest).run('printf weights > "$1/model.onnx"').status == 0


def test_a_model_with_a_wrong_digest_leaves_nothing_behind(download: Download) -> None:
    result = replace(download, sha256=WRONG).run(SCRIPT)
    assert result.status == 1
    assert result.message == f"digest: SHA-256 of {download.model} is {manifest(FILES)}, not {WRONG}"
    assert not download.model.exists() or contents(download.model) == {}


def test_leftovers_of_a_killed_attempt_are_no_part_of_the_model(download: Download) -> None:
    download.model.mkdir()
    (download.model / "part.tmp").write_text("x")
    assert replace(download, sha256=manifest(FILES)).run(SCRIPT).status == 0
    assert not (download.model / "part.tmp").exists()


def test_nothing_is_deleted_when_a_volume_is_mounted_in_the_model(download: Download, inner_file: Path) -> None:
    result = replace(download, folder=inner_file.parents[2], sha256=WRONG).run(SCRIPT)
    assert result.status == 1
    assert "cannot be emptied: a volume is mounted in it" in result.message
    assert inner_file.read_text() == "mine"


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("botocore.exceptions.ClientError: An error occurred (403) when calling HeadObject: Forbidden", "credentials"),
        ("RuntimeError: HTTP authentication failed for 'https://host/m'. Verify credentials.", "credentials"),
        ("RuntimeError: Access denied to GCS resource 'b'. Verify permissions.", "credentials"),
        ("RuntimeError: S3 bucket 'models' does not exist.", "not-found"),
        ("RuntimeError: HuggingFace resource 'org/model' not found.", "not-found"),
        ("RuntimeError: Failed to fetch model. No model found in iris.", "not-found"),
        ("requests.exceptions.ConnectionError: Failed to establish a new connection", "network"),
        ("urllib3.exceptions.ReadTimeoutError: HTTPPool(host='x', port=80): Read timed out.", "network"),
        ("socket.gaierror: [Errno -2] Name or service not known", "network"),
        ("RuntimeError: HTTP request to 'https://host/m' failed with status code 503.", "network"),
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("OSError: [Errno 122] Disk quota exceeded", "disk"),
        ("MemoryError", "memory"),
        ("INFO: Found credentials in the environment\nRuntimeError: No model found in iris.", "not-found"),
        ('ValueError: the file is no archive; File "storage.py", line 404, in f', "unknown"),
    ],
)
def test_a_failure_begins_with_its_class(download: Download, output: str, cause: str) -> None:
    result = replace(download, supervise=True).run(f"cat <<'E'\n{output}\nE\nexit 3")
    assert result.status == 1
    assert result.message.startswith(f"{cause}: the downloader exited with 3:")
    assert output in result.message


def test_a_downloader_that_is_killed_lacked_memory(download: Download) -> None:
    assert replace(download, supervise=True).run("kill -9 $$").message.startswith("memory: ")


def test_a_download_that_takes_too_long_is_ended(download: Download) -> None:
    result = replace(download, supervise=True, limits=Limits(download=1)).run("sleep 1000 & wait")
    assert result.status == 1
    assert result.message == "timeout: the download took over 1 s"


def test_a_download_that_stalls_is_ended(download: Download) -> None:
    script = 'for i in 1 2 3 4 5 6; do printf x >> "$1/part"; sleep 0.5; done; sleep 1000'
    result = replace(download, supervise=True, limits=Limits(stall=2)).run(script)
    assert result.status == 1
    assert result.message.startswith("stalled: no byte arrived for ")
    assert (download.model / "part").read_text() == "xxxxxx"


def test_progress_is_logged_while_the_download_runs(download: Download) -> None:
    script = f'head -c 5000000 /dev/zero > "$1/part"; until [ -e {download.folder}/go ]; do sleep 0.1; done'
    process = replace(download, supervise=True).start(script, ("INTERVAL = 10.0", "INTERVAL = 0.5"))
    assert process.stdout
    line = next(line for line in process.stdout if " 4 MiB in " in line)
    assert re.fullmatch(r"storage: downloading s3://models/iris: 4 MiB in \d+ s, [\d.]+ MiB/s\n", line)
    assert process.poll() is None
    (download.folder / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_sigterm_ends_the_download_and_its_children(download: Download) -> None:
    process = replace(download, sha256=WRONG).start('printf x > "$1/part"; sleep 1000')
    until((download.model / "part").exists, "the download")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not (download.model / "part").exists()


def test_links_lead_only_into_the_model_or_the_claim(download: Download, tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    (claim / "weights").mkdir(parents=True)
    for name, content in FILES.items():
        (claim / name).write_bytes(content)
    script = f'for path in {claim}/*; do ln -s "$path" "$1/"; done'
    checked = replace(download, sha256=manifest(FILES), links=str(claim))
    assert checked.run(script).status == 0
    outside = replace(checked, links="").run(script)
    assert "a link out of it" in outside.message
    assert contents(claim) == FILES


def check(path: Path, digest: str, log: Path) -> str:
    """The message of the init container that checks a mounted model."""
    command, args = check_models(Models("pvc://claim", {str(path): digest}), Delivery(termination_log=str(log)))
    subprocess.run([sys.executable, *command[1:], unescaped(args[0])], check=False, capture_output=True)
    return log.read_text()


def test_a_mounted_model_is_checked(tmp_path: Path) -> None:
    model, log = tmp_path / "model", tmp_path / "log"
    model.mkdir()
    (model / "a.bin").write_bytes(b"a")
    (model / "b.bin").write_bytes(b"b")
    right = manifest({"a.bin": b"a", "b.bin": b"b"})
    assert json.loads(check(model, right, log))["sha256"] == right
    assert json.loads(check(model / "a.bin", hashlib.sha256(b"a").hexdigest(), log))["files"] == 1
    assert check(model, WRONG, log).startswith("digest: ")
    assert check(model / "missing", WRONG, log).startswith("not-found: ")
    os.mkfifo(model / "pipe")
    assert "a special file" in check(model, right, log)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text("ab./\n é\udc80", min_size=1, max_size=6), st.binary(max_size=20), max_size=5))
def test_the_manifest_is_that_of_the_documentation(files: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        written = {}
        for name, content in files.items():
            path = Path(os.path.normpath(f"{folder}/x/{name.strip('/')}"))
            if path.is_relative_to(f"{folder}/x/") and path != Path(folder, "x"):
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                except OSError:
                    continue
                written[os.fsencode(path)[len(os.fsencode(folder)) + 3 :]] = content
        Path(folder, "x").mkdir(exist_ok=True)
        lines = b"".join(
            b"%s\0%d\0%s\n" % (name, len(content), hashlib.sha256(content).hexdigest().encode())
            for name, content in sorted(written.items())
        )
        assert digests(f"{folder}/x")[0] == hashlib.sha256(lines).hexdigest()


def test_a_large_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """A sparse file that is larger than the memory that the program may have."""
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(400 * 2**20)
    command, args = check_models(Models("pvc://claim", {str(tmp_path / "model.bin"): WRONG}), Delivery())
    limit = 300 * 2**20
    done = subprocess.run(
        [sys.executable, *command[1:], unescaped(args[0])],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert "storage: digest: SHA-256 of " in done.stdout, done.stdout + done.stderr


def test_a_wrong_digest_keeps_a_model_out_of_the_cache(claim: Claim) -> None:
    script = shell('printf a > "$1/a"; printf b > "$1/b"')
    pod = replace(claim, sha256=WRONG).run(script)
    assert pod.process.returncode == 1
    assert pod.message.startswith("digest: ")
    assert claim.names() == set()
    right = replace(claim, sha256=manifest({"a": b"a", "b": b"b"}))
    pod = right.run(script)
    assert pod.process.returncode == 0, pod.output
    assert json.loads(pod.message)["sha256"] == right.sha256
    assert json.loads(claim.cache.record.read_text())["sha256"] == right.sha256
    assert json.loads(right.run(shell("exit 1"), "pod-b").message)["sha256"] == right.sha256


def test_a_supervised_download_into_the_cache_stalls(claim: Claim) -> None:
    pod = replace(claim, supervise=True, limits=Limits(stall=1)).run(shell("exec sleep 1000"))
    assert pod.message.startswith("stalled: ")
    assert claim.names() == set()
