"""Real clients and servers of gRPC (grpcio, grpc-js) on both sides of Portolan, all on loopback.

    cargo build && python3 tests/calls.py [PORTOLAN]

Outside CI, for it installs pinned packages in a temporary folder (needs pip, npm and Node). Region westeurope is served by grpcio,
eastus2 by grpc-js; both have the health service of their library, which Portolan probes. Prints what it saw.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_PACKAGES = ["grpcio==1.85.3", "grpcio-health-checking==1.85.1", "grpcio-reflection==1.85.1"]
NODE_PACKAGES = ["@grpc/grpc-js@1.14.7", "grpc-health-check@2.1.0"]
PROXY, ADMIN, PORTS = 22441, 22442, {"westeurope": 22443, "eastus2": 22444}
TARGET = f"127.0.0.1:{PROXY}"
MB = 1 << 20

CONFIG = """
listeners:
  - { address: 127.0.0.1:%(PROXY)d, http2: prior-knowledge, debug_headers: true }
admin: { address: 127.0.0.1:%(ADMIN)d }
workers: 2
access_log: { file: access.log }
drain_time: 20s
services:
  shop:
    policy: priority
    health_check: { probe: grpc, grpc_service: test.Calls, interval: 100ms, timeout: 2s, unhealthy_threshold: 2 }
    upstream: { protocol: h2 }
    timeouts: { connect: 2s }
    retry: { retry_on: [connect-failure, reset, unavailable], non_idempotent: %(repeat)s, hedge_after: off }
    regions:
      - { region: westeurope, gateway: "http://127.0.0.1:%(westeurope)d" }
      - { region: eastus2, gateway: "http://127.0.0.1:%(eastus2)d" }
routes: [{ service: shop }]
"""

# The service of both servers, without a schema: messages are bytes. Unary echoes, after `x-wait` milliseconds, or ends with the
# status in `x-status`; Count sends as many messages as its request says; Collect joins; Chat echoes each message as it comes; Wait
# ends only when it is cancelled, and Cancelled says how many were.
NODE = r"""
const grpc = require('@grpc/grpc-js'), { HealthImplementation } = require('grpc-health-check');
const id = bytes => bytes, kind = (requestStream, responseStream, name) => ({ path: '/test.Calls/' + name, requestStream, responseStream,
  requestSerialize: id, requestDeserialize: id, responseSerialize: id, responseDeserialize: id });
const Calls = { Unary: kind(false, false, 'Unary'), Count: kind(false, true, 'Count'), Collect: kind(true, false, 'Collect'),
  Chat: kind(true, true, 'Chat'), Wait: kind(false, true, 'Wait'), Cancelled: kind(false, false, 'Cancelled') };
