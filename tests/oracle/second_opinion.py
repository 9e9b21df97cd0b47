"""Reads messages by Python's own email package, and tells what a reader would find in them.

Standard input is a JSON list of messages in Base64; standard output a list of what was found: text, html, and files with
name, length and SHA-256. What Python cannot read at all is null.
"""

import base64
import email
import hashlib
import json
import sys
from email import policy


def found(raw):
    message = email.message_from_bytes(raw, policy=policy.default)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    if any(part is not None and part.is_attachment() for part in (text, html)):
        text = html = None
    files = [file(part) for part in leaves(message) if part not in (text, html)]
    return {"text": content(text), "html": content(html), "files": [it for it in files if it]}


def leaves(part):
    """The parts that hold no others; a message within the message is one of them."""
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        for child in part.iter_parts():
            yield from leaves(child)
    else:
        yield part


def content(part):
    if part is None:
        return None
    try:
        return part.get_content().replace("\r\n", "\n")
    except LookupError:  # a charset that it does not know
        return None


def file(part):
    data = part.get_payload(decode=True)
    if data is None:  # a message within the message: Python has taken it apart
        return None
    return {"name": part.get_filename(), "length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def main():
    answers = []
    for encoded in json.load(sys.stdin):
        try:
            answers.append(found(base64.b64decode(encoded)))
        except (AttributeError, IndexError, KeyError, TypeError, UnicodeError, ValueError) as error:
            answers.append({"fault": repr(error)})
    json.dump(answers, sys.stdout)


main()
