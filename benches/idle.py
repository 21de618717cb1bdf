#!/usr/bin/env python3
"""How much resident memory idle connections add, while they rest and when they have closed. On loopback.

    cargo build --release && python3 benches/idle.py [--connections 10000] [PROGRAM ...]

Each connection has had one request. Limits of open files hold for both sides: the program needs as many as there are connections.
"""

import argparse
import resource
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROXY = ("127.0.0.1", 22491)
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CONFIG = """listeners: [{{ address: 127.0.0.1:22491, max_connections: 100000 }}]
admin: {{ address: 127.0.0.1:22492 }}
workers: 1
access_log: off
lame_duck: 0s
drain_time: 1s
services:
  bench:
    policy: latency
    health_check: off
    regions: [{{ region: westeurope, gateway: "http://127.0.0.1:{port}" }}]
routes: [{{ host: "*", path: /, service: bench }}]
"""


def answer(connection):
    with connection:
        while connection.recv(65536):
            connection.sendall(RESPONSE)


def serve(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def asked(connection):
    connection.sendall(REQUEST)
    if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
        raise SystemExit("FAILED: a request was not answered with 200")


def until_ready(process):
    while process.poll() is None:
        try:
            return socket.create_connection(PROXY).close()
        except OSError:
            time.sleep(0.01)
    raise SystemExit("FAILED: the program does not start")


def measure(program, count, port):
    with tempfile.TemporaryDirectory(prefix="portolan-idle-") as folder:
        config = Path(folder) / "portolan.yaml"
        config.write_text(CONFIG.format(port=port))
        process = subprocess.Popen([program, "serve", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def resident():
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))

        connections = []
        try:
            until_ready(process)
            with socket.create_connection(PROXY) as first:
                for _ in range(1000):
                    asked(first)
            before = resident()
            for number in range(count):
                connection = socket.socket()
                # From several addresses: each has ports for some 28,000.
                connection.bind((f"127.0.0.{2 + number % 4}", 0))
                connection.connect(PROXY)
                asked(connection)
                connections.append(connection)
            for rest in (1, 10, 10):
                time.sleep(rest)
                print(f"{program}: {(resident() - before) / count:.0f} bytes for each of {count}")
            for connection in connections:
                connection.close()
            time.sleep(5)
            print(f"{program}: {(resident() - before) / 2**20:.0f} MiB are left when they have closed")
        finally:
            process.terminate()
            process.wait()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("programs", nargs="*", type=Path, default=[ROOT / "target/release/portolan"], metavar="PROGRAM")
    arguments.add_argument("--connections", type=int, default=10000)
    arguments = arguments.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if arguments.connections > most - 200:
        raise SystemExit(f"the limit of open files here is {most}: choose fewer --connections")
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    for program in arguments.programs:
        measure(program.resolve(), arguments.connections, listener.getsockname()[1])


if __name__ == "__main__":
    main()
