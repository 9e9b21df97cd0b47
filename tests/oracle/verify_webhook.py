"""Verifies a post with the Standard Webhooks library. Standard input: {"secret", "headers", "body" (Base64)}.

Prints "verified", or what the library says against it.
"""

import base64
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def main():
    given = json.load(sys.stdin)
    body = base64.b64decode(given["body"])
    try:
        payload = Webhook(given["secret"]).verify(body, given["headers"])
    except WebhookVerificationError as error:
        print(error)
        return
    assert payload == json.loads(body)
    print("verified")


main()
