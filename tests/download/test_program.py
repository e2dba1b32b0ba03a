"""The download program, run with its injected command: a few pods on one claim."""

import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.download.pods import Claim, contents, running, shell, until
from webhook.download.command import Limits
from webhook.download.composition import program_text
from webhook.download.program import cache as program
from webhook.download.store import is_locked, leftovers

DOWNLOAD = shell('mkdir "$1/config"; printf weights > "$1/weights.bin"; printf {} > "$1/config/config.json"')
MODEL = {"weights.bin": b"weights", "config/config.json": b"{}"}
NEVER = shell("echo this must not run; exit 1")


def test_the_first_pod_downloads_the_model_and_writes_its_record(claim: Claim):
    pod = claim.run(DOWNLOAD)
    assert pod.process.returncode == 0, pod.output
    assert contents(claim.model) == MODEL
    record = json.loads(claim.cache.record.read_text())
    assert (record["uri"], record["files"], record["bytes"]) == ("s3://models/iris", 2, 9)
    assert record["pod"] == "pod-a"
    assert claim.names() == {claim.model.name, claim.cache.record.name}
    result = json.loads(pod.message)
    assert result.pop("seconds") >= 0
    assert "pruned while this pod runs" in result.pop("note")
    assert result == {"bytes": 9, "files": 2, "source": "s3://models/iris"}


def test_the_next_pod_uses_the_model_and_updates_its_last_use(claim: Claim):
    claim.run(DOWNLOAD)
    os.utime(claim.cache.record, (0, 0))
    pod = claim.run(NEVER, "pod-b")
    assert pod.process.returncode == 0, pod.output
    assert contents(claim.model) == MODEL
    assert "downloaded by pod pod-a" in pod.output
    assert json.loads(pod.message)["bytes"] == 9
    assert claim.cache.record.stat().st_mtime > 0


def test_another_uri_is_another_model(claim: Claim):
    claim.run(DOWNLOAD)
    other = replace(claim, uri="s3://models/other")
    other.run(shell('printf other > "$1/other"'))
    assert contents(other.model) == {"other": b"other"}
    assert contents(claim.model) == MODEL


def test_the_downloader_gets_its_arguments_and_the_download_directory(claim: Claim):
    pod = claim.run(["sh", "-ec", 'printf "%s\n" "$@" > "$4/args"', "sh", "--", "--key=x", "{x}"])
    assert pod.process.returncode == 0, pod.output
    *arguments, directory = (claim.model / "args").read_text().splitlines()
    assert arguments == ["--", "--key=x", "{x}"]
    assert Path(directory).parent.parent == claim.cache.directory


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            'echo no such bucket >&2; printf x > "$1/part"; exit 7',
            "not-found: the downloader exited with 7:\nno such",
        ),
        ("exit 0", "not-found: the downloader wrote no files"),
        ('ln -s /etc/passwd "$1/passwd"', "link out of it: "),
        ('ln -s ../../../outside "$1/up"', "link out of it: "),
        ('ln -s nothing "$1/dangling"; printf x > "$1/file"', "link out of it: "),
        ('mkfifo "$1/pipe"', "a special file"),
        ("kill -9 $$", "memory: the downloader exited with -9"),
        ("sh -c 'kill -9 $$'; exit $?", "memory: the downloader exited with 137"),
        ('printf x > "$1/part"; echo "OSError: [Errno 122] Disk quota exceeded"; exit 1', "disk: the downloader"),
    ],
)
def test_a_failed_download_is_removed_and_reported(claim: Claim, script: str, reason: str):
    pod = claim.run(shell(script))
    assert pod.process.returncode == 1
    assert claim.names() == set()
    assert reason in pod.message
    assert reason in pod.output
    assert claim.run(DOWNLOAD).process.returncode == 0


def test_a_missing_downloader_is_reported(claim: Claim):
    pod = claim.run(["/no/such/entrypoint"])
    assert pod.process.returncode == 1
    assert "cannot start the downloader" in pod.message
    assert "/no/such/entrypoint" in pod.message
    assert claim.names() == set()


