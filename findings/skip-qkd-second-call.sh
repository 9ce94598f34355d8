#!/bin/bash
# skip-qkd 1.0.0 (PyPI): a second call on one client.
#
# Expected: a client object answers any number of calls, as in its own README, whose
# first example calls capabilities() and then request_key().
# Seen: the first call succeeds. Each call closes the socket and keeps the closed object
# for the next one, which fails with "Bad file descriptor", whatever the server does.
# A new client object for each call works.
#
# Needs: python3-venv, openssl, a package index for pip. Exits 0 when that is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check skip-qkd==1.0.0
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
  -keyout key.pem -out cert.pem -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost 2>/dev/null

cat >server.py <<'SERVER'
"""A key provider that knows one answer: TLS on both sides, one request a connection."""
import http.server, json, ssl

class Provider(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"entropy": True, "algorithm": "probe"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
context.load_verify_locations("cert.pem")
context.verify_mode = ssl.CERT_REQUIRED
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
SERVER
cat >client.py <<'CLIENT'
import sys
from skip_qkd import MTLSConfig, SkipQKDClient

def client():
    files = MTLSConfig(ca_file="cert.pem", cert_file="cert.pem", key_file="key.pem")
    return SkipQKDClient(f"localhost:{sys.argv[1]}", "kp", mtls_config=files)

one = client()
print("first call:", one.capabilities())
try:
    print("second call:", one.capabilities())
except Exception as error:
    print("second call:", type(error).__name__, error)
print("a new client:", client().capabilities())
CLIENT
python3 server.py >port &
server=$!
trap 'kill "$server"; rm -rf "$folder"' EXIT
for _ in {1..50}; do
  [[ -s port ]] && break
  sleep 0.1
done
said=$(timeout 20 venv/bin/python client.py "$(<port)")
printf '%s\n' "$said"
[[ $said == *'first call: {'*'second call: OSError'*'Bad file descriptor'*'a new client: {'* ]]
