"""The OpenAPI description of the admission routes, which FastAPI does not route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

_REVIEW: dict[str, Any] = {
    "title": "AdmissionReview",
    "description": "An AdmissionReview of admission.k8s.io/v1 or v1beta1 (Kubernetes: dynamic admission control).",
    "type": "object",
    "required": ["apiVersion", "kind"],
    "properties": {
        "apiVersion": {"enum": ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]},
        "kind": {"const": "AdmissionReview"},
        "request": {
            "type": "object",
            "required": ["uid"],
            "properties": {
                "uid": {"type": "string", "minLength": 1},
                "kind": {"type": "object"},
                "namespace": {"type": "string"},
                "operation": {"enum": ["CREATE", "UPDATE", "DELETE", "CONNECT"]},
                "object": {"type": "object"},
                "oldObject": {"type": ["object", "null"]},
                "dryRun": {"type": "boolean"},
            },
        },
        "response": {
            "type": "object",
            "required": ["uid", "allowed"],
            "properties": {
                "uid": {"type": "string"},
                "allowed": {"type": "boolean"},
                "patchType": {"const": "JSONPatch"},
                "patch": {"type": "string", "description": "A JSON patch (RFC 6902), base64."},
                "warnings": {"type": "array", "items": {"type": "string"}},
                "status": {"type": "object"},
                "auditAnnotations": {"type": "object"},
            },
        },
    },
}
_ERRORS = {
    "400": "The body is not an AdmissionReview.",
    "403": "A client certificate is required.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "503": "Too many requests at once.",
}


def describe(app: FastAPI, admission_routes: Mapping[str, str]) -> None:
    """Add the admission routes, a path and a summary each, to the OpenAPI description of `app`."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        schema["paths"] |= {path: {"post": _operation(path, summary)} for path, summary in admission_routes.items()}
        schema.setdefault("components", {}).setdefault("schemas", {})["AdmissionReview"] = _REVIEW
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operation(path: str, summary: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/AdmissionReview"}}}
    errors = {status: {"description": description} for status, description in _ERRORS.items()}
    return {
        "tags": ["Admission"],
        "summary": summary,
        "operationId": path.strip("/").replace("-", "_"),
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "The decision.", "content": content}, **errors},
    }
