"""The files of the lake as DuckDB reads them: the same answers as Komainu's, also while files are written and merged."""

import json
import pathlib
import subprocess
import sys

import duckdb

from harness import KOMAINU, check, equal, run

RACE = pathlib.Path(__file__).parent.parent / "lake" / "race.py"
ATTACKS = 400_000


def made(folder, attacks, batch):
    """The command that fills a lake, and asks it."""
    command = [KOMAINU, "bench", "--json", "lake", "--folder", folder, "--rounds", 1, "--days", 75]
    return [str(word) for word in [*command, "--attacks", attacks, "--batch", batch]]


@check
def duckdb_answers_as_komainu_does(server):
    folder = server.folder / "lake"
    told = server.folder / "told.json"
    told.write_bytes(subprocess.run(made(folder, ATTACKS, 200_000), check=True, stdout=subprocess.PIPE).stdout)
    asked = json.loads(told.read_text())
    equal(asked["attacks"], ATTACKS)
    equal(len(asked["questions"]) > 15, True)
    # It ends with an error when an answer is another.
    done = subprocess.run([sys.executable, RACE, told, folder], capture_output=True, text=True, check=False)
    equal(done.returncode, 0, done.stderr)


@check
def every_row_is_seen_once_while_files_are_written_and_merged(server):
    folder, attacks = server.folder / "written", 4 * ATTACKS
    # Each batch is so large that it becomes files at once.
    with subprocess.Popen(made(folder, attacks, 131_072), stdout=subprocess.DEVNULL) as writer:
        seen, looks = 0, 0
        while writer.poll() is None:
            try:
                rows = duckdb.connect().execute(f"select count(*) from '{folder}/attacks/*/*.parquet'").fetchall()[0][0]
            except duckdb.IOException:
                # None yet, or one was merged after it was listed: to be looked for again.
                continue
            looks += 1
            # A batch that lies in two months comes in two files, one after the other.
            equal(seen <= rows <= attacks, True, f"{rows} rows after {seen}")
            seen = rows
        equal(writer.returncode, 0)
    rows = duckdb.connect().execute(f"select count(*) from '{folder}/attacks/*/*.parquet'").fetchall()[0][0]
    equal(rows, attacks)
    equal(looks > 3, True, f"{looks} looks")


if __name__ == "__main__":
    run()
