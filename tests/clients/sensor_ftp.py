"""A persona's FTP: lftp, curl, nmap, and what is written down of them."""

import ftplib
import hashlib
import subprocess

from harness import LIMIT_S, Sensor, check, equal, run, wait_until

PAYLOAD = b"Komainu was here.\r\nThis is a file and nothing else: " + bytes(range(256)) * 2_000
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()


def summaries(sensor):
    lines = [line for line in sensor.lines("honeypot.json") if line["event_type"] == "honeypot"]
    return [line["honeypot"] for line in lines]


def control_and_data(sensor, before):
    """The summary of the control connection that began after `before` sessions, and those of its data connections."""

    def look():
        ended = summaries(sensor)[before:]
        control = [one for one in ended if "parent" not in one["session"] and "auth" in one]
        return control and (control[-1], [x for x in ended if x["session"].get("parent") == control[-1]["session"]["id"]])

    return wait_until("the summary of the control connection", look)


def lftp(sensor, commands, login="root,xc3511"):
    settings = "set net:max-retries 1; set net:timeout 10; set ftp:ssl-allow no; set cmd:fail-exit yes; "
    where = f"open -u {login} -p {sensor.port(21)} 127.0.0.1; "
    command = ["lftp", "--norc", "-c", settings + where + commands]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@check
def lftp_puts_lists_and_gets(sensor):
    before = len(summaries(sensor))
    local, back = sensor.folder / "a.bin", sensor.folder / "a.back"
    local.write_bytes(PAYLOAD)
    back.unlink(missing_ok=True)
    done = lftp(sensor, f"cd /tmp; mkdir d; put {local} -o d/a.bin; cls -l d; mv d/a.bin d/b; get d/b -o {back}; rm d/b; rmdir d")
    equal(done.returncode, 0, done.stdout + done.stderr)
    equal("a.bin" in done.stdout, True, done.stdout)
    equal(back.read_bytes() == PAYLOAD, True, "the file comes back as it went")
    control, data = control_and_data(sensor, before)
    equal([(one["user"], one["accepted"]) for one in control["auth"]], [("root", True)])
    artifacts = [one for summary in data for one in summary.get("artifacts", [])]
    equal([(x["name"], x["via"], x["sha256"]) for x in artifacts], [("/tmp/d/a.bin", "ftp_upload", SHA256)])
    equal(sensor.artifact(SHA256) == PAYLOAD, True)
    equal("artifacts" in control, False, "it is told once")


@check
def curl_puts_and_gets(sensor):
    url = f"ftp://127.0.0.1:{sensor.port(21)}//tmp/c.bin"
    local, back = sensor.folder / "c.bin", sensor.folder / "c.back"
    local.write_bytes(PAYLOAD[::-1])
    for options in ([], ["--disable-epsv"]):
        command = ["curl", "-sS", "-u", "root:xc3511", *options]
        subprocess.run([*command, "-T", local, url], check=True, timeout=LIMIT_S)
        # What is only in the session is gone with it, as on a device that was started anew.
        equal(subprocess.run([*command, url], capture_output=True, timeout=LIMIT_S, check=False).returncode, 78)
        subprocess.run([*command, "-o", back, url.replace("tmp/c.bin", "etc/passwd")], check=True, timeout=LIMIT_S)
        equal(back.read_bytes().startswith(b"root:"), True)


@check
def uploads_go_on_where_they_stopped(sensor):
    before = len(summaries(sensor))
    with ftplib.FTP() as client:
        client.connect("127.0.0.1", sensor.port(21), LIMIT_S)
        client.login("root", "xc3511")
        client.cwd("/tmp")
        with client.transfercmd("STOR x") as data:
            data.sendall(b"first ")
        client.voidresp()
        with client.transfercmd("STOR x", rest=6) as data:
            data.sendall(b"second")
        client.voidresp()
        equal((client.size("x"), "x" in client.nlst()), (12, True))
        equal("x" in [name for name, _ in client.mlsd()], True)
        client.quit()
    _, data = control_and_data(sensor, before)
    equal(len([one for one in data if one.get("artifacts")]), 2)


@check
def a_wrong_password_and_a_bounce(sensor):
    before = len(summaries(sensor))
    with ftplib.FTP() as client:
        client.connect("127.0.0.1", sensor.port(21), LIMIT_S)
        equal(raises(lambda: client.login("root", "not-this-one-0815")), "530 Login failed")
        client.login("root", "xc3511")
        equal(raises(lambda: client.sendport("192.0.2.9", 25)), "500 Illegal PORT command")
    control, _ = control_and_data(sensor, before)
    equal([one["accepted"] for one in control["auth"]], [False, True])
    for name in ("eve.json", "honeypot.json"):
        equal("not-this-one-0815" in (sensor.data / "sensor" / name).read_text(), False, name)


def raises(act):
    try:
        act()
    except ftplib.Error as error:
        return str(error)
    raise AssertionError("it was done")


@check
def nmap_knows_it(sensor):
    command = ["nmap", "-Pn", "-sV", "-p", str(sensor.port(21)), "--script", "ftp-anon,ftp-syst,ftp-bounce", "127.0.0.1"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    equal("BusyBox ftpd" in said and "bounce working" not in said, True, said)


run(Sensor, persona="camera", configuration='[sensor]\nid = "check"\n')
