"""Receive webhooks of ImageBatch with Python's standard library alone (3.11 or newer):

WEBHOOK_SECRET=whsec_... python standard_library.py
"""

import base64
import hashlib
import hmac
import json
import os
import queue
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"), validate=True)
ADDRESS = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9000")))
MAX_BODY_BYTES = 64 * 1024
TOLERANCE_S = 300
REMEMBERED_IDS = 10_000

work: "queue.Queue[tuple[str, dict[str, Any]]]" = queue.Queue()
seen: dict[str, None] = {}
lock = threading.Lock()


def is_ours(message_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    """Whether a message was signed with our secret, within a few minutes. One of its signatures must fit."""
    if not re.fullmatch("[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256))
    return any(hmac.compare_digest(expected, each.encode()) for each in signatures.split(" "))


def is_new(message_id: str) -> bool:
    """Whether an id is new. A shop keeps ids in its database, in one transaction with its work."""
    with lock:
        if message_id in seen:
            return False
        seen[message_id] = None
        if len(seen) > REMEMBERED_IDS:
            del seen[next(iter(seen))]
        return True


class Handler(BaseHTTPRequestHandler):
    """Checks, answers, and leaves the work to others: the sender waits 20 seconds, then it sends again."""

    timeout = 10  # for a connection that sends nothing

    def do_POST(self) -> None:
        self.send_response(self.receive())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def receive(self) -> int:
        """The status to answer with."""
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,12}", length):
            return 411
        if int(length) > MAX_BODY_BYTES:
            return 413
        body = self.rfile.read(int(length))
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        message_id, timestamp, signatures = (self.headers.get(name, "") for name in names)
        if not message_id or not is_ours(message_id, timestamp, signatures, body):
            return 401
        event = json.loads(body)
        if is_new(message_id):
            work.put((message_id, event))
        return 204

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: what is refused may be anybody's."""


def do_work() -> None:
    """What a shop does with an event: here it is printed. `output_csv` is null when a batch has no output."""
    while True:
        message_id, event = work.get()
        print(message_id, event["status"], event["output_csv"], flush=True)


if __name__ == "__main__":
    threading.Thread(target=do_work, daemon=True).start()
    server = ThreadingHTTPServer(ADDRESS, Handler)
    print(f"listening on {ADDRESS[0]}:{server.server_port}", flush=True)
    server.serve_forever()
