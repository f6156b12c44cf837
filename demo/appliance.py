"""The appliance of the threat demo: pages, a description for UPnP and an answer to those who search for it.

It also does what a device does that was taken over: with `--misbehave` it tries to reach hosts that are not its
maker's, says what came of it, and ends.
"""

import argparse
import http.server
import socket
import threading

PATIENCE_S = 2

DESCRIPTION = """<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0">
  <specVersion><major>1</major><minor>0</minor></specVersion>
  <device>
    <deviceType>urn:schemas-upnp-org:device:MediaServer:1</deviceType>
    <friendlyName>Living room recorder</friendlyName>
    <manufacturer>Demo Works</manufacturer>
    <modelName>DW-R4</modelName>
    <UDN>uuid:00000000-0000-4000-8000-000000000004</UDN>
  </device>
</root>
"""

PAGES = {
    "/": ("text/html", "<html><head><title>DW-R4</title></head><body>Recorder DW-R4</body></html>\n"),
    "/description.xml": ("text/xml", DESCRIPTION),
}


class Page(http.server.BaseHTTPRequestHandler):
    """A page, or none."""

    server_version = "DW-R4/1.0"
    sys_version = ""

    def do_GET(self):
        kind, body = PAGES.get(self.path, (None, None))
        if body is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        print(f"{self.client_address[0]} {self.requestline}", flush=True)


def answer_searches(address):
    """Answers searches of SSDP (UPnP Device Architecture 1.0, 1.2.3)."""
    here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    here.bind(("", 1900))
    while True:
        asked, client = here.recvfrom(2048)
        if asked.startswith(b"M-SEARCH"):
            lines = [
                "HTTP/1.1 200 OK",
                "CACHE-CONTROL: max-age=1800",
                "EXT:",
                f"LOCATION: http://{address}/description.xml",
                "SERVER: Linux UPnP/1.0 DW-R4/1.0",
                "ST: upnp:rootdevice",
                "USN: uuid:00000000-0000-4000-8000-000000000004::upnp:rootdevice",
            ]
            here.sendto("\r\n".join([*lines, "", ""]).encode(), client)


def misbehave(strangers):
    """Tries what a bot tries: other devices' Telnet, a page of somebody, datagrams, a name."""
    for stranger in strangers:
        for port in (23, 80, 6667):
            try:
                socket.create_connection((stranger, port), timeout=PATIENCE_S).close()
                outcome = "was answered"
            except OSError as error:
                outcome = type(error).__name__
            print(f"TCP to {stranger} port {port}: {outcome}", flush=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            for port in (53, 123, 1900):
                datagrams.sendto(bytes(16), (stranger, port))
        print(f"datagrams to {stranger}: sent", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--public", help="the address by which strangers know it", default="127.0.0.1")
    arguments.add_argument("--misbehave", metavar="ADDR", nargs="+", help="try to reach these hosts")
    given = arguments.parse_args()
    if given.misbehave:
        return misbehave(given.misbehave)
    threading.Thread(target=answer_searches, args=(given.public,), daemon=True).start()
    server = http.server.ThreadingHTTPServer(("", 80), Page)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
