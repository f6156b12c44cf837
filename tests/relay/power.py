"""A stand-in for a switched socket: `power.py PORT FOLDER COMMAND…` runs a device and starts it anew when it is told to.

A request that has the token in its header ends the device and runs `COMMAND…`, with the words of the file FOLDER/more
behind it. The paths /broken and /hang do what they say.
"""

import http.server
import pathlib
import subprocess
import sys
import time

PORT, FOLDER, COMMAND = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]


class Socket(http.server.BaseHTTPRequestHandler):
    device = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/hang":
            time.sleep(600)
        is_known = self.headers.get("Authorization") == "Bearer socket-token" and self.headers.get("X-Socket") == "4"
        if self.path == "/broken" or not is_known or body != b"cycle":
            self.send_error(500)
            return
        Socket.cycle()
        self.send_response(204)
        self.end_headers()

    @staticmethod
    def cycle():
        if Socket.device:
            Socket.device.kill()
            Socket.device.wait()
        more = FOLDER / "more"
        words = more.read_text().split() if more.exists() else []
        Socket.device = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE)
        Socket.device.stdout.readline()

    def log_message(self, *arguments):
        pass


Socket.cycle()
server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Socket)
print("up", flush=True)
server.serve_forever()
