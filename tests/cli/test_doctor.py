"""`storage-webhook doctor` without a cluster. With one: tests/e2e/test_doctor.py."""

from pathlib import Path

import pytest

from tests.cli.running import run


@pytest.mark.parametrize("address", ["", "webhook", ":8443", "webhook:https", "8443"])
def test_an_invalid_address_is_rejected(address: str) -> None:
    result = run("doctor", "--address", address)
    assert result.exit_code == 2
    assert "HOST:PORT" in result.stderr


def test_a_missing_kubeconfig_is_reported(tmp_path: Path) -> None:
    result = run("doctor", env={"KUBECONFIG": str(tmp_path / "none")})
    assert result.exit_code == 2
    assert "there is no kubeconfig" in result.stderr
    assert not result.stdout
