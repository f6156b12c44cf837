"""The port of a switch for Debian's snmpd (`pass`, snmpd.conf(5)): `poe.py FOLDER -g|-n|-s OID [TYPE VALUE]`.

It has pethPsePortAdminEnable.1.4 alone, kept in FOLDER/poe, and notes each change in FOLDER/poe.log.
"""

import pathlib
import sys
import time

OID = ".1.3.6.1.2.1.105.1.1.1.3.1.4"
folder, what, oid = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
kept = folder / "poe"
if what == "-s":
    if oid != OID:
        print("not-writable")
    else:
        kept.write_text(sys.argv[5])
        with open(folder / "poe.log", "a") as log:
            log.write(f"{sys.argv[5]} {time.monotonic():.1f}\n")
elif what == "-g" and oid == OID:
    print(f"{OID}\ninteger\n{kept.read_text() if kept.exists() else 1}")
