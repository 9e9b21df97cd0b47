"""The message that a test hands to an official SDK, read from standard input.

The test gives the bytes and the envelope; the fields are read here by Python's own parser, so that the request that the
SDK makes of them owes nothing to ours.
"""

import base64
import email
import json
import sys
from email import policy
from email.headerregistry import Address

# Fields of the request itself, and those that describe how the message was written.
NOT_HEADERS = {"from", "to", "cc", "bcc", "reply-to", "subject", "mime-version"}

# Fields that give a provider orders, as the services write them.
ORDERS = ("x-smtpapi", "x-pm-", "x-ses-", "x-mailgun-", "x-mailin-", "resend-idempotency-key")


def read():
    """Returns the message: from, to, cc, bcc, reply_to, subject, text, html, headers, attachments, raw, options."""
    given = json.load(sys.stdin)
    raw = base64.b64decode(given["raw"])
    parsed = email.message_from_bytes(raw, policy=policy.default)
    recipients = given["recipients"]
    shown = {name: [p for p in people(parsed, name) if p["address"] in recipients] for name in ("to", "cc")}
    visible = {person["address"] for persons in shown.values() for person in persons}
    text, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    return {
        "id": given["id"],
        "from": people(parsed, "from")[0],
        **shown,
        "bcc": [{"name": "", "address": it} for it in recipients if it not in visible],
        "reply_to": people(parsed, "reply-to"),
        "subject": str(parsed["subject"]),
        "text": body(text),
        "html": body(html),
        "headers": [
            (name, str(value))
            for name, value in parsed.items()
            if name.lower() not in NOT_HEADERS and not name.lower().startswith(("content-", *ORDERS))
        ],
        "attachments": [file(part) for part in parsed.walk() if not part.is_multipart() and part not in (text, html)],
        "raw": raw,
        # What the header fields that give the provider orders mean, in the words of its API.
        "options": given.get("options", {}),
    }


def people(parsed, field):
    addresses = [address for header in parsed.get_all(field, []) for address in header.addresses]
    return [{"name": address.display_name, "address": address.addr_spec} for address in addresses]


def body(part):
    return None if part is None else part.get_content().replace("\r\n", "\n")


def file(part):
    content = part.get_payload(decode=True)
    parameters = [f"; {name}={value}" for name, value in part["content-type"].params.items() if name != "name"]
    return {
        "filename": part.get_filename(),
        "content_type": part.get_content_type() + "".join(parameters),
        "content": base64.b64encode(content).decode(),
        "bytes": content,
        "content_id": (part["content-id"] or "").strip("<>"),
        "inline": part.get_content_disposition() == "inline",
    }


def text(person):
    """`Name <address>` as the standard library writes it, without encoding."""
    local, domain = person["address"].rsplit("@", 1)
    if not person["name"]:
        return person["address"]
    return str(Address(display_name=person["name"], username=local, domain=domain))
