"""Runs moto's SES with signature checking until standard input ends.

Prints one line of JSON: where it listens and the key of a user who may use SES. Verifies the senders given as arguments.
"""

import json
import logging
import sys

import boto3
import requests
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"


def main():
    # One line per request would only hide what the tests say.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    settings = {
        "endpoint_url": url,
        "region_name": REGION,
        "aws_access_key_id": "setup",
        "aws_secret_access_key": "setup",
    }
    iam = boto3.client("iam", **settings)
    iam.create_user(UserName="relay")
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ses:*", "Resource": "*"}],
    }
    iam.put_user_policy(UserName="relay", PolicyName="ses", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="relay")["AccessKey"]
    ses = boto3.client("sesv2", **settings)
    for sender in sys.argv[1:]:
        ses.create_email_identity(EmailIdentity=sender)
    # From here on every request must be signed by a known key.
    requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=10)
    answer = {
        "url": url,
        "access_key_id": key["AccessKeyId"],
        "secret_access_key": key["SecretAccessKey"],
        "region": REGION,
    }
    print(json.dumps(answer), flush=True)
    sys.stdin.read()
    server.stop()


main()
