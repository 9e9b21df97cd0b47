"""Sends the message on standard input by Postmark's SDK to the server given as the first argument."""

import sys

import postmark.sync

import message


def main():
    mail = message.read()
    out = {
        "sender": message.text(mail["from"]),
        "to": texts(mail["to"]),
        "subject": mail["subject"],
        "headers": [{"Name": name, "Value": value} for name, value in mail["headers"]],
        **mail["options"],
    }
    for field in ("cc", "bcc", "reply_to"):
        if mail[field]:
            out[field] = texts(mail[field])
    for field, body in (("text_body", mail["text"]), ("html_body", mail["html"])):
        if body:
            out[field] = body
    files = []
    for file in mail["attachments"]:
        entry = {
            "Name": file["filename"],
            "Content": file["content"],
            "ContentType": file["content_type"],
        }
        if file["inline"]:
            entry["ContentID"] = "cid:" + file["content_id"]
        files.append(entry)
    if files:
        out["attachments"] = files
    with postmark.sync.ServerClient("token-of-the-oracle", base_url=sys.argv[1]) as client:
        answer = client.outbound.send(out)
        print(answer.message_id)


def texts(people):
    return ", ".join(message.text(person) for person in people)


main()
