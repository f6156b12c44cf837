"""A visit to a share with impacket: port, dialect, size of the file and perhaps user and password in, what was seen
out, as JSON."""

import io
import json
import sys

from impacket import smb, smb3structs
from impacket.smbconnection import SMBConnection

port, dialect, size = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
payload = bytes(number * 7 % 251 for number in range(size))
wanted = getattr(smb, dialect, None) or getattr(smb3structs, dialect, None)
server = SMBConnection("127.0.0.1", "127.0.0.1", sess_port=port, preferredDialect=wanted, timeout=20)
user, password = sys.argv[4:6] or ("guest", "")
server.login(user, password)


def names(path):
    return [entry.get_longname() for entry in server.listPath("hdd", path)]


seen = {"server": server.getServerName().strip("\0"), "is_guest": bool(server.isGuestSession())}
seen["shares"] = [share["shi1_netname"].strip("\0") for share in server.listShares()]
server.putFile("hdd", "left.bin", io.BytesIO(payload).read)
seen["root"] = names("*")
got = io.BytesIO()
server.getFile("hdd", "left.bin", got.write)
seen["is_same"] = got.getvalue() == payload
server.createDirectory("hdd", "folder")
server.rename("hdd", "left.bin", "folder/moved.bin")
seen["folder"] = names("folder/*")
server.deleteFile("hdd", "folder/moved.bin")
server.deleteDirectory("hdd", "folder")
tree = server.connectTree("IPC$")
try:
    server.openFile(tree, "/mnt/hdd/share/komainu-note.txt", desiredAccess=1)
    seen["path_on_pipes"] = "opened"
except Exception as error:
    seen["path_on_pipes"] = str(error)
server.close()
print(json.dumps(seen))
