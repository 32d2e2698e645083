"""Finds the secrets that webhooks are signed with: in the batch's namespace, when they are needed."""

import base64

from imagebatch import webhook
from imagebatch.errors import ImageBatchError, SettingsError
from imagebatch_operator.kube import Kube


class SecretMissingError(ImageBatchError):
    """The Secret that a webhook is to be signed with is not there, or not usable."""


class WebhookSecrets:
    """Looks references up; webhooks without one are signed with the operator's own secret, if it has one."""

    def __init__(self, kube: Kube, default: str) -> None:
        self._kube = kube
        self._default = default

    async def secret_for(self, reference: str) -> str:
        """The secret that `namespace/name/key` names. Raises SecretMissingError, or KubeError."""
        if not reference:
            return self._default
        namespace, name, key = reference.split("/")
        found = await self._kube.get_secret(namespace, name)
        if found is None or key not in found.get("data", {}):
            raise SecretMissingError(f"there is no Secret {name} with a key {key} in namespace {namespace}")
        secret = base64.b64decode(found["data"][key]).decode(errors="replace").strip()
        try:
            webhook.check_secret(secret)
        except SettingsError as error:
            text = str(error).replace("IMAGEBATCH_WEBHOOK_SECRET", f"key {key} of Secret {name}")
            raise SecretMissingError(text) from None
        return secret