def test_links_inside_the_model_are_kept(claim: Claim):
    claim.run(shell('printf x > "$1/blob"; ln -s blob "$1/weights.bin"'))
    assert (claim.model / "weights.bin").read_bytes() == b"x"


def test_a_claim_that_is_not_mounted_is_reported(tmp_path: Path):
    claim = Claim(tmp_path / "claim")
    pod = claim.run(DOWNLOAD)
    assert pod.process.returncode == 1
    assert pod.message.startswith("disk: the cache claim ")
    assert str(claim.root) in pod.message
    assert not claim.root.exists()


def test_secrets_in_the_uri_appear_in_no_file_and_no_message(claim: Claim):
    claim = replace(claim, uri="https://me:hunter2@host/model?sig=hunter2")
    pod = claim.run(DOWNLOAD)
    assert pod.process.returncode == 0, pod.output
    everything = pod.output + pod.message + claim.cache.record.read_text() + claim.cache.lock.read_text()
    assert "hunter2" not in everything
    assert "https://***@host/model?***" in pod.message


def written_pid(claim: Claim) -> int:
    """The process ID that a downloader wrote to the file `pid`."""
    until(lambda: any(path.stat().st_size for path in claim.find("pid")), "the download")
    return int(claim.find("pid")[0].read_text())


def test_sigterm_stops_the_download_and_cleans_up(claim: Claim):
    pod = claim.start(shell('sleep 1000 & printf x > "$1/part"; echo $! > "$1/pid"; wait'))
    sleeper = written_pid(claim)
    assert pod.kill(signal.SIGTERM) == 143
    assert claim.names() == set()
    until(lambda: not running(sleeper), "the end of what the downloader started")


def test_sigterm_at_any_moment_leaves_nothing(claim: Claim):
    rng = random.Random(7)
    for _ in range(15):
        pod = claim.start(shell('sleep 1000 & printf x > "$1/part"; wait'))
        time.sleep(rng.uniform(0.03, 0.2))
        assert pod.kill(signal.SIGTERM) in {143, -signal.SIGTERM}, pod.output
        until(lambda: not is_locked(claim.cache.lock), "the end of all that downloads")
        assert not claim.cache.directory.exists() or claim.names() == set()


def test_the_next_pod_cleans_up_after_a_pod_that_was_killed(claim: Claim):
    """The runtime kills all processes of a container with its first one."""
    pod = claim.start(shell('echo $$ > "$1/pid"; exec sleep 1000'))
    downloader = written_pid(claim)
    pod.kill()
    until(lambda: not running(downloader), "the downloader's end")
    assert not claim.model.exists()
    assert any(name.endswith(".tmp") for name in claim.names())
    pod = claim.run(DOWNLOAD, "pod-b")
    assert pod.process.returncode == 0, pod.output
    assert claim.names() == {claim.model.name, claim.cache.record.name}
    assert contents(claim.model) == MODEL


def test_the_lock_is_held_while_children_of_the_downloader_run(claim: Claim):
    gate = claim.root / "gate"
    script = f'(until [ -e {gate} ]; do sleep 0.05; done; echo late > "$1/late") & printf x > "$1/part"; wait'
    pod = claim.start(shell(script))
    until(lambda: claim.find("part"), "the download")
    pod.process.kill()  # but not what it started
    follower = claim.start(DOWNLOAD, "pod-b")
    assert follower.process.stdout
    assert "waiting for the download by pod pod-a" in follower.process.stdout.readline()
    assert leftovers(claim.cache)
    gate.touch()
    assert follower.finish() == 0
    assert contents(claim.model) == MODEL
    pod.finish()


