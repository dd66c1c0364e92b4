"""The key by which identities are replaced, the same for every export of this user."""

from __future__ import annotations

import secrets

from brainviewer.storage import folders
from brainviewer.storage.files import write_whole

BYTES = 32


def key() -> bytes:
    """The secret key, made at its first use; only the owner may read it."""
    path = folders.data_dir() / "deidentify.key"
    try:
        found = path.read_bytes()
        if len(found) == BYTES:
            return found
    except FileNotFoundError:
        pass
    fresh = secrets.token_bytes(BYTES)
    write_whole(path, fresh)
    path.chmod(0o600)
    return fresh
