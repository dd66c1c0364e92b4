"""Volumes kept in memory, so that going back to a series is immediate."""

from __future__ import annotations

from collections import OrderedDict

from engines import Volume

# About four CT series of 300 slices of 512x512.
DEFAULT_BYTES = 1_200_000_000


class VolumeCache:
    """The volumes used last, up to a number of bytes; the newest always stays."""

    def __init__(self, most_bytes: int = DEFAULT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._volumes: OrderedDict[str, Volume] = OrderedDict()

    def put(self, uid: str, volume: Volume) -> None:
        """Keep a volume and drop the ones unused for longest."""
        self._volumes[uid] = volume
        self._volumes.move_to_end(uid)
        while len(self._volumes) > 1 and self.bytes > self._most_bytes:
            self._volumes.popitem(last=False)

    def get(self, uid: str) -> Volume | None:
        """A volume, if it is still here."""
        volume = self._volumes.get(uid)
        if volume is not None:
            self._volumes.move_to_end(uid)
        return volume

    def drop(self, uid: str) -> None:
        """Forget a volume."""
        self._volumes.pop(uid, None)

    @property
    def bytes(self) -> int:
        """Memory the volumes take."""
        return sum(volume.voxels.nbytes for volume in self._volumes.values())
