"""Requests for Jobs and the logs of their pods."""

from __future__ import annotations

import msgspec
from kubernetes.client import ApiException

from webhook.kubernetes_api.json_api import JsonApi, JsonObject

_TIMEOUT = (3, 30)
_JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"
_PODS = "/api/v1/namespaces/{namespace}/pods"
_CONFLICT = 409


class JobsApi(JsonApi):
    """Creates Jobs and reads how far they are."""

    def create(self, namespace: str, job: JsonObject) -> bool:
        """Create a Job. False when one of this name exists."""
        try:
            self.send("POST", _JOBS, _TIMEOUT, body=job, namespace=namespace).read()
        except ApiException as error:
            if error.status == _CONFLICT:
                return False
            raise
        return True

    def job(self, namespace: str, name: str) -> JsonObject:
        """The Job."""
        path = _JOBS + "/{name}"
        found: JsonObject = msgspec.json.decode(self.send("GET", path, _TIMEOUT, namespace=namespace, name=name).read())
        return found

    def pods(self, namespace: str, job: str) -> list[JsonObject]:
        """The pods of a Job, the newest one last."""
        query = [("labelSelector", f"batch.kubernetes.io/job-name={job}")]
        response = self.send("GET", _PODS, _TIMEOUT, query=query, namespace=namespace)
        items: list[JsonObject] = msgspec.json.decode(response.read())["items"]
        return sorted(items, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))

    def last_line(self, namespace: str, pod: str, container: str) -> str:
        """The last line of a container's log; "" when it has none yet."""
        query = [("container", container), ("tailLines", "1")]
        path = _PODS + "/{name}/log"
        try:
            data: bytes = self.send("GET", path, _TIMEOUT, query=query, namespace=namespace, name=pod).read()
        except ApiException:
            return ""
        return data.decode(errors="replace").strip()
