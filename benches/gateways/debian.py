"""Servers from Debian. Versions are the distribution's."""

import shutil
import signal

from servers import SHORT_IDLE_S, Command, Place, Server, Source

MODULES = "/usr/lib/apache2/modules"
TOMCAT = "/usr/share/tomcat10"


def nginx(place: Place) -> Command:
    d = place.folder
    text = f"""daemon off; worker_processes 1; pid {d}/pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_timeout {SHORT_IDLE_S}s; default_type text/plain;
  client_body_temp_path {d}/a; proxy_temp_path {d}/b; fastcgi_temp_path {d}/c; uwsgi_temp_path {d}/d; scgi_temp_path {d}/e;
  server {{ listen 127.0.0.1:{place.port}; location / {{ return 200 ok; }} }}
}}
"""
    return ["nginx", "-e", "stderr", "-p", str(d), "-c", place.write("nginx.conf", text)]


def apache(place: Place) -> Command:
    place.write("www/index.txt", "ok")
    text = f"""ServerRoot {place.folder}
ServerName localhost
PidFile {place.folder}/pid
DefaultRuntimeDir {place.folder}
Mutex file:{place.folder} default
Listen 127.0.0.1:{place.port}
LoadModule mpm_event_module {MODULES}/mod_mpm_event.so
LoadModule authz_core_module {MODULES}/mod_authz_core.so
LoadModule dir_module {MODULES}/mod_dir.so
User www-data
Group www-data
ErrorLog {place.folder}/error.log
DocumentRoot {place.folder}/www
DirectoryIndex index.txt
<Directory {place.folder}/www>
  Require all granted
</Directory>
"""
    return ["apache2", "-DFOREGROUND", "-f", place.write("apache.conf", text)]


def caddy(place: Place) -> Command:
    text = f"""{{
  admin unix/{place.folder}/admin
  auto_https off
  servers {{
    timeouts {{
      idle {SHORT_IDLE_S}s
    }}
  }}
}}
:{place.port} {{
  bind 127.0.0.1
  respond "ok"
}}
"""
    return ["caddy", "run", "--config", place.write("Caddyfile", text), "--adapter", "caddyfile"]


def caddy_reload(place: Place) -> Command:
    return [
        *("caddy", "reload", "--force", "--config", str(place.folder / "Caddyfile"), "--adapter", "caddyfile"),
        *("--address", f"unix/{place.folder}/admin"),
    ]


def haproxy(place: Place) -> Command:
    text = f"""global
  nbthread 1
  hard-stop-after 10s
defaults
  mode http
  timeout connect 1s
  timeout client {SHORT_IDLE_S}s
  timeout server 5s
frontend site
  bind 127.0.0.1:{place.port}
  http-request return status 200 content-type text/plain string ok
"""
    return ["haproxy", "-W", "-f", place.write("haproxy.cfg", text)]


def varnish(place: Place) -> Command:
    text = """vcl 4.1;
backend default none;
sub vcl_recv { return (synth(200)); }
sub vcl_synth { set resp.http.Content-Type = "text/plain"; set resp.body = "ok"; return (deliver); }
"""
    return [
        *("varnishd", "-F", "-a", f"127.0.0.1:{place.port}", "-f", place.write("site.vcl", text)),
        *("-n", str(place.folder / "varnish"), "-s", "malloc,8m"),
    ]


def lighttpd(place: Place) -> Command:
    place.write("www/index.txt", "ok")
    text = f"""server.document-root = "{place.folder}/www"
server.bind = "127.0.0.1"
server.port = {place.port}
index-file.names = ( "index.txt" )
mimetype.assign = ( ".txt" => "text/plain" )
"""
    return ["lighttpd", "-D", "-f", place.write("lighttpd.conf", text)]


def puma(place: Place) -> Command:
    text = f"""bind "tcp://127.0.0.1:{place.port}"
environment "production"
workers 2
threads 8, 8
persistent_timeout {SHORT_IDLE_S}
rackup "{place.tools}/config.ru"
"""
    return ["puma", "--quiet", "-C", place.write("puma.rb", text)]


def uwsgi(place: Place) -> Command:
    return [
        *("uwsgi", "--plugin", "python3", "--http-socket", f"127.0.0.1:{place.port}", "--wsgi", "wsgi:app"),
        *("--master", "--processes", "2", "--die-on-term", "--disable-logging"),
    ]


def tomcat(place: Place) -> Command:
    for name in ("temp", "webapps/ROOT", "conf"):
        (place.folder / name).mkdir(parents=True)
    place.write("webapps/ROOT/index.html", "ok")
    shutil.copy("/etc/tomcat10/web.xml", place.folder / "conf/web.xml")
    place.write(
        "conf/server.xml",
        f"""<Server port="-1"><Service name="Catalina">
<Connector port="{place.port}" address="127.0.0.1" keepAliveTimeout="{SHORT_IDLE_S}000" />
<Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps" /></Engine>
</Service></Server>
""",
    )
    return [
        *("java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        *("-cp", f"{TOMCAT}/bin/bootstrap.jar:{TOMCAT}/bin/tomcat-juli.jar"),
        *(f"-Dcatalina.home={TOMCAT}", f"-Dcatalina.base={place.folder}", f"-Djava.io.tmpdir={place.folder}/temp"),
        *("org.apache.catalina.startup.Bootstrap", "start"),
    ]


SHORT = f"{SHORT_IDLE_S} s"
SERVERS = [
    Server("nginx", Source.DEBIAN, "nginx-light", nginx, SHORT, "nginx", signal.SIGHUP),
    Server("apache", Source.DEBIAN, "apache2", apache, program="apache2", restart=signal.SIGUSR1),
    Server("caddy", Source.DEBIAN, "caddy", caddy, SHORT, "caddy", caddy_reload),
    Server("haproxy", Source.DEBIAN, "haproxy", haproxy, SHORT, "haproxy", signal.SIGUSR2),
    Server("varnish", Source.DEBIAN, "varnish gcc", varnish, program="varnishd"),
    Server("lighttpd", Source.DEBIAN, "lighttpd", lighttpd, program="lighttpd", restart=signal.SIGUSR1),
    Server("puma", Source.DEBIAN, "puma", puma, SHORT, "puma", signal.SIGUSR1),
    Server("tomcat", Source.DEBIAN, "tomcat10", tomcat, SHORT, f"{TOMCAT}/bin/bootstrap.jar"),
    Server("uwsgi", Source.DEBIAN, "uwsgi-core uwsgi-plugin-python3", uwsgi, program="uwsgi"),
]
