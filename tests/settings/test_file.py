"""Settings on disk: loading, reloading, and invalid changes."""

import asyncio
import contextlib
import os

import pytest

from webhook.settings.disk import load_file
from webhook.settings.file import FileSettings
from webhook.settings.parse import SettingsError


def settings(tag):
    return f'{{"image": "example.com/init:{tag}"}}'


def bare(tag):
    return f"storageInitializer: {settings(tag)}\n"


def manifest(tag):
    return f"kind: ConfigMap\ndata:\n  storageInitializer: '{settings(tag)}'\n"


def active_tag(source):
    return source.current.settings.storage_initializer.image.rpartition(":")[2] if source.current else None


@contextlib.asynccontextmanager
async def opened(path, interval=3600):
    """A started source, which polls every `interval` seconds."""
    source = FileSettings(path, interval)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


async def poll_until_stable(source):
    """Poll often enough for a finished change to be loaded."""
    await source.poll()
    await source.poll()


async def until(condition):
    """Wait for a condition, with a timeout long enough for a busy machine."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


class MountedConfigMap:
    """A ConfigMap volume as the kubelet creates it: links through `..data`, which is replaced atomically."""

    def __init__(self, path):
        self.path = path
        self._count = 0
        path.mkdir()

    def put(self, files):
        self._count += 1
        fresh = self.path / f"..2025_{self._count}"
        fresh.mkdir()
        for name, text in files.items():
            (fresh / name).write_text(text)
        (self.path / "..data_tmp").symlink_to(fresh.name)
        (self.path / "..data_tmp").replace(self.path / "..data")
        for name in files:
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"..data/{name}")
        for link in self.path.iterdir():
            if link.is_symlink() and link.name not in {"..data", *files}:
                link.unlink()


@pytest.mark.parametrize("write", [bare, manifest])
def test_changes_of_a_file_take_effect(tmp_path, write):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(write("v1"))
        async with opened(path) as source:
            assert (active_tag(source), source.current.generation, source.name) == ("v1", 1, f"file:{path}")
            before = source.current
            path.write_text(write("v2"))
            await poll_until_stable(source)
            assert (active_tag(source), source.current.generation, source.reloads) == ("v2", 2, 1)
            assert before.settings.storage_initializer.image == "example.com/init:v1", "a snapshot never changes"

            other = tmp_path / "other"
            other.write_text(write("v3"))
            other.replace(path)
            await poll_until_stable(source)
            assert (active_tag(source), source.rejections) == ("v3", 0)

    asyncio.run(scenario())


def test_changes_are_detected_by_polling(tmp_path):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(bare("v1"))
        async with opened(path, interval=0.01) as source:
            path.write_text(bare("v2"))
            await until(lambda: active_tag(source) == "v2")
            path.write_text("{")
            await until(lambda: source.rejected)
            assert active_tag(source) == "v2"
            path.write_text(bare("v3"))
            await until(lambda: active_tag(source) == "v3")

    asyncio.run(scenario())


def test_a_change_with_the_same_size_and_time_is_detected(tmp_path):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(bare("v1"))
        before = path.stat()
        async with opened(path) as source:
            path.write_text(bare("v2"))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            await poll_until_stable(source)
            assert active_tag(source) == "v2"

    asyncio.run(scenario())


def test_a_file_that_is_being_written_is_not_loaded(tmp_path):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(bare("v1"))
        async with opened(path) as source:
            for half in ("", "storageInitializer: {", bare("half"), bare("v2")):
                path.write_text(half)
                await source.poll()
                assert (active_tag(source), source.rejections) == ("v1", 0), "a single read does not take effect"
            await source.poll()
            assert active_tag(source) == "v2"

    asyncio.run(scenario())


def test_changes_of_a_mounted_configmap_take_effect(tmp_path):
    async def scenario():
        mounted = MountedConfigMap(tmp_path / "mounted")
        mounted.put({"storageInitializer": settings("v1"), "ingress": "{}"})
        async with opened(mounted.path) as source:
            assert active_tag(source) == "v1"
            mounted.put({"storageInitializer": settings("v2"), "storageDefaults": "readOnly: false"})
            await poll_until_stable(source)
            assert (active_tag(source), source.current.settings.storage_defaults.read_only) == ("v2", False)
            mounted.put({"storageInitializer": settings("v3")})
            await poll_until_stable(source)
            assert (active_tag(source), source.current.settings.storage_defaults.read_only) == ("v3", True)
            mounted.put({"storageInitializer": settings("v3"), "ingress": "other"})
            await poll_until_stable(source)
            assert source.current.generation == 3, "what belongs to KServe is no change"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "is empty"),
        ("storageInitializer: {", "neither JSON nor YAML"),
        ("storageInitializer: {cpuLimit: many}", "storageInitializer.cpuLimit: must be a quantity"),
        ("kind: Deployment", "contains no ConfigMap"),
        ("colour: blue", "none of the keys storageInitializer"),
        (b"\xff\xfe", "not UTF-8 text"),
        ("#" * (2**20 + 1), "larger than 1 MiB"),
        (None, "No such file or directory"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_invalid_file_keeps_the_settings_in_effect(tmp_path, bad, reason):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(bare("v1"))
        async with opened(path) as source:
            if bad is None:
                path.unlink()
            else:
                path.write_bytes(bad if isinstance(bad, bytes) else bad.encode())
            await poll_until_stable(source)
            assert reason in source.rejected.reason
            assert active_tag(source) == "v1"
            await poll_until_stable(source)
            assert source.rejections == 1, "an unchanged invalid file is counted once"

            path.write_text(bare("v1"))
            await poll_until_stable(source)
            assert source.rejected is None
            assert (source.current.generation, source.reloads) == (1, 0), (
                "restoring the previous settings is not a reload"
            )

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.write_text("a: b: c"), "neither JSON nor YAML"),
        (lambda path: path.write_text("kind: Pod"), "contains no ConfigMap"),
        (lambda path: path.write_text("deploy: 3"), "deploy: must be an object, not 3"),
        (lambda path: path.mkdir(), "none of the keys"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
    ids=["absent", "no-yaml", "no-settings", "bad-key", "empty-directory", "pipe", "loop"],
)
def test_an_invalid_file_fails_the_start(tmp_path, make, reason):
    path = tmp_path / "settings.yaml"
    make(path)
    with pytest.raises(SettingsError, match=reason) as at_start:
        asyncio.run(FileSettings(path).start())
    with pytest.raises(SettingsError, match=reason) as offline:
        load_file(path)
    assert str(at_start.value) == str(offline.value)


def test_load_file_returns_settings_and_warnings(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("storageInitializer: {image: example.com/init:v1, colour: blue}")
    settings, warnings = load_file(path)
    assert settings.storage_initializer.image == "example.com/init:v1"
    assert [warning.key for warning in warnings] == ["storageInitializer.colour"]


def test_warnings_are_counted(tmp_path):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text("storageInitializer: {colour: blue, shape: round}")
        async with opened(path) as source:
            assert source.warnings == 2
            assert [warning.key.rpartition(".")[2] for warning in source.current.warnings] == ["colour", "shape"]
            path.write_text("storageInitializer: {colour: blue, cpuLimit: 2}")
            await poll_until_stable(source)
            assert (source.reloads, source.warnings) == (1, 3)

    asyncio.run(scenario())


def test_embedded_settings_take_effect_immediately():
    from webhook.settings.model import EMBEDDED
    from webhook.settings.source import EmbeddedSettings

    async def scenario():
        source = EmbeddedSettings()
        await source.start()
        assert source.current.settings == EMBEDDED
        assert (source.current.version, source.watch_error, source.rejected) == ("embedded", None, None)
        await source.stop()

    asyncio.run(scenario())
