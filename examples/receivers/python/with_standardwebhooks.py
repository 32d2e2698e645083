"""Receive webhooks of ImageBatch with the library of Standard Webhooks (pip install standardwebhooks):

WEBHOOK_SECRET=whsec_... python with_standardwebhooks.py
"""

import os
import queue
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
ADDRESS = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9000")))
MAX_BODY_BYTES = 64 * 1024
REMEMBERED_IDS = 10_000

work: "queue.Queue[tuple[str, dict[str, Any]]]" = queue.Queue()
seen: dict[str, None] = {}
lock = threading.Lock()


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
        try:
            event = WEBHOOK.verify(self.rfile.read(int(length)), dict(self.headers.items()))
        except (WebhookVerificationError, ValueError):  # a ValueError where a header is no signature at all
            return 401
        if is_new(self.headers["webhook-id"]):
            work.put((self.headers["webhook-id"], event))
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
