"""Sends the message on standard input by SendGrid's SDK to the server given as the first argument."""

import sys

from sendgrid import SendGridAPIClient
from sendgrid.helpers import mail as sg

import message


def main():
    mail = message.read()
    out = sg.Mail()
    out.from_email = sg.From(mail["from"]["address"], mail["from"]["name"] or None)
    out.subject = mail["subject"]
    for kind, people in ((sg.To, mail["to"]), (sg.Cc, mail["cc"]), (sg.Bcc, mail["bcc"])):
        for person in people:
            address = kind(person["address"], person["name"] or None)
            {sg.To: out.add_to, sg.Cc: out.add_cc, sg.Bcc: out.add_bcc}[kind](address)
    replies = [sg.ReplyTo(person["address"], person["name"] or None) for person in mail["reply_to"]]
    if len(replies) == 1:
        out.reply_to = replies[0]
    elif replies:
        out.reply_to_list = replies
    for kind, body in (("text/plain", mail["text"]), ("text/html", mail["html"])):
        if body:
            out.add_content(sg.Content(kind, body))
    for file in mail["attachments"]:
        out.add_attachment(
            sg.Attachment(
                sg.FileContent(file["content"]),
                sg.FileName(file["filename"]),
                sg.FileType(file["content_type"]),
                sg.Disposition("inline" if file["inline"] else "attachment"),
                sg.ContentId(file["content_id"]) if file["inline"] else None,
            )
        )
    for name, value in mail["headers"]:
        out.add_header(sg.Header(name, value))
    out.add_custom_arg(sg.CustomArg("mailferry_id", mail["id"]))
    for category in mail["options"].get("categories", []):
        out.add_category(sg.Category(category))
    if "send_at" in mail["options"]:
        out.send_at = sg.SendAt(mail["options"]["send_at"])
    SendGridAPIClient("SG.oracle", host=sys.argv[1]).send(out)


main()