def test_a_waiting_pod_reports_the_holder_and_then_gets_the_complete_model(claim: Claim, tmp_path: Path):
    """A second pod starts during a download that goes on until it waits, and for some time more."""
    chunk, chunks, waits = bytes(range(256)) * 256, 20, tmp_path / "waits"
    program = (
        "import os, sys, time\nwith open(sys.argv[1] + '/weights', 'wb') as f:\n f.write(b''); f.flush()\n"
        f" while not os.path.exists({str(waits)!r}): time.sleep(0.01)\n"
        f" for i in range({chunks}):\n  f.write(bytes(range(256)) * 256); f.flush(); time.sleep(0.03)"
    )
    writer = claim.start([sys.executable, "-c", program])
    until(lambda: claim.find("weights"), "the download")
    reader = claim.start(NEVER, "pod-b")
    assert reader.process.stdout is not None
    first = reader.process.stdout.readline()
    waits.touch()
    while reader.process.poll() is None:
        if claim.model.exists():
            assert contents(claim.model) == {"weights": chunk * chunks}
    assert reader.finish() == 0
    assert contents(claim.model) == {"weights": chunk * chunks}
    assert "waiting for the download by pod pod-a, since 20" in first
    assert "waiting for the download" not in reader.output
    assert writer.finish() == 0


def test_waiting_has_a_timeout(claim: Claim):
    writer = claim.start(shell("exec sleep 1000"))
    until(lambda: leftovers(claim.cache), "the download")
    pod = replace(claim, limits=Limits(wait=0)).run(NEVER, "pod-b")
    assert pod.process.returncode == 1
    assert pod.message == "timeout: the wait took over 0 s"
    assert "waiting for the download by pod pod-a" in pod.output
    assert writer.kill(signal.SIGTERM) == 143


def test_a_download_has_a_timeout(claim: Claim):
    pod = replace(claim, limits=Limits(download=0)).run(shell('printf x > "$1/part"; exec sleep 1000'))
    assert pod.process.returncode == 1
    assert pod.message == "timeout: the download took over 0 s"
    assert claim.names() == set()


def _remove_a_file(claim: Claim) -> None:
    (claim.model / "weights.bin").unlink()


def _truncate(claim: Claim) -> None:
    (claim.model / "weights.bin").write_bytes(b"")


def _remove_the_record(claim: Claim) -> None:
    claim.cache.record.unlink()


def _truncate_the_record(claim: Claim) -> None:
    claim.cache.record.write_text('{"files"')


def _remove_the_model(claim: Claim) -> None:
    shutil.rmtree(claim.model)


def _empty_the_model(claim: Claim) -> None:
    shutil.rmtree(claim.model)
    claim.model.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        _remove_a_file,
        _truncate,
        _remove_the_record,
        _truncate_the_record,
        _remove_the_model,
        _empty_the_model,
    ],
)
def test_a_damaged_model_is_downloaded_again(claim: Claim, damage):
    claim.run(DOWNLOAD)
    damage(claim)
    pod = claim.run(DOWNLOAD, "pod-b")
    assert pod.process.returncode == 0, pod.output
    assert contents(claim.model) == MODEL
    assert claim.names() == {claim.model.name, claim.cache.record.name}


