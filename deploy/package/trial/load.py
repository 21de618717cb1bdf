#!/usr/bin/env python3
"""Two gateways on loopback, and clients of Portolan that count what is not answered.

usage: load.py gateways                    serves on 127.0.0.1:8001 and :8002; /slow takes 4 s
       load.py requests URL UNTIL          four clients, kept and new connections in turn, until the file UNTIL exists
       load.py slow URL                    one request of 4 s

Exit code: 1 if a request was lost or was not answered with 200.
"""

import http.client
import http.server
import pathlib
import sys
import threading
import time
import urllib.parse


# A draining process closes connections that have been idle for 250 ms: a client that the system has not let run for so long may
# find its connection closed. In seconds.
MAY_BE_CLOSED = 0.15


class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one piece.
    wbufsize = -1

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(4)
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


def gateways():
    for port in (8001, 8002):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Gateway)
        # What is slow is asked of both regions, and cancelled in one.
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever).start()


def get(connection, path):
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    # At a drain it says that this connection ends: a client opens another.
    return not answer.will_close


def requests(url, until):
    address, lost, answered = urllib.parse.urlsplit(url).netloc, [], []
    until = pathlib.Path(until)

    def client(keeps):
        connection, count, answered_at = None, 0, None
        while not until.exists():
            if connection is None:
                connection, answered_at = http.client.HTTPConnection(address, timeout=10), None
            idle = answered_at and time.monotonic() - answered_at
            try:
                stays = get(connection, "/") and keeps
                answered_at = time.monotonic()
                count += 1
            except (OSError, http.client.HTTPException) as error:
                stays = False
                if not idle or idle < MAY_BE_CLOSED:
                    lost.append(repr(error))
            if not stays:
                connection.close()
                connection = None
        answered.append(count)

    clients = [threading.Thread(target=client, args=(number % 2 == 0,)) for number in range(4)]
    for it in clients:
        it.start()
    for it in clients:
        it.join()
    print(f"{sum(answered)} requests answered, {len(lost)} lost", *lost[:5])
    return len(lost) > 0


def slow(url):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)
    connection.request("GET", "/slow")
    status = connection.getresponse().status
    print(f"a request of 4 s was answered with {status}")
    return status != 200


sys.exit({"gateways": gateways, "requests": requests, "slow": slow}[sys.argv[1]](*sys.argv[2:]))
