"""A replica loads nothing that it does not use: each of these costs memory in every replica, and time at each start."""

from __future__ import annotations

import json
import subprocess
import sys

_MODULES = "webhook.__main__, webhook.server.run, webhook.server.cluster_integration"
_SERVER = f"import sys, json, {_MODULES}, fastapi.openapi.models as models"


def _printed(expression):
    program = f"{_SERVER}; print(json.dumps({expression}))"
    return json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)


def test_packages_are_loaded_only_where_they_are_used():
    loaded = {name.partition(".")[0] for name in _printed("list(sys.modules)")}
    assert {"structlog", "fastapi"} <= loaded
    assert not {"rich", "greenlet", "cryptography"} & loaded
    assert not [name for name in loaded if name.startswith("_sysconfigdata")]


def test_models_of_openapi_are_built_when_they_are_used():
    built = "models.OpenAPI.__pydantic_complete__"
    version = 'models.Info.model_validate({"title": "webhook", "version": "1"}).version'
    assert _printed(f"[{built}, {version}]") == [False, "1"]


def test_models_that_are_made_later_are_built_at_once():
    assert _printed("type('Later', (models.BaseModel,), {}).__pydantic_complete__") is True
