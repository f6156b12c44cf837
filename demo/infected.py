"""A harmless imitation of a device that somebody else gives orders to: it holds a connection to a server.

The server is this program, too: it runs in a network of its own, where the server's address leads to itself.
"""

import argparse
import signal
import socket
import subprocess


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("address")
    arguments.add_argument("port", type=int)
    given = arguments.parse_args()

    subprocess.run(["ip", "route", "replace", "local", given.address, "dev", "lo"], check=True)
    with socket.create_server((given.address, given.port)) as master:
        with socket.create_connection((given.address, given.port)) as bot:
            print(f"connected to {given.address}:{given.port}", flush=True)
            order, _ = master.accept()
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
            order.close()
            bot.close()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
