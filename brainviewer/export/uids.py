"""UIDs: fresh ones for what is written, repeatable ones for what has to be recognised again."""

from __future__ import annotations

import hashlib
import uuid

from pydicom.uid import UID


def fresh() -> UID:
    """A UID nobody has used."""
    return UID(f"2.25.{uuid.uuid4().int}")


def repeatable(*parts: object) -> UID:
    """The same UID for the same parts: a finding's tracking UID, the images made from a NIfTI file."""
    text = "\x1f".join(["brainviewer", *map(str, parts)])
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return UID(f"2.25.{uuid.UUID(bytes=digest, version=4).int}")
