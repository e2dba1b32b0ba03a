"""Faster downloads from the Hugging Face Hub."""

from __future__ import annotations

import pytest

from tests.mutation import env, initializer, mutated, plain_pod


@pytest.mark.parametrize("uri", ["hf://org/model", "s3://bucket/model"])
def test_init_container_downloads_in_parallel(uri: str) -> None:
    assert env(initializer(mutated(plain_pod(uri)))) == {
        "HF_HUB_ENABLE_HF_TRANSFER": "1",
        "HF_XET_HIGH_PERFORMANCE": "1",
        "HF_XET_NUM_CONCURRENT_RANGE_GETS": "8",
    }
