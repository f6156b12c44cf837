"""Komainu's lake beside DuckDB: the same attacks, the same questions, the same answers, one after the other in one run.

    komainu bench lake --folder FOLDER --attacks 200000000 --json > komainu.json
    python tests/lake/race.py komainu.json FOLDER

DuckDB answers three times: from the very files of the lake, from a table of its own that is made of them, and, where Komainu
answers from counts that stand ready, from such counts of its own. Answers that are not the same end the program. It prints a
table for docs/performance.md.
"""

import json
import os
import resource
import sys
import tempfile
import time

import duckdb

ROUNDS = 3


def main() -> None:
    told = json.load(open(sys.argv[1], encoding="utf-8"))
    files = os.path.join(sys.argv[2], "attacks", "*", "*.parquet")
    threads = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(sys.argv[2]))) as folder:
        database = duckdb.connect(os.path.join(folder, "race.db"))
        database.execute(f"set threads={threads}; set memory_limit='8GB'; set timezone='UTC'")
        database.execute(f"create view files as select * from read_parquet('{files}', hive_partitioning=true)")
        begin = processor_time()
        columns = "time::timestamp as time, source, country, asn, sensor, appliance, model, protocol, transport, port, label, release"
        database.execute(f"create table own as select {columns} from files")
        database.execute("checkpoint")
        load_s = processor_time() - begin
        ready(database)
        size = os.path.getsize(os.path.join(folder, "race.db"))
        rows = [["", "Komainu", "DuckDB, the same files", "DuckDB, its own table", "DuckDB, with counts ready"]]
        for asked in told["questions"]:
            rows.append(race(database, asked, told))
        print_table(rows)
        attacks = told["attacks"]
        print(f"\n{attacks:,} attacks; bytes for each: Komainu {told['bytes_per_attack']:.2f}, "
              f"DuckDB's table {size / attacks:.2f} (with its ready counts)")
        if "load" in told:
            print(f"taken for each second of a processor: Komainu {told['load']['attacks_per_cpu_s'] / 1e6:.2f} million, "
                  f"with merging {told['load']['attacks_per_cpu_s_with_merges'] / 1e6:.2f} million; "
                  f"DuckDB from files {attacks / load_s / 1e6:.2f} million")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"peak memory: Komainu {told['peak_memory_mib']} MiB, DuckDB {peak} MiB; threads: {threads}; "
              f"DuckDB {duckdb.__version__}")


def ready(database: duckdb.DuckDBPyConnection) -> None:
    """Counts like those that stand ready in the lake."""
    for name, columns in {"country": "country", "protocol": "protocol", "model": "appliance, model", "port": "port"}.items():
        database.execute(f"create table ready_{name} as select epoch_ms(time) // 86400000 as day, {columns}, "
                         f"count(*)::uinteger as attacks from own group by all order by all")
    database.execute("create table ready_source as select epoch_ms(time) // 86400000 as day, count(*) as attacks, "
                     "count(distinct source) as sources from own group by 1 order by 1")
    database.execute("checkpoint")


