"""The archives a user has saved; none at first. The file holds tokens, so only its owner may read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from brainviewer.storage import folders
from brainviewer.storage.files import put_aside, write_whole
from engines import BadInput

Title = Annotated[str, Field(pattern=r"^[ -\[\]-~]{1,16}$")]


class Node(BaseModel):
    """One archive.

    kind: "dimse" (host, port, title) or "web" (url). title: the archive's AE title, own_title: ours.
    fetch: "get", or "move" for archives that know nothing else; then listen_port is where they send to, opened
    on listen_host for the length of a fetch only. tls: encrypt DIMSE; ca_file, certificate, key: files of the
    connection. token: sent as "Authorization: Bearer"; user and password instead of it where there is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=60)]
    kind: Literal["dimse", "web"] = "dimse"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 104
    title: Title = "ANY-SCP"
    own_title: Title = "BRAINVIEWER"
    url: str = ""
    fetch: Literal["get", "move"] = "get"
    listen_host: str = "127.0.0.1"
    listen_port: Annotated[int, Field(ge=0, le=65535)] = 0
    tls: bool = False
    ca_file: str = ""
    certificate: str = ""
    key: str = ""
    token: str = ""
    user: str = ""
    password: str = ""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0

    @model_validator(mode="after")
    def _complete(self) -> Node:
        if self.kind == "web" and not re.match(r"https?://", self.url):
            raise ValueError("a web node needs an address that begins with http:// or https://")
        if self.fetch == "move" and not self.listen_port:
            raise ValueError("fetching by C-MOVE needs a port to listen on")
        return self

    @property
    def place(self) -> str:
        """Where it is, for the screen and the audit trail: without token and password."""
        return self.url if self.kind == "web" else f"{self.title}@{self.host}:{self.port}"


_NODES = TypeAdapter(tuple[Node, ...])


def path() -> Path:
    """The file of saved nodes."""
    return folders.settings_dir() / "archives.json"


def load() -> tuple[Node, ...]:
    """Saved nodes; a damaged file is put aside and counts as none."""
    try:
        return _NODES.validate_json(path().read_bytes())
    except FileNotFoundError:
        return ()
    except ValidationError:
        put_aside(path())
        return ()


def save(node: Node) -> None:
    """Add a node, or replace the one of the same name."""
    _store((*(one for one in load() if one.name != node.name), node))


def remove(name: str) -> None:
    """Forget a node; raises BadInput where there is none."""
    find(name)
    _store(tuple(one for one in load() if one.name != name))


def find(name: str) -> Node:
    """A node by its name; raises BadInput."""
    for node in load():
        if node.name == name:
            return node
    there = ", ".join(node.name for node in load()) or "none yet"
    raise BadInput(f"No archive is saved as '{name}'.", f"Saved: {there}. Add one with `brainviewer pacs add`.")


def make(**values: object) -> Node:
    """A node from what a user typed; raises BadInput with what is wrong."""
    try:
        return Node.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"The archive cannot be saved: {where} {first['msg']}".replace("  ", " ") + ".") from error


def _store(nodes: tuple[Node, ...]) -> None:
    write_whole(path(), _NODES.dump_json(nodes, indent=1))
    path().chmod(0o600)