const options = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };
const sleep = ms => new Promise(done => setTimeout(done, ms));
if (process.argv[2] === 'serve') {
  let cancelled = 0;
  const server = new grpc.Server(options), region = new grpc.Metadata(); region.set('x-region', 'eastus2');
  server.addService(Calls, {
    Unary: async (call, done) => { const get = name => Number(call.metadata.get(name)[0] || 0); await sleep(get('x-wait'));
      call.sendMetadata(region); get('x-status') ? done({ code: get('x-status'), details: 'as asked' }) : done(null, call.request); },
    Count: async call => { call.sendMetadata(region);
      for (let i = 0; i < Number(call.request); i++) { call.write(Buffer.from(String(i))); await sleep(1); } call.end(); },
    Collect: (call, done) => { const all = []; call.on('data', data => all.push(data)); call.on('end', () => done(null, Buffer.concat(all))); },
    Chat: call => { call.sendMetadata(region); call.on('data', data => call.write(data)); call.on('end', () => call.end()); },
    Wait: call => { call.sendMetadata(region); call.on('cancelled', () => cancelled++); },
    Cancelled: (call, done) => done(null, Buffer.from(String(cancelled))) });
  new HealthImplementation({ '': 'SERVING', 'test.Calls': 'SERVING' }).addToServer(server);
  server.bindAsync('127.0.0.1:' + process.argv[3], grpc.ServerCredentials.createInsecure(), () => {});
  process.on('SIGTERM', () => server.tryShutdown(() => process.exit()));
} else {
  const client = new (grpc.makeGenericClientConstructor(Calls, 'Calls'))(process.argv[3], grpc.credentials.createInsecure(), options);
  const deadline = ms => ({ deadline: Date.now() + ms });
  const unary = (body, metadata = new grpc.Metadata(), ms = 20000) => new Promise(done =>
    client.Unary(body, metadata, deadline(ms), (error, reply) => done(error ? error.code : reply)));
  const say = (what, holds) => console.log(JSON.stringify([what, Boolean(holds)]));
  (async () => {
    say('unary', (await unary(Buffer.from('hello'))).toString() === 'hello');
    const status = new grpc.Metadata(); status.set('x-status', '5');
    say('a status of the application', await unary(Buffer.alloc(0), status) === 5);
    for (const size of [4, 20]) { const body = Buffer.alloc(size << 20, 'x'); say(`a message of ${size} MB`, body.equals(await unary(body))); }
    const slow = new grpc.Metadata(); slow.set('x-wait', '3000');
    say('a deadline', await unary(Buffer.alloc(0), slow, 300) === 4);
    const counted = []; for await (const data of client.Count(Buffer.from('100'), deadline(20000))) counted.push(Number(data));
    say('server stream', counted.length === 100 && counted.every((n, i) => n === i));
    say('client stream', await new Promise(done => { const call = client.Collect(deadline(20000), (error, reply) => done(String(reply) === 'abc'));
      for (const part of 'abc') call.write(Buffer.from(part)); call.end(); }));
    const chat = client.Chat(deadline(20000)); let turns = 0;
    const over = new Promise(done => chat.on('status', status => done(status.code)));
    chat.on('data', data => { if (String(data) !== String(turns)) return; if (++turns === 100) chat.end(); else chat.write(Buffer.from(String(turns))); });
    chat.write(Buffer.from('0'));
    say('both at once, in turns', await over === 0 && turns === 100);
    const wait = client.Wait(Buffer.alloc(0)); wait.on('error', () => {}); wait.on('data', () => {});
    await new Promise(done => wait.on('metadata', done)); wait.cancel(); await sleep(300);
    client.Cancelled(Buffer.alloc(0), (error, reply) => { say('the server sees a cancellation', Number(reply) > 0); client.close(); });
  })();
}
"""


def expect(what, holds):
    print(f"  {'ok' if holds else 'FAILED'}: {what}", flush=True)
    if not holds:
        raise SystemExit(1)


def wait_for(what, check, patience=20):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            value = check()
            if value:
                return value
        time.sleep(0.05)
    raise SystemExit(f"FAILED: it never came about that {what}")


def install(folder):
    """The pinned packages; gives the Python that has them."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", *PYTHON_PACKAGES], check=True)
    subprocess.run(["npm", "install", "--silent", "--prefix", folder, *NODE_PACKAGES], check=True, stdout=subprocess.DEVNULL)
    (folder / "calls.js").write_text(NODE)
    return python


