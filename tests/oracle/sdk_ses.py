"""Sends the message on standard input by the AWS SDK to the server given as the first argument."""

import sys

import boto3

import message


def main():
    mail = message.read()
    client = boto3.client(
        "sesv2",
        endpoint_url=sys.argv[1],
        region_name="eu-west-1",
        aws_access_key_id="AKIAORACLE",
        aws_secret_access_key="oracle",
    )
    fields = (("ToAddresses", "to"), ("CcAddresses", "cc"), ("BccAddresses", "bcc"))
    destination = {
        name: [person["address"] for person in mail[field]] for name, field in fields if mail[field]
    }
    client.send_email(Destination=destination, Content={"Raw": {"Data": mail["raw"]}}, **mail["options"])


main()
