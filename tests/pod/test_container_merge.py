"""Merge of containers: one entry per case."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from webhook.pod.container_merge import merge_container

REFERENCE = {"secretKeyRef": {"name": "s", "key": "k"}}
FIELD = {"fieldRef": {"fieldPath": "metadata.name"}}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a value is replaced": ({"image": "a", "args": ["x"]}, {"image": "b"}, {"image": "b", "args": ["x"]}),
    "a list without keys is replaced": ({"args": ["x", "y"]}, {"args": ["z"]}, {"args": ["z"]}),
    "empty values are ignored": (
        {"image": "a", "args": ["x"], "resources": {"limits": {"cpu": "1"}}},
        {"image": "", "args": [], "resources": {}, "command": None},
        {"image": "a", "args": ["x"], "resources": {"limits": {"cpu": "1"}}},
    ),
    "zero and false are values": (
        {"securityContext": {"runAsUser": 1, "runAsNonRoot": True}},
        {"securityContext": {"runAsUser": 0, "runAsNonRoot": False}},
        {"securityContext": {"runAsUser": 0, "runAsNonRoot": False}},
    ),
    "objects are merged": (
        {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}},
        {"resources": {"requests": {"memory": "2Gi"}}, "securityContext": {"runAsUser": 1}},
        {
            "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2"}},
            "securityContext": {"runAsUser": 1},
        },
    ),
    "env is merged by name, in order": (
        {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        {"env": [{"name": "C", "value": "3"}, {"name": "A", "value": "4"}]},
        {"env": [{"name": "A", "value": "4"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}]},
    ),
    "a reference replaces a value": (
        {"env": [{"name": "A", "value": "1"}]},
        {"env": [{"name": "A", "valueFrom": REFERENCE}]},
        {"env": [{"name": "A", "valueFrom": REFERENCE}]},
    ),
    "a value replaces a reference": (
        {"env": [{"name": "A", "valueFrom": REFERENCE}]},
        {"env": [{"name": "A", "value": "1"}]},
        {"env": [{"name": "A", "value": "1"}]},
    ),
    "another kind of reference replaces a reference": (
        {"env": [{"name": "A", "valueFrom": REFERENCE}]},
        {"env": [{"name": "A", "valueFrom": FIELD}]},
        {"env": [{"name": "A", "valueFrom": FIELD}]},
    ),
    "a reference is merged by field": (
        {"env": [{"name": "A", "valueFrom": REFERENCE}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"key": "other"}}}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "other"}}}]},
    ),
    "a variable without value or reference changes nothing": (
        {"env": [{"name": "A", "valueFrom": REFERENCE}]},
        {"env": [{"name": "A", "value": ""}]},
        {"env": [{"name": "A", "valueFrom": REFERENCE}]},
    ),
    "mounts are merged by path": (
        {"volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b", "readOnly": True}]},
        {"volumeMounts": [{"name": "c", "mountPath": "/b"}, {"name": "a", "mountPath": "/d"}]},
        {
            "volumeMounts": [
                {"name": "a", "mountPath": "/a"},
                {"name": "c", "mountPath": "/b", "readOnly": True},
                {"name": "a", "mountPath": "/d"},
            ]
        },
    ),
    "ports are merged by number": (
        {"ports": [{"containerPort": 80, "name": "http"}]},
        {"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81}]},
        {"ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}, {"containerPort": 81}]},
    ),
    "into a missing field": ({}, {"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "1"}]}),
    "into null": (
        {"env": None, "resources": None},
        {"env": [{"name": "A"}]},
        {"env": [{"name": "A"}], "resources": None},
    ),
}


@pytest.mark.parametrize(("base", "patch", "expected"), CASES.values(), ids=CASES)
def test_merge(base: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy((base, patch))
    assert merge_container(base, patch) == expected
    assert (base, patch) == before, "the input was modified"
