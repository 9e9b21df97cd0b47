"""Python's email package as a converter: parses two messages and makes JSON of them. Prints MB of raw message per second."""

import base64
import email
import email.policy
import json
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "target/bench"


def convert(raw: bytes) -> str:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    return json.dumps({
        "from": str(message["From"]), "to": [str(address) for address in message["To"].addresses],
        "subject": str(message["Subject"]),
        "text": text.get_content() if text else "", "html": html.get_content() if html else "",
        "attachments": [
            {"filename": part.get_filename(), "content": base64.b64encode(part.get_payload(decode=True)).decode()}
            for part in message.iter_attachments()
        ],
    })  # fmt: skip


def rate(raw: bytes, seconds: float) -> float:
    convert(raw)
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        convert(raw)
        count += 1
    return count * len(raw) / (time.perf_counter() - begun) / 1e6


scale = float(sys.argv[1])
print(json.dumps({name: rate((FOLDER / f"{name}.eml").read_bytes(), 2 * scale) for name in ("alternative", "attachment")}))
