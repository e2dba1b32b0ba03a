"""A full claim: a tmpfs of 4 MiB."""

from dataclasses import replace

import pytest

from tests.download.pods import Claim, contents, shell

SMALL = shell('head -c 1048576 /dev/zero > "$1/weights"')
BIG = shell('head -c 8388608 /dev/zero > "$1/weights"')
NEVER = shell("echo this must not run; exit 1")


def other(claim: Claim) -> Claim:
    return replace(claim, uri="s3://models/other")


def test_a_model_that_does_not_fit_fails_and_keeps_other_models(small_claim: Claim):
    assert small_claim.run(SMALL).process.returncode == 0
    pod = other(small_claim).run(BIG, "pod-b")
    assert pod.process.returncode == 1
    assert pod.message.startswith("disk: the downloader exited with 1:")
    assert "No space left" in pod.message
    assert small_claim.names() == {small_claim.model.name, small_claim.cache.record.name}
    assert contents(small_claim.model) == {"weights": bytes(1048576)}
    assert small_claim.run(NEVER, "pod-c").process.returncode == 0
    assert other(small_claim).run(SMALL, "pod-d").process.returncode == 0


def test_a_full_claim_still_provides_its_models(small_claim: Claim):
    assert small_claim.run(SMALL).process.returncode == 0
    filler = small_claim.root / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert small_claim.run(NEVER, "pod-b").process.returncode == 0
    pod = other(small_claim).run(SMALL, "pod-c")
    assert pod.process.returncode == 1
    assert pod.message.startswith("disk: the cache claim is full") or "No space left" in pod.message
    filler.unlink()
    assert other(small_claim).run(SMALL, "pod-d").process.returncode == 0
