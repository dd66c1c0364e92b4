"""TLS for both ways of speaking to an archive: its certificate is always checked."""

from __future__ import annotations

import ssl

from brainviewer.storage.nodes import Node
from engines import BadInput


def context(node: Node) -> ssl.SSLContext:
    """What a connection is checked and opened with; raises BadInput where a file cannot be used."""
    try:
        made = ssl.create_default_context(cafile=node.ca_file or None)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if node.certificate:
            made.load_cert_chain(node.certificate, node.key or None)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            f"The certificates of '{node.name}' cannot be read.", "Check ca_file, certificate and key."
        ) from error
    return made