@pytest.fixture
def open_claim() -> Iterator[Claim]:
    """A claim that other users can access, with a Python that they can run."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if os.geteuid() != 0 or not python:
        pytest.skip("becoming another user needs root, and a python3 in /usr/bin for that user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder, "claim")
        root.mkdir(mode=0o755)
        claim = Claim(root, python=Path(python))
        yield claim
        claim.end()


def test_a_claim_without_permission_is_reported(open_claim: Claim):
    pod = replace(open_claim, user=1000, group=1000).run(DOWNLOAD)
    assert pod.process.returncode == 1
    assert "disk: the cache claim denies access to user 1000, groups []" in pod.message
    assert "Set fsGroup in the pod's securityContext" in pod.message


def test_a_driver_that_does_not_apply_the_fs_group_is_named(open_claim: Claim):
    pod = replace(open_claim, user=1000, group=1000, fs_group=2000).run(DOWNLOAD)
    assert pod.process.returncode == 1
    assert "denies access to user 1000, groups [2000]" in pod.message
    assert "The claim's driver does not apply fsGroup 2000" in pod.message


def test_users_with_the_same_fs_group_delete_each_others_files(open_claim: Claim):
    os.chown(open_claim.root, 0, 2000)
    open_claim.root.chmod(0o2775)
    first = replace(open_claim, user=1000, group=2000).run(DOWNLOAD)
    assert first.process.returncode == 0, first.output
    _remove_a_file(open_claim)
    second = replace(open_claim, user=1001, group=2000).run(DOWNLOAD, "pod-b")
    assert second.process.returncode == 0, second.output
    assert contents(open_claim.model) == MODEL
    assert open_claim.names() == {open_claim.model.name, open_claim.cache.record.name}


DEVICE = os.makedev(0, 50)


def mount(right: str) -> str:
    """Two lines of /proc/self/mountinfo: for the root and for the claim."""
    return f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n95 22 0:50 / /mnt/cache rw,relatime shared:1 - {right}\n"


@pytest.mark.parametrize(
    "right",
    [
        "ext4 /dev/sdb rw",
        "xfs /dev/nolock rw",
        "nfs4 10.0.0.1:/export rw,vers=4.1,hard,proto=tcp,local_lock=none,addr=10.0.0.1",
        "nfs 10.0.0.1:/export rw,vers=3,local_lock=posix",
        "cifs //host/share rw,vers=3.1.1,cache=strict",
        "lustre 10.0.0.1@tcp:/fsx rw,flock",
        "ceph 10.0.0.1:/volumes rw,acl",
        "fuse.ceph-fuse ceph-fuse rw",
        "fuse.juicefs JuiceFS:models rw",
        "fuse.glusterfs host:/volume rw",
        "fuseblk /dev/sdb1 rw",
    ],
)
def test_suitable_mounts(right: str):
    assert program.unsuitable_mount(mount(right), DEVICE) == ""


@pytest.mark.parametrize(
    ("right", "reason"),
    [
        ("nfs 10.0.0.1:/export rw,vers=3,nolock,local_lock=all", "nolock"),
        ("nfs4 10.0.0.1:/export rw,vers=4.1,local_lock=flock", "local_lock=flock"),
        ("cifs //account.file.core.windows.net/share rw,vers=3.1.1,nobrl", "nobrl"),
        ("lustre 10.0.0.1@tcp:/fsx rw,localflock", "localflock"),
        ("fuse.s3fs s3fs rw,user_id=0", "fuse.s3fs s3fs"),
        ("fuse mountpoint-s3 rw,user_id=0", "fuse mountpoint-s3"),
        ("fuse.gcsfuse bucket rw", "fuse.gcsfuse bucket"),
        ("virtiofs kataShared rw", "virtiofs kataShared"),
        ("9p host rw,trans=virtio", "9p host"),
    ],
)
def test_unsuitable_mounts(right: str, reason: str):
    assert reason in program.unsuitable_mount(mount(right), DEVICE)


def test_only_the_mount_of_the_claim_counts():
    assert program.unsuitable_mount(mount("nfs h:/e rw,nolock,local_lock=all"), os.makedev(0, 51)) == ""


def test_the_program_runs_on_python_3_8(tmp_path: Path):
    text = program_text("in_cache", supervise=True, digest=True)
    ast.parse(text, feature_version=(3, 8))
    (tmp_path / "program.py").write_text(text)
    vermin = Path(sys.executable).with_name("vermin")
    command = [str(vermin), "--no-tips", "--violations", "-t=3.8-", str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def other_pythons() -> list[Path]:
    """Other interpreters, 3.8 or newer, in the parent directory of this one, as with pyenv, uv and CI runners."""
    found = [path for path in Path(sys.base_prefix).parent.glob("*/bin/python3") if sys.base_prefix not in str(path)]
    return [path for path in found if _succeeds(path, "import sys; sys.exit(sys.version_info < (3, 8))")]


def _succeeds(python: Path, program: str) -> bool:
    return subprocess.run([python, "-c", program], capture_output=True, check=False).returncode == 0


def test_the_program_runs_on_other_installed_pythons(claim: Claim):
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python is installed")
    for python in pythons:
        pod = replace(claim, uri=f"s3://models/{python}", python=python).run(DOWNLOAD)
        assert pod.process.returncode == 0, f"{python}: {pod.output}"
    models = [path for path in claim.cache.directory.iterdir() if path.is_dir()]
    assert [contents(model) for model in models] == [MODEL] * len(pythons)
