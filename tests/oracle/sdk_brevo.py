"""Sends the message on standard input by Brevo's SDK to the server given as the first argument."""

import sys

from brevo import Brevo

import message


def main():
    mail = message.read()
    out = {
        "sender": person(mail["from"]),
        "subject": mail["subject"],
        "headers": dict(mail["headers"]),
        **mail["options"],
    }
    for field in ("to", "cc", "bcc"):
        if mail[field]:
            out[field] = [person(it) for it in mail[field]]
    if mail["reply_to"]:
        out["reply_to"] = person(mail["reply_to"][0])
    for field, body in (("text_content", mail["text"]), ("html_content", mail["html"])):
        if body is not None:
            out[field] = body
    files = [{"name": file["filename"], "content": file["content"]} for file in mail["attachments"]]
    if files:
        out["attachment"] = files
    client = Brevo(api_key="xkeysib-oracle", base_url=sys.argv[1] + "/v3", max_retries=0)
    client.transactional_emails.send_transac_email(**out)


def person(given):
    out = {"email": given["address"]}
    if given["name"]:
        out["name"] = given["name"]
    return out


main()
