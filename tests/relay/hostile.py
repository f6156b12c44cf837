"""A device that tries to get out in every way: TCP, UDP, ICMP, IPv6, other protocols, other sources, raw frames.

It sends nothing but empty or short packets, to addresses for documentation, until it is ended or for so many rounds.
"""

import itertools
import random
import socket
import struct
import sys

INTERFACE, ADDRESS, GATEWAY, OTHER_DEVICE = sys.argv[1:5]
ROUNDS = int(sys.argv[5]) if len(sys.argv) > 5 else None
WORD = b"komainu-leak"


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, destination, protocol, payload):
    length = 20 + len(payload)
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, length, 1, 0, 64, protocol, 0, socket.inet_aton(source), socket.inet_aton(destination)
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(port, payload):
    return struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload


def tcp_syn(port):
    # The checksum is wrong: who lets it out must not count on the receiver.
    return struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 0x50, 2, 1024, 0, 0)


def quietly(act):
    try:
        act()
    except OSError:
        pass


def gateway_mac():
    with open("/proc/net/arp") as table:
        for line in table:
            if line.startswith(GATEWAY + " "):
                return bytes.fromhex(line.split()[3].replace(":", ""))
    return b"\xff" * 6


def stream(destination, port):
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex((destination, port))
    return connection


def main():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    frames.bind((INTERFACE, 0))
    mine = frames.getsockname()[4]
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held = []
    rounds = itertools.count() if ROUNDS is None else range(ROUNDS)
    for _ in rounds:
        somebody = f"203.0.113.{random.randint(11, 254)}"
        for destination in (somebody, "198.51.100.7", GATEWAY, "198.51.100.1", OTHER_DEVICE, "203.0.113.10"):
            port = random.choice([22, 23, 53, 80, 123, 443, 2222, 6667, 8080, 8883, 61040, 61041, 61042, 61043])
            if destination == "203.0.113.10" and port in (443, 8883):
                port = 22
            held.append(stream(destination, port))
            quietly(lambda: plain.sendto(WORD, (destination, port)))
            quietly(lambda: raw.sendto(ipv4(ADDRESS, destination, 1, b"\x08\x00\xf7\xff\0\0\0\0"), (destination, 0)))
            quietly(lambda: raw.sendto(ipv4(ADDRESS, destination, 47, WORD), (destination, 0)))
            quietly(lambda: raw.sendto(ipv4("198.51.100.200", destination, 17, udp(53, WORD)), (destination, 0)))
            quietly(lambda: raw.sendto(ipv4(ADDRESS, destination, 6, tcp_syn(port)), (destination, 0)))
            head = gateway_mac() + mine
            spoofed = ipv4("192.168.78.2", destination, 17, udp(port, WORD))
            quietly(lambda: frames.send(head + b"\x08\x00" + spoofed))
            source = bytes.fromhex("20010db8007700000000000000000002")
            target = bytes.fromhex("20010db8009900000000000000000001")
            ipv6 = struct.pack("!IHBB", 0x60000000, 8 + len(WORD), 17, 64) + source + target + udp(port, WORD)
            quietly(lambda: frames.send(head + b"\x86\xdd" + ipv6))
        while len(held) > 100:
            held.pop(0).close()


main()
