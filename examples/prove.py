#!/usr/bin/env python3
"""prove.py: holds the results of a job against the journals of the services, voucher by voucher.

    prove.py RESULTS.csv JOURNAL_FOLDER

RESULTS.csv is what `vouchctl job results JOB -o csv` printed; the journals are those that
vouch-sandbox keeps.  Exits 0 only when every line called issued stands in a journal once, with the
same amount, and every line of the journals is an issued line of the results.
"""

import csv
import pathlib
import sys


def read_journals(folder):
    """{reference: amount}, and how many lines there were."""
    executed, lines = {}, 0
    for path in sorted(pathlib.Path(folder).glob("*.csv")):
        if path.name.endswith(".refusals.csv"):
            continue
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                executed[row["reference"]] = row["amount_minor"]
                lines += 1
    return executed, lines


def main():
    executed, lines = read_journals(sys.argv[2])
    results, issued, faults = {}, {}, []
    with open(sys.argv[1], newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            result = row["vouch_result"]
            results[result] = results.get(result, 0) + 1
            if result != "issued":
                continue
            reference = row["vouch_reference"]
            if reference in issued:
                faults.append(f"issued twice: {reference}")
            issued[reference] = row["vouch_amount_minor"]
    for reference, amount in issued.items():
        if executed.get(reference) != amount:
            faults.append(f"issued {amount}, executed {executed.get(reference)}: {reference}")
    faults += [f"executed, not issued: {r}" for r in executed if r not in issued]
    if lines != len(executed):
        faults.append(f"{lines - len(executed)} references stand twice in the journals")

    for result, count in sorted(results.items()):
        print(f"{result:<14}{count:>10}")
    for name, count, amounts in (("executed", lines, executed), ("issued", len(issued), issued)):
        total = sum(int(amount or 0) for amount in amounts.values())
        print(f"{name:<14}{count:>10}   sum {total} minor units")
    for fault in faults[:10]:
        print("FAULT", fault)
    print("PROOF HOLDS: nothing lost, nothing issued twice" if not faults
          else f"PROOF FAILS: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