def serve(port):
    """The server of grpcio, until SIGTERM."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection

    cancelled = []

    def unary(request, context):
        given = dict(context.invocation_metadata())
        time.sleep(float(given.get("x-wait", 0)) / 1000)
        if "x-status" in given:
            code = next(code for code in grpc.StatusCode if code.value[0] == int(given["x-status"]))
            context.abort(code, "as asked")
        return request

    def count(request, context):
        for number in range(int(request)):
            time.sleep(0.001)
            yield str(number).encode()

    def wait(request, context):
        over = threading.Event()
        context.add_callback(lambda: (cancelled.append(1), over.set()))
        yield b"begun"
        over.wait(60)

    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Collect": grpc.stream_unary_rpc_method_handler(lambda requests, context: b"".join(requests)),
        "Chat": grpc.stream_stream_rpc_method_handler(lambda requests, context: requests),
        "Wait": grpc.unary_stream_rpc_method_handler(wait),
        "Cancelled": grpc.unary_unary_rpc_method_handler(lambda request, context: str(len(cancelled)).encode()),
    }
    server = grpc.server(ThreadPoolExecutor(32), options=unlimited())
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Calls", methods)])
    states = health.HealthServicer()
    states.set("test.Calls", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    reflection.enable_server_reflection(["grpc.health.v1.Health", reflection.SERVICE_NAME], server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()

    def term(*_):
        states.enter_graceful_shutdown()
        server.stop(5)

    signal.signal(signal.SIGTERM, term)
    signal.signal(signal.SIGUSR1, lambda *_: states.set("test.Calls", health_pb2.HealthCheckResponse.NOT_SERVING))
    signal.signal(signal.SIGUSR2, lambda *_: states.set("test.Calls", health_pb2.HealthCheckResponse.SERVING))
    server.wait_for_termination()


def unlimited():
    return [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]


class Scene:
    """Portolan in front of both regions."""

    def __init__(self, folder, portolan, repeat="false"):
        self.folder, self.processes = folder, {}
        names = {**PORTS, "PROXY": PROXY, "ADMIN": ADMIN, "repeat": repeat}
        (folder / "portolan.yaml").write_text(CONFIG % names)
        for region in PORTS:
            self.begin(region)
        with contextlib.suppress(FileNotFoundError):
            (folder / "access.log").unlink()
        command = [portolan, "serve", "--config", folder / "portolan.yaml"]
        self.portolan = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=open(folder / "portolan.log", "w"))
        for region in PORTS:
            self.until(region, "healthy")

    def begin(self, region):
        port = str(PORTS[region])
        node = ["node", self.folder / "calls.js", "serve", port]
        command = [sys.executable, __file__, "serve", port] if region == "westeurope" else node
        self.processes[region] = subprocess.Popen(command)

    def admin(self, path, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{ADMIN}{path}", method=method)
        return urllib.request.urlopen(request, timeout=5).read().decode()

    def state(self, region):
        text = self.admin("/metrics")
        states = [line for line in text.splitlines() if line.startswith("portolan_gateway_state{") and f'region="{region}"' in line]
        return next((line.split('state="')[1].split('"')[0] for line in states if line.endswith(" 1")), None)

    def until(self, region, *states):
        wait_for(f"{region} is {states}", lambda: self.state(region) in states)

    def lines(self, *words):
        return [line for line in self.admin("/metrics").splitlines() if all(word in line for word in words)]

    def stop(self, region, how=signal.SIGKILL):
        self.processes[region].send_signal(how)
        self.processes.pop(region).wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [self.portolan, *self.processes.values()]:
            process.kill()
            process.wait()


def client():
    """Calls by name over a channel of their own, as grpcio makes them."""
    import grpc

    channel = grpc.insecure_channel(TARGET, options=unlimited())
    kinds = {"Unary": channel.unary_unary, "Count": channel.unary_stream, "Collect": channel.stream_unary, "Chat": channel.stream_stream,
             "Wait": channel.unary_stream, "Cancelled": channel.unary_unary}
    return channel, {name: kind(f"/test.Calls/{name}") for name, kind in kinds.items()}


def status_of(call):
    """The name of a call's status."""
    import grpc

    try:
        call()
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


def with_grpcio(has_reflection):
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    channel, calls = client()
    expect("unary", calls["Unary"](b"hello", timeout=20) == b"hello")
    expect("a status of the application", status_of(lambda: calls["Unary"](b"", metadata=[("x-status", "5")])) == "NOT_FOUND")
    for size in (4, 20):
        body = os.urandom(size * MB)
        expect(f"a message of {size} MB", calls["Unary"](body, timeout=60) == body)
    expect("a deadline", status_of(lambda: calls["Unary"](b"", timeout=0.3, metadata=[("x-wait", "3000")])) == "DEADLINE_EXCEEDED")
    expect("server stream", [int(it) for it in calls["Count"](b"100", timeout=20)] == list(range(100)))
    expect("client stream", calls["Collect"](iter([b"a", b"b", b"c"]), timeout=20) == b"abc")
    turn = threading.Semaphore(1)

    def turns():
        for number in range(100):
            turn.acquire()
            yield str(number).encode()

    echoed = []
    for message in calls["Chat"](turns(), timeout=20):
        echoed.append(int(message))
        turn.release()
    expect("both at once, in turns", echoed == list(range(100)))
    before = int(calls["Cancelled"](b""))
    waiting = calls["Wait"](b"")
    # The head is enough.
    waiting.initial_metadata()
    waiting.cancel()
    wait_for("the server sees a cancellation", lambda: int(calls["Cancelled"](b"")) > before)
    expect("the server sees a cancellation", True)
    if has_reflection:
        found = ProtoReflectionDescriptorDatabase(channel)
        names = {method.name for method in found.FindFileContainingSymbol("grpc.health.v1.Health").service[0].method}
        expect("reflection", "grpc.health.v1.Health" in found.get_services() and {"Check", "Watch"} <= names)
    channel.close()


