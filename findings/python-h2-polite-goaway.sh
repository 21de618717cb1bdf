#!/usr/bin/env bash
# Python's h2 4.4.1 (below httpx) cannot go on after the first GOAWAY of a polite shutdown: the PING behind it is an error.
#
# Guess: a client goes on with its streams after a GOAWAY whose last stream id is 2^31-1 and whose code is NO_ERROR. It announces a
#        shutdown, and is followed by another one that names the last stream, often after a PING that tells the server that a
#        round trip is over (RFC 9113, section 6.8). hyper and Envoy shut down in this way.
# Behaviour: the first GOAWAY closes the connection's state machine. A PING after it, and the rest of the response that the server
#        finishes, raise ProtocolError ("Invalid input ... in state ConnectionState.CLOSED").
# Consequence: clients on it lose what is in flight whenever a server shuts down politely. A server cannot help it but by sending
#        nothing besides the frames of its last responses, and those are refused as well.
# Output seen (h2 4.4.1, hyperframe 6.1.0, Python 3.11): see the comparison at the end.
#
# Needs Python 3 and PyPI. Runs in a temporary folder, without a network connection of its own.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv v
v/bin/pip install --quiet --disable-pip-version-check h2==4.4.1 hyperframe==6.1.0 hpack==4.2.0
cat >go.py <<'P'
import h2.config, h2.connection, h2.exceptions
import hyperframe.frame as frames

def client():
    """A client with one request under way, whose response has begun."""
    c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    s = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    c.initiate_connection(); s.initiate_connection()
    s.receive_data(c.data_to_send()); c.receive_data(s.data_to_send()); s.receive_data(c.data_to_send())
    c.send_headers(1, [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")], end_stream=True)
    s.receive_data(c.data_to_send())
    s.send_headers(1, [(":status", "200")])
    c.receive_data(s.data_to_send())
    return c

polite = frames.GoAwayFrame(0, last_stream_id=2**31 - 1, error_code=0).serialize()
rest = frames.DataFrame(1, b"ok", flags=["END_STREAM"]).serialize()
for name, data in [
    ("no GOAWAY, PING, rest of the response", [frames.PingFrame(0, b"12345678").serialize(), rest]),
    ("GOAWAY, PING", [polite, frames.PingFrame(0, b"12345678").serialize()]),
    ("GOAWAY, rest of the response", [polite, rest]),
]:
    c = client()
    try:
        events = [type(event).__name__ for part in data for event in c.receive_data(part)]
        print(f"{name}: {' '.join(events)}")
    except h2.exceptions.ProtocolError as error:
        print(f"{name}: {type(error).__name__}: {error}")
P
seen=$(v/bin/python go.py)
printf '%s\n' "$seen"
wanted='no GOAWAY, PING, rest of the response: PingReceived DataReceived StreamEnded
GOAWAY, PING: ProtocolError: Invalid input ConnectionInputs.RECV_PING in state ConnectionState.CLOSED
GOAWAY, rest of the response: ProtocolError: Invalid input ConnectionInputs.RECV_DATA in state ConnectionState.CLOSED'
[ "$seen" = "$wanted" ] || { echo "the behaviour has changed"; exit 1; }
