"""A stand-in for a device: a page, a login, an answer to SSDP, a raw port, an echo, and a long film; `device.py LOG
[PORT…]` has logins at more ports. Logs whom it saw."""

import socket
import sys
import threading

LOG = open(sys.argv[1], "a", buffering=1)


def serve(port, answer):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    listener.listen(4096)
    while True:
        connection, peer = listener.accept()
        threading.Thread(target=answer, args=(connection, peer, port), daemon=True).start()


def saw(kind, port, peer, said):
    LOG.write(f"{kind} {port} {peer[0]} {peer[1]} {len(said)}\n")


def page(connection, peer, port):
    try:
        said = connection.recv(4096)
        saw("tcp", port, peer, said)
        body = b"<html>Example camera</html>"
        head = f"HTTP/1.0 200 OK\r\nServer: ExampleCam\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
    except OSError:
        pass
    connection.close()


def upload(connection, peer, port):
    """Takes a whole request with its body, then answers as any page."""
    try:
        said = connection.recv(65536)
        head, _, body = said.partition(b"\r\n\r\n")
        length = next((int(l[15:]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")), 0)
        while len(body) < length and (more := connection.recv(65536)):
            body += more
            said += more
        saw("tcp", port, peer, said)
        connection.sendall(b"HTTP/1.0 200 OK\r\nServer: ExampleCam\r\nContent-Length: 2\r\n\r\nok")
    except OSError:
        pass
    connection.close()


def login(connection, peer, port):
    try:
        connection.sendall(b"ExampleCam login: ")
        user = connection.recv(100)
        saw("tcp", port, peer, user)
        connection.sendall(b"Password: ")
        connection.recv(100)
        connection.sendall(b"\r\nLogin incorrect\r\n")
    except OSError:
        pass
    connection.close()


def echo(connection, peer, port):
    """Says everything back once it has heard everything."""
    try:
        said = b""
        while more := connection.recv(65536):
            said += more
        saw("tcp", port, peer, said)
        connection.sendall(said)
    except OSError:
        pass
    connection.close()


def film(connection, peer, port):
    """Says as many MiB as it is asked for."""
    try:
        said = connection.recv(100)
        saw("tcp", port, peer, said)
        for _ in range(int(said)):
            connection.sendall(bytes(1 << 20))
    except (OSError, ValueError):
        pass
    connection.close()


def ssdp():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("", 1900))
    while True:
        said, peer = udp.recvfrom(2048)
        saw("udp", 1900, peer, said)
        udp.sendto(b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:example::upnp:rootdevice\r\n\r\n", peer)
        if said.startswith(b"many"):
            for _ in range(100):
                udp.sendto(b"x" * 1000, peer)


ANSWERS = ((80, page), (23, login), (7, echo), (8000, upload), (8080, film))
for port, answer in (*ANSWERS, *((int(more), login) for more in sys.argv[2:])):
    threading.Thread(target=serve, args=(port, answer), daemon=True).start()
print("up", flush=True)
ssdp()
