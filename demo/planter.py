"""A harmless imitation of what a loader does to a device over FTP: it guesses a password and leaves a file.

It speaks to the address that it is given and to nothing else.
"""

import argparse
import ftplib
import pathlib

PATIENCE_S = 30


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--address", required=True)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("file", type=pathlib.Path)
    given = arguments.parse_args()

    with ftplib.FTP() as device:
        device.connect(given.address, given.port, timeout=PATIENCE_S)
        for user, password in [("admin", "no-such-password"), ("root", "xc3511")]:
            try:
                device.login(user, password)
                print(f"{user}: accepted", flush=True)
                break
            except ftplib.error_perm:
                print(f"{user}: refused", flush=True)
        else:
            raise SystemExit("the device did not let the attacker in")
        with open(given.file, "rb") as contents:
            print(f"STOR {given.file.name}: {device.storbinary(f'STOR {given.file.name}', contents)}", flush=True)


if __name__ == "__main__":
    main()
