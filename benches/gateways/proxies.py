"""The three proxies: their commands, with the same upstreams."""

from __future__ import annotations

from pathlib import Path

NAMES = ("portolan", "nginx", "haproxy")


def command(name: str, binary: Path, folder: Path, port: int, admin: int, upstreams: list[int]) -> list[str]:
    """Writes a proxy's configuration into a folder, and gives its command.

    The second upstream, if there is one, is for requests that the first does not answer. A response names its upstream
    in `X-Upstream` or `X-Portolan-Region`.
    """
    match name:
        case "portolan":
            return portolan(binary, folder, port, admin, upstreams)
        case "nginx":
            return nginx(folder, port, upstreams)
        case _:
            return haproxy(folder, port, upstreams)


def portolan(binary: Path, folder: Path, port: int, admin: int, upstreams: list[int]) -> list[str]:
    regions = "".join(
        f'      - {{ region: {region}, gateway: "http://127.0.0.1:{upstream}" }}\n'
        for region, upstream in zip(("westeurope", "eastus2"), upstreams, strict=False)
    )
    text = f"""listeners:
  - address: 127.0.0.1:{port}
    debug_headers: true
admin: {{ address: "127.0.0.1:{admin}" }}
here: westeurope
workers: 1
access_log: off
lame_duck: 0s
drain_time: 1s
services:
  main:
    policy: distance
    health_check: {{ path: / }}
    regions:
{regions}routes:
  - {{ host: "*", path: /, service: main }}
"""
    file = folder / "portolan.yaml"
    file.write_text(text)
    return [str(binary), "serve", "--config", str(file)]


def nginx(folder: Path, port: int, upstreams: list[int]) -> list[str]:
    d = folder
    servers = " ".join(f"server 127.0.0.1:{upstream}{' backup' if n else ''};" for n, upstream in enumerate(upstreams))
    text = f"""daemon off; worker_processes 1; pid {d}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000; keepalive_timeout 75s;
  client_body_temp_path {d}/a; proxy_temp_path {d}/b; fastcgi_temp_path {d}/c; uwsgi_temp_path {d}/d; scgi_temp_path {d}/e;
  upstream main {{ {servers} keepalive 256; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://main; proxy_http_version 1.1; proxy_set_header Connection "";
      add_header X-Upstream $upstream_addr always;
    }}
  }}
}}
"""
    file = folder / "nginx.conf"
    file.write_text(text)
    return ["nginx", "-e", "stderr", "-p", str(d), "-c", str(file)]


def haproxy(folder: Path, port: int, upstreams: list[int]) -> list[str]:
    servers = "\n".join(
        f"  server s{n} 127.0.0.1:{upstream}{' check' if len(upstreams) > 1 else ''}{' backup' if n else ''}"
        for n, upstream in enumerate(upstreams)
    )
    text = f"""global
  nbthread 1
defaults
  mode http
  timeout connect 1s
  timeout client 75s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  http-response set-header X-Upstream %[srv_name]
{servers}
"""
    file = folder / "haproxy.cfg"
    file.write_text(text)
    return ["haproxy", "-db", "-f", str(file)]
