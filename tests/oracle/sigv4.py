"""Signs the request on standard input with botocore and prints the Authorization header.

The request names the time and the headers that are to be signed, so that only the signing itself is compared.
"""

import base64
import hashlib
import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def main():
    given = json.load(sys.stdin)
    body = base64.b64decode(given["body"])
    if given["headers"]["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
        sys.exit("the signed hash is not that of the body")
    request = AWSRequest(
        method=given["method"], url=given["url"], headers=given["headers"], data=body
    )
    request.context["timestamp"] = given["headers"]["x-amz-date"]
    credentials = Credentials(given["access_key_id"], given["secret_access_key"], given["session_token"])
    auth = SigV4Auth(credentials, "ses", given["region"])
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    signed = auth.signed_headers(auth.headers_to_sign(request))
    scope = auth.scope(request)
    print(f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature={signature}")


main()