def race(database: duckdb.DuckDBPyConnection, asked: dict, told: dict) -> list[str]:
    name = asked["name"]
    day = "epoch_ms(time) // 86400000"  # the fastest of several ways to say it
    pair = ", ".join(name.split("_")[1:])
    first = database.execute(f"select min({day}) from own").fetchall()[0][0] + told["days"] * 6 // 10
    drill_day, month = (f"time >= make_timestamp_ms({first * 86_400_000}) and time < make_timestamp_ms({(first + days) * 86_400_000})"
                        for days in (1, 30))
    counts = {
        "rollup_day_country": (f"select {day}, country, count(*) c from %s group by 1, 2", "select day, country, attacks c from ready_country"),
        "rollup_day_protocol": (f"select {day}, protocol, count(*) c from %s group by 1, 2", "select day, protocol, attacks c from ready_protocol"),
        "rollup_day_model": (f"select {day}, appliance, model, count(*) c from %s group by 1, 2, 3", "select day, appliance, model, attacks c from ready_model"),
        "rollup_top_ports": ("select port, count(*) c from %s group by 1 order by c desc, port limit 20",
                             "select port, sum(attacks)::bigint c from ready_port group by 1 order by c desc, port limit 20"),
        "distinct_day": (f"select {day}, count(*) c, count(distinct source) d from %s group by 1", "select day, attacks c, sources d from ready_source"),
        "distinct_day_transport": (f"select {day}, transport, count(*) c, count(distinct source) d from %s group by 1, 2", None),
        "drill_day_smb": (f"select country, appliance, port, count(*) c from %s where protocol = 'smb' and {drill_day} group by all", None),
        "drill_day_smb_sources": (f"select country, appliance, port, count(*) c, count(distinct source) d from %s where protocol = 'smb' and {drill_day} group by all", None),
        "top_sources": (f"select source, count(*) c from %s where {month} group by 1 order by c desc, source limit 50", None),
    }
    if name.startswith("scan_"):
        counts[name] = (f"select {day}, {pair}, count(*) c from %s group by all", None)
    if name.startswith("top10_"):
        grouped = f"select {day} d, {pair}, count(*) n from %s group by all"
        counts[name] = (f"select d, {pair}, n as c from ({grouped}) qualify row_number() over (partition by d order by n desc) <= 10", None)
    if name.startswith("source_"):
        place = {"first": 0, "100th": 99, "30000th": 29_999}[name.split("_")[1]]
        source = database.execute(f"select source, count(*) c from own where {month} group by 1 "
                                  f"order by c desc, source limit 1 offset {place}").fetchall()[0][0]
        if name.endswith("_all"):
            counts[name] = (f"select protocol, count(*) c from %s where source = '{source}' group by 1", None)
        else:
            counts[name] = (f"select * from %s where source = '{source}' order by time desc limit 100", None)
    query, of_ready = counts[name]
    answers = [timed(database, query % "files"), timed(database, query % "own")]
    if of_ready:
        answers.append(timed(database, of_ready))
    for _, answer in answers:
        compare(asked, answer)
    cells = [f"{asked['best_ms']:.2f} ms{' *' if asked['from_rollups'] else ''}"]
    cells += [f"{best:.1f} ms ({best / asked['best_ms']:.1f}x)" for best, _ in answers]
    print(asked["what"], cells, file=sys.stderr, flush=True)
    return [asked["what"], *cells, *[""] * (4 - len(cells))]


def timed(database: duckdb.DuckDBPyConnection, query: str) -> tuple[float, tuple]:
    """The best time in ms, and sums of the answer. Rows of Python are not made of it: that would cost more than the answer."""
    summed = query if query.startswith("select * from") else f"select {sums(query)} from ({query})"
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        rows = database.execute(summed).fetchall()
        best = min(best, (time.perf_counter() - begin) * 1e3)
    return best, (len(rows),) if query.startswith("select * from") else rows[0]


def sums(query: str) -> str:
    counted = [f"sum({name})::bigint" for name in ("c", "d") if f" {name} from" in query or f" {name}," in query]
    return ", ".join(["count(*)", *counted])


def compare(asked: dict, answer: tuple) -> None:
    if len(answer) == 1:
        expected = (asked["rows"],)
    elif asked["name"] in ("rollup_top_ports", "top_sources") or asked["name"].startswith("top10_"):
        # Komainu tells how many attacks there were in all.
        answer, expected = answer[:1], (asked["groups"],)
    else:
        expected = (asked["groups"], asked["rows"], asked["distinct"])[: len(answer)]
    if answer != expected:
        sys.exit(f"{asked['name']}: DuckDB says {answer}, Komainu {expected}")


def processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def print_table(rows: list[list[str]]) -> None:
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" + "|---:" * (len(rows[0]) - 1) + "|")
    for row in rows[1:]:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
