"""A mail server by aiosmtpd, until standard input ends.

Arguments: the certificate and the key of STARTTLS, and the user and password without which it takes nothing. Prints its
port, then one line of JSON for each message. Recipients at refused.example are refused, those at later.example deferred.
"""

import asyncio
import base64
import json
import logging
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult


class Sink:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.endswith("@refused.example"):
            return "550 5.1.1 no such user here"
        if address.endswith("@later.example"):
            return "450 4.2.0 greylisted"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.append(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        say(
            {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "parameters": envelope.mail_options,
                "tls": session.ssl is not None,
                "authenticated": session.authenticated,
                "content": base64.b64encode(envelope.original_content).decode(),
            }
        )
        return "250 2.0.0 Ok: queued as SINK1"


def say(value):
    print(json.dumps(value), flush=True)


async def main():
    # A handshake that the client breaks off would only hide what the tests say.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    certificate, key, user, password = sys.argv[1:5]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def authenticate(server, session, envelope, mechanism, data):
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == (user, password), handled=False)

    def session():
        return SMTP(
            Sink(),
            enable_SMTPUTF8=True,
            decode_data=False,
            hostname="sink.example",
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", 0)
    say({"port": server.sockets[0].getsockname()[1]})
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
