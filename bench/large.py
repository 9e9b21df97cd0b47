"""Messages with a large attachment, over several SMTP sessions at a time."""

import base64
import smtplib
import threading

HEADER = (
    b"From: a@example.org\r\nTo: b@example.org\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n'
    b'--b\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
    b'Content-Disposition: attachment; filename="a.pdf"\r\n\r\n'
)
END = b"--b--\r\n"


def message(octets: int) -> bytes:
    """One of a little less than that, the octets of the file all different from their neighbours."""
    lines = (octets - len(HEADER) - len(END)) // 78
    block = bytes(range(256)) * 57
    line_pool = [base64.b64encode(block[n * 57 : n * 57 + 57]) + b"\r\n" for n in range(256)]
    return HEADER + b"".join(line_pool[n % 256] for n in range(lines)) + END


def send(port: int, sessions: int, count: int, octets: int) -> None:
    """Sends `count` messages. A 452 is tried again: it says that the sessions' memory is full, and is part of the deal."""
    content = message(octets)
    left = iter(range(count))
    lock = threading.Lock()
    failures: list[Exception] = []

    def work() -> None:
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=300) as client:
                while True:
                    with lock:
                        if next(left, None) is None:
                            return
                    for _ in range(100):
                        try:
                            client.sendmail("a@example.org", ["b@example.org"], content)
                            break
                        except smtplib.SMTPDataError as error:
                            if error.smtp_code != 452:
                                raise
                    else:
                        raise SystemExit("452 a hundred times")
        except Exception as error:  # noqa: BLE001 -- told to the one who waits
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"sending large messages failed: {failures[0]}")
