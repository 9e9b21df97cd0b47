"""Sends the message on standard input by Resend's SDK to the server given as the first argument."""

import sys

import resend

import message


def main():
    resend.api_key = "re_oracle"
    resend.api_url = sys.argv[1]
    mail = message.read()
    params = {
        "from": message.text(mail["from"]),
        "to": [message.text(person) for person in mail["to"]],
        "subject": mail["subject"],
        "text": mail["text"] or "",
        "headers": dict(mail["headers"]),
    }
    for field in ("cc", "bcc", "reply_to"):
        if mail[field]:
            params[field] = [message.text(person) for person in mail[field]]
    if mail["html"] is not None:
        params["html"] = mail["html"]
    files = []
    for file in mail["attachments"]:
        entry = {
            "filename": file["filename"],
            "content": list(file["bytes"]),
            "content_type": file["content_type"],
        }
        if file["inline"]:
            entry["content_id"] = file["content_id"]
        files.append(entry)
    if files:
        params["attachments"] = files
    resend.Emails.send(params, {"idempotency_key": "oracle-key"})


main()
