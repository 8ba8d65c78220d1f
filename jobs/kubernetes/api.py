"""Objects of one namespace of the Kubernetes cluster in which this process runs, as its service account."""

import json
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import stamina

from pipeline.errors import SamLabelError, UsageError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REQUEST_S = 30.0
# A control plane is away for minutes while it is upgraded.
RETRY_S = 600.0


class Unavailable(SamLabelError):
    """The API server did not answer, or said that it is busy."""


@dataclass(frozen=True)
class Kubernetes:
    """The API server at `url`; `account` is the folder that Kubernetes mounts for a service account."""

    url: str
    account: Path = ACCOUNT

    @classmethod
    def around(cls) -> "Kubernetes":
        """The cluster of this pod. Raises: UsageError if this is no pod."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port or not ACCOUNT.is_dir():
            raise UsageError(
                "this is not a pod with a service account; on a machine of your own use "
                "`kubectl create job --from=cronjob/sam-label NAME`"
            )
        return cls(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")

    @property
    def namespace(self) -> str:
        return (self.account / "namespace").read_text(encoding="utf-8").strip()

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at a path below /apis/; None if there is none."""
        return self._answer("GET", path)

    def create(self, path: str, content: dict[str, Any]) -> bool:
        """Creates the object; False if one of its name exists."""
        try:
            self._answer("POST", path, content)
        except FileExistsError:
            return False
        return True

    def delete(self, path: str) -> None:
        """Asks for the object to be deleted; it goes once its finalizers have run."""
        self._answer("DELETE", path)

    def _answer(self, method: str, path: str, content: dict[str, Any] | None = None) -> dict[str, Any] | None:
        @stamina.retry(on=Unavailable, attempts=None, timeout=RETRY_S, wait_max=30.0)
        def answer() -> dict[str, Any] | None:
            return self._asked_once(method, path, content)

        return answer()

    def _asked_once(self, method: str, path: str, content: dict[str, Any] | None) -> dict[str, Any] | None:
        # Read anew each time: Kubernetes replaces the token every hour.
        token = (self.account / "token").read_text(encoding="utf-8").strip()
        request = urllib.request.Request(  # noqa: S310 - the address is Kubernetes' own
            f"{self.url}/apis/{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S, context=self._trust()) as reply:  # noqa: S310
                found: dict[str, Any] = json.load(reply)
                return found
        except urllib.error.HTTPError as refusal:
            if refusal.code == HTTPStatus.NOT_FOUND and method != "POST":
                return None
            raise _refused(refusal, method, path) from None
        except (OSError, ValueError) as fault:
            raise Unavailable(f"Kubernetes at {self.url} does not answer ({fault}); run again") from fault

    def _trust(self) -> ssl.SSLContext | None:
        return (
            ssl.create_default_context(cafile=self.account / "ca.crt")
            if self.url.startswith("https:")
            else None
        )


def _refused(refusal: urllib.error.HTTPError, method: str, path: str) -> Exception:
    try:
        why = json.load(refusal).get("message", refusal.reason)
    except (OSError, ValueError, AttributeError):
        why = refusal.reason
    if refusal.code == HTTPStatus.CONFLICT and method == "POST":
        return FileExistsError(path)
    if refusal.code == HTTPStatus.TOO_MANY_REQUESTS or refusal.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(f"Kubernetes is busy ({why}); run again")
    if refusal.code == HTTPStatus.NOT_FOUND:
        return UsageError(f"Kubernetes does not know {path}: install the KubeRay operator")
    return UsageError(f"Kubernetes refused to {method} {path}: {why}")
