"""A mail server that keeps what it gets: one .eml file a mail, and beside it a .json file with what a mail reader shows.

usage: mailbox.py FOLDER
"""

import asyncio
import email
import email.policy
import json
import pathlib
import sys

from aiosmtpd.smtp import SMTP


class Mailbox:
    """Numbers mails in the order in which they arrive."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        name = self.folder / f"{self.count:04}"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = {kind: mail.get_body((kind,)) for kind in ("plain", "html")}
        shown = {
            "from": str(mail["from"]),
            "to": envelope.rcpt_tos,
            "subject": str(mail["subject"]),
            "text": part["plain"].get_content() if part["plain"] else "",
            "html": part["html"].get_content() if part["html"] else "",
        }
        name.with_suffix(".eml").write_bytes(envelope.content)
        # Renamed last: who sees the .json file sees all of it.
        unfinished = name.with_suffix(".part")
        unfinished.write_text(json.dumps(shown, indent=1))
        unfinished.rename(name.with_suffix(".json"))
        print(f"mail {self.count} to {', '.join(envelope.rcpt_tos)}: {shown['subject']}", flush=True)
        return "250 kept"


async def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    mailbox = Mailbox(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(main(pathlib.Path(sys.argv[1])))
