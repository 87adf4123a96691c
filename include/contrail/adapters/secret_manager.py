"""Secrets of Google Cloud's Secret Manager, read as the account of this process."""

from contrail.adapters.google_errors import google_errors

_SECONDS = 60


def read_secret(name: str) -> str:
    """Read the newest version of a secret.

    Args:
        name: ``projects/<project>/secrets/<secret>``.

    Raises:
        SpecError: The account may not read it.
        MissingInputError: There is no such secret, or it has no version yet.
        EngineError: The service did not answer.
    """
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    with google_errors():
        answer = SecretManagerServiceClient().access_secret_version(name=f"{name}/versions/latest", timeout=_SECONDS)
        return answer.payload.data.decode()
