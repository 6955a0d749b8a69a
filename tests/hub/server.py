"""The server process: sockets, the faults that happen on them, and the command line."""

from __future__ import annotations

import argparse
import itertools
import socket
import struct
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from . import contents, control, downloads, publishing, repositories, uploads
from .faults import Action, Fault, corrupted, shortened
from .hub import Account, Hub, Settings
from .routing import respond
from .store import Store
from .wire import Body, HubError, Request, Response, received

ENDPOINTS = [module.routes for module in (control, repositories, contents, publishing, uploads, downloads)]
HOST = "127.0.0.1"
STORAGE_HOST = "localhost"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, root: Path, accounts: Sequence[Account], settings: Settings) -> None:
        super().__init__((HOST, port), Handler)
        origin = f"http://{{}}:{self.server_port}"
        self.hub = Hub(Store(root), accounts, settings, origin.format(HOST), origin.format(STORAGE_HOST))

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away is nothing to report: tests kill clients on purpose.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are sent apart; waiting to join them costs 40 ms
    server: Server

    def serve(self) -> None:
        target = urlsplit(self.path)
        body = received(self.rfile, self.headers)
        request = Request(self.command, target.path, parse_qs(target.query), self.headers, body)
        controls = target.path.startswith(control.PREFIX)  # these never fail, and leave no trace
        faults = {} if controls else self.server.hub.faults.draw(request.method, request.path)
        if delay := faults.get("delay"):
            time.sleep(delay.seconds)
        if drop := faults.get("drop"):
            self.note(request, None)
            self.hang_up(request, drop)
            return
        response = faults["status"].refusal() if "status" in faults else self.answer(request)
        if lose := faults.get("lose"):
            self.note(request, None)
            self.hang_up(request, lose)
            return
        if not controls:
            self.note(request, response)
        exhaust(request)  # what a refusal left unread must not be taken for the next request
        self.send(response, faults)
        if cut := faults.get("cut"):
            self.hang_up(request, cut)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

    def answer(self, request: Request) -> Response:
        try:
            return respond(ENDPOINTS, self.server.hub, request)
        except ConnectionError:
            raise
        except Exception:
            traceback.print_exc()
            return HubError(500, f"The test server failed: {traceback.format_exc(limit=-1)}").response

    def send(self, response: Response, faults: dict[Action, Fault]) -> None:
        body = response.body
        if truncate := faults.get("truncate"):
            body = Body(body.source, body.start, min(body.start + truncate.at, body.stop))
        if replaced := faults.get("body"):
            body = Body.whole(replaced.content.encode())
        headers = {"Content-Length": str(len(body)), **response.headers}
        if "endless" in faults:
            del headers["Content-Length"]
            self.close_connection = True
        if changed := faults.get("headers"):
            names = {name.lower() for name in changed.headers}
            headers = {name: text for name, text in headers.items() if name.lower() not in names}
            headers |= {name: text for name, text in changed.headers.items() if text}
        self.send_response(response.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            for piece in spoiled(body, faults):
                self.wfile.write(piece)

    def note(self, request: Request, response: Response | None) -> None:
        """Log a request before it is answered, so that whoever has the answer finds it in the log."""
        self.server.hub.log.append(
            {
                "method": request.method,
                "path": request.path,
                "query": {name: values for name, values in request.query.items() if name != "signature"},
                "status": response and response.status,
                "authorized": "Authorization" in request.headers,
                "range": request.headers.get("Range"),
            }
        )

    def hang_up(self, request: Request, fault: Fault) -> None:
        self.close_connection = True
        if fault.reset:
            # Closed with a linger time of zero, and with nobody else holding it, a socket is reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
        else:
            exhaust(request)  # a socket closed with bytes unread is reset too
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read the log through the control endpoint; the terminal stays quiet."""


def exhaust(request: Request) -> None:
    for _ in request.body:
        pass


def spoiled(body: Body, faults: dict[Action, Fault]) -> Iterator[bytes]:
    pieces = body.pieces()
    if corrupt := faults.get("corrupt"):
        pieces = corrupted(pieces, corrupt.at)
    if cut := faults.get("cut"):
        pieces = shortened(pieces, cut.at)
    if trickle := faults.get("trickle"):
        pieces = slowly(pieces, trickle.seconds)
    if endless := faults.get("endless"):
        pieces = itertools.repeat(endless.content.encode() * 1000)
    return pieces


def slowly(pieces: Iterator[bytes], seconds: float) -> Iterator[bytes]:
    for piece in pieces:
        for byte in piece:
            time.sleep(seconds)
            yield bytes([byte])


def account(text: str) -> Account:
    user, role, token = text.split(":")
    if role not in ("read", "write"):
        raise ValueError(role)
    return Account(user, role, token)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hub.server", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes any free one")
    parser.add_argument("--account", type=account, action="append", default=[], metavar="USER:read|write:TOKEN")
    defaults = Settings()
    parser.add_argument("--page-size", type=int, default=defaults.page_size)
    parser.add_argument("--multipart-threshold", type=int, default=defaults.multipart_threshold)
    parser.add_argument("--part-size", type=int, default=defaults.part_size)
    options = parser.parse_args()
    settings = Settings(options.page_size, options.multipart_threshold, options.part_size)
    with Server(options.port, options.root, options.account, settings) as server:
        print(server.hub.endpoint, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
