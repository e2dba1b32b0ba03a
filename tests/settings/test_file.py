"""Settings on disk: loaded, followed, and never lost to a bad write."""

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


def live(source):
    return source.current.settings.storage_initializer.image.rpartition(":")[2] if source.current else None


@contextlib.asynccontextmanager
async def opened(path, interval=3600):
    """A source that looks when it is told to, or every `interval` seconds."""
    source = FileSettings(path, interval)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


async def settle(source):
    """Enough looks for what does not change any more."""
    await source.look()
    await source.look()


async def until(condition):
    """Waits for what must come; far longer than it takes, for a busy machine."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


class Mounted:
    """A directory as kubelet mounts a ConfigMap: links through `..data` to a directory that is replaced as a whole."""

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
def test_changes_of_a_file_go_live(tmp_path, write):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(write("v1"))
        async with opened(path) as source:
            assert (live(source), source.current.generation, source.name) == ("v1", 1, f"file:{path}")
            before = source.current
            path.write_text(write("v2"))
            await settle(source)
            assert (live(source), source.current.generation, source.reloads) == ("v2", 2, 1)
            assert before.settings.storage_initializer.image == "example.com/init:v1", "a snapshot never changes"

            other = tmp_path / "other"
            other.write_text(write("v3"))
            other.replace(path)
            await settle(source)
            assert (live(source), source.refusals) == ("v3", 0)

    asyncio.run(scenario())


def test_changes_are_found_without_being_told(tmp_path):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(bare("v1"))
        async with opened(path, interval=0.01) as source:
            path.write_text(bare("v2"))
            await until(lambda: live(source) == "v2")
            path.write_text("{")
            await until(lambda: source.refused)
            assert live(source) == "v2"
            path.write_text(bare("v3"))
            await until(lambda: live(source) == "v3")

    asyncio.run(scenario())


def test_the_same_size_and_time_do_not_hide_a_change(tmp_path):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(bare("v1"))
        before = path.stat()
        async with opened(path) as source:
            path.write_text(bare("v2"))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            await settle(source)
            assert live(source) == "v2"

    asyncio.run(scenario())


def test_what_is_being_written_is_not_taken(tmp_path):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(bare("v1"))
        async with opened(path) as source:
            for half in ("", "storageInitializer: {", bare("half"), bare("v2")):
                path.write_text(half)
                await source.look()
                assert (live(source), source.refusals) == ("v1", 0), "found once is not enough"
            await source.look()
            assert live(source) == "v2"

    asyncio.run(scenario())


def test_a_mounted_configmap_is_followed(tmp_path):
    async def scenario():
        mounted = Mounted(tmp_path / "mounted")
        mounted.put({"storageInitializer": settings("v1"), "ingress": "{}"})
        async with opened(mounted.path) as source:
            assert live(source) == "v1"
            mounted.put({"storageInitializer": settings("v2"), "storageDefaults": "readOnly: false"})
            await settle(source)
            assert (live(source), source.current.settings.storage_defaults.read_only) == ("v2", False)
            mounted.put({"storageInitializer": settings("v3")})
            await settle(source)
            assert (live(source), source.current.settings.storage_defaults.read_only) == ("v3", True)
            mounted.put({"storageInitializer": settings("v3"), "ingress": "other"})
            await settle(source)
            assert source.current.generation == 3, "what belongs to KServe is no change"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "there is nothing in it"),
        ("storageInitializer: {", "neither JSON nor YAML"),
        ("storageInitializer: {cpuLimit: many}", "storageInitializer.cpuLimit: must be a quantity"),
        ("kind: Deployment", "there is no ConfigMap"),
        ("colour: blue", "none of the keys storageInitializer"),
        (b"\xff\xfe", "not UTF-8 text"),
        ("#" * (3 * 2**20 + 1), "larger than 3 MiB"),
        (None, "No such file or directory"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_bad_write_keeps_what_is_live(tmp_path, bad, reason):
    async def scenario():
        path = tmp_path / "settings.yaml"
        path.write_text(bare("v1"))
        async with opened(path) as source:
            if bad is None:
                path.unlink()
            else:
                path.write_bytes(bad if isinstance(bad, bytes) else bad.encode())
            await settle(source)
            assert reason in source.refused.reason
            assert live(source) == "v1"
            await settle(source)
            assert source.refusals == 1, "the same bad file is one refusal"

            path.write_text(bare("v1"))
            await settle(source)
            assert source.refused is None
            assert (source.current.generation, source.reloads) == (1, 0), "the old settings again are no reload"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.write_text("a: b: c"), "neither JSON nor YAML"),
        (lambda path: path.write_text("kind: Pod"), "there is no ConfigMap"),
        (lambda path: path.write_text("deploy: 3"), "deploy: must be an object, not 3"),
        (lambda path: path.mkdir(), "none of the keys"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
    ids=["absent", "no-yaml", "no-settings", "bad-key", "empty-directory", "pipe", "loop"],
)
def test_a_bad_file_stops_the_start(tmp_path, make, reason):
    path = tmp_path / "settings.yaml"
    make(path)
    with pytest.raises(SettingsError, match=reason) as at_start:
        asyncio.run(FileSettings(path).start())
    with pytest.raises(SettingsError, match=reason) as offline:
        load_file(path)
    assert str(at_start.value) == str(offline.value)


def test_a_file_for_the_command_line(tmp_path):
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
            await settle(source)
            assert (source.reloads, source.warnings) == (1, 3)

    asyncio.run(scenario())


def test_the_embedded_settings_are_live_at_once():
    from webhook.settings.model import Settings
    from webhook.settings.source import EmbeddedSettings

    async def scenario():
        source = EmbeddedSettings()
        await source.start()
        assert source.current.settings == Settings()
        assert (source.current.version, source.trouble, source.refused) == ("embedded", None, None)
        await source.stop()

    asyncio.run(scenario())
