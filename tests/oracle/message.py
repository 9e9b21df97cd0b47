"""The message that a test hands to an official SDK, read from standard input."""

import base64
import json
import sys
from email.headerregistry import Address


def read():
    """Returns the message: see `letters::Sample::neutral` in tests/contract/letters.rs for its form."""
    message = json.load(sys.stdin)
    for file in message["attachments"]:
        file["bytes"] = base64.b64decode(file["content"])
    message["raw"] = base64.b64decode(message["raw"])
    return message


def text(person):
    """`Name <address>` as the standard library writes it, without encoding."""
    local, domain = person["address"].rsplit("@", 1)
    if not person["name"]:
        return person["address"]
    return str(Address(display_name=person["name"], username=local, domain=domain))