def with_node(folder):
    result = subprocess.run(["node", folder / "calls.js", "call", TARGET], capture_output=True, text=True, timeout=120)
    said = [json.loads(line) for line in result.stdout.splitlines()]
    for what, holds in said:
        expect(what, holds)
    expect("all of it ended", len(said) == 9 or print(result.stderr))


def unary_load(seconds, change):
    """Unary calls on eight threads, and something that happens meanwhile; gives how many ended with which status."""
    channel, calls = client()
    counts, over = {}, threading.Event()
    lock = threading.Lock()

    def run():
        while not over.is_set():
            status = status_of(lambda: calls["Unary"](b"x", timeout=10, metadata=[("x-wait", "5")]))
            with lock:
                counts[status] = counts.get(status, 0) + 1

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 2)
    change()
    time.sleep(seconds / 2)
    over.set()
    for thread in threads:
        thread.join()
    channel.close()
    return counts


def faults(folder, portolan):
    for repeat in ("true", "false"):
        print(f"A region that dies and one that drains, with non_idempotent: {repeat}:")
        with Scene(folder, portolan, repeat) as scene:
            counts = unary_load(2, lambda: scene.stop("westeurope"))
            # Those in flight may have been carried out, and are made again only where that is allowed.
            lost = sum(count for status, count in counts.items() if status != "OK")
            expect(f"killed (SIGKILL): {counts}", lost == 0 if repeat == "true" else lost <= 8)
            scene.begin("westeurope")
            scene.until("westeurope", "healthy", "warming")
            counts = unary_load(2, lambda: scene.processes["westeurope"].send_signal(signal.SIGTERM))
            expect(f"drained by its server (GOAWAY): {counts}", set(counts) == {"OK"})
            scene.stop("westeurope")
    print("What an operator and a health service say:")
    with Scene(folder, portolan) as scene:
        counts = unary_load(2, lambda: scene.admin("/api/v1/regions/westeurope/drain", "POST"))
        expect(f"drained by an operator: {counts}", set(counts) == {"OK"})
        scene.admin("/api/v1/regions/westeurope/undrain", "POST")
        scene.until("westeurope", "healthy", "warming")
        server = scene.processes["westeurope"]
        server.send_signal(signal.SIGUSR1)
        scene.until("westeurope", "unhealthy")
        expect("NOT_SERVING is unhealthy", "NOT_SERVING" in scene.admin("/api/v1/regions"))
        server.send_signal(signal.SIGUSR2)
        scene.until("westeurope", "healthy", "warming")
        channel, calls = client()
        stream = calls["Count"](b"1500", timeout=20)
        next(stream)
        scene.portolan.send_signal(signal.SIGTERM)
        expect("a stream outlives the drain of Portolan", sum(1 for _ in stream) == 1499)
        channel.close()


def main(portolan):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = install(folder)
        raise SystemExit(subprocess.run([python, __file__, "inside", folder, portolan]).returncode)


def inside(folder, portolan):
    with Scene(folder, portolan) as scene:
        for region, server in (("westeurope", "grpcio"), ("eastus2", "grpc-js")):
            if region == "eastus2":
                scene.admin("/api/v1/regions/westeurope/drain", "POST")
            print(f"grpcio calls {server}:")
            with_grpcio(has_reflection=region == "westeurope")
            print(f"grpc-js calls {server}:")
            with_node(folder)
        print("What was counted:")
        for line in scene.lines("portolan_grpc_calls_total{"):
            if not line.endswith(" 0"):
                print(" ", line)
    faults(folder, portolan)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            serve(int(port))
        case ["inside", folder, portolan]:
            inside(Path(folder), portolan)
        case rest:
            main(str(Path(*rest).resolve() if rest else ROOT / "target/debug/portolan"))
