"""Prints the message on standard input as JSON, for the SDKs of other languages."""

import base64
import json

import message


def main():
    mail = message.read()
    mail["raw"] = base64.b64encode(mail["raw"]).decode()
    for file in mail["attachments"]:
        del file["bytes"]
    print(json.dumps(mail))


main()
