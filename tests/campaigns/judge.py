#!/usr/bin/env python3
"""judge.py: holds a ledger against the journals of the services it called.

    judge.py LEDGER JOURNAL_FOLDER [--open]

Independent of Vouch's code: it reads the ledger's tables and the sandbox's journals and makes the
request ids itself.  It says what it counted and exits 0 only when
  - no request id and no issuance was executed twice (I1);
  - every issuance that the ledger calls issued was executed once, with that reference and amount;
  - every execution belongs to an issuance that is issued, or (with --open) may still become it;
  - every accepted row is accounted for, and the counters equal the rows (I2).
"""

import base64
import csv
import pathlib
import sqlite3
import sys

STATES = ("planned sending waiting in_doubt held issued declined failed cancelled expired skipped"
          ).split()
ISSUED = STATES.index("issued")
MAY_HAVE_ACTED = {STATES.index(s) for s in ("sending", "in_doubt", "held")}


def crc8(data):
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


def request_id(campaign, recipient_key, occurrence, item, round_):
    data = (campaign.to_bytes(5, "big") + recipient_key + occurrence.to_bytes(6, "big")
            + bytes([item, round_]))
    return base64.urlsafe_b64encode(data + bytes([crc8(data)])).decode()


def read_journal(folder):
    """{request id: [(reference, amount)]} over all services."""
    executions = {}
    for path in sorted(pathlib.Path(folder).glob("*.csv")):
        if path.name.endswith(".refusals.csv"):
            continue
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                amount = int(row["amount_minor"]) if row["amount_minor"] else None
                executions.setdefault(row["request_id"], []).append((row["reference"], amount))
    return executions


def read_ledger(path):
    ledger = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = {}
    for campaign, key, occurrence, item, round_, state, amount, reference in ledger.execute("""
            SELECT campaign.id, recipient_key, occurrence, item, round, state, amount_minor,
                   (SELECT reference FROM event WHERE seq = last_event)
              FROM issuance JOIN campaign ON campaign.number = issuance.campaign"""):
        rows[request_id(campaign, key, occurrence, item, round_)] = (state, amount, reference)
    return ledger, rows


def check_balance(ledger, complain):
    """I2 for every job, and the counters against a recount."""
    columns = ", ".join(f"sum({s})" for s in STATES)
    for number, accepted, items in ledger.execute("SELECT number, rows_accepted, items FROM job"):
        planned, repeats, moved, *by_state = ledger.execute(
            f"SELECT sum(rows_planned), sum(repeats), sum(moved), {columns} FROM job_range"
            " WHERE job = ?", (number,)).fetchone()
        recount = [0] * len(STATES)
        for state, count in ledger.execute(
                "SELECT state, count(*) FROM issuance WHERE job = ? GROUP BY state", (number,)):
            recount[state] = count
        if recount != [c or 0 for c in by_state]:
            complain(f"job {number}: counters {by_state} differ from the rows {recount}")
        left = (accepted - (planned or 0)) * items
        if sum(recount) + (repeats or 0) + (moved or 0) + left != accepted * items:
            complain(f"job {number}: {accepted} rows x {items} are not accounted for")


def main():
    ledger_path, journal_folder = sys.argv[1:3]
    open_ended = "--open" in sys.argv
    faults = []
    executions = read_journal(journal_folder)
    ledger, rows = read_ledger(ledger_path)

    for request, done in executions.items():
        if len(done) > 1:
            faults.append(f"executed {len(done)} times: {request}")
        row = rows.get(request)
        if row is None:
            faults.append(f"executed but not in the ledger: {request}")
        elif row[0] != ISSUED and not (open_ended and row[0] in MAY_HAVE_ACTED):
            faults.append(f"executed but {STATES[row[0]]} in the ledger: {request}")
    issued = executed_sum = issued_sum = 0
    for request, (state, amount, reference) in rows.items():
        if state != ISSUED:
            continue
        issued += 1
        issued_sum += amount or 0
        done = executions.get(request)
        if not done:
            faults.append(f"issued but never executed: {request}")
        elif done[0] != (reference, amount):
            faults.append(f"issued as {(reference, amount)}, executed as {done[0]}: {request}")
    executed_sum = sum(amount or 0 for done in executions.values() for _, amount in done)
    check_balance(ledger, faults.append)
    if not open_ended and executed_sum != issued_sum:
        faults.append(f"sums differ: executed {executed_sum}, issued {issued_sum}")

    resends, = ledger.execute("SELECT count(*) FROM event WHERE sends > 1").fetchone()
    recovered, = ledger.execute("SELECT count(*) FROM event WHERE kind = 2").fetchone()
    by_state = {}
    for state, _, _ in rows.values():
        by_state[STATES[state]] = by_state.get(STATES[state], 0) + 1
    print(f"issuances        {len(rows)}: "
          + ", ".join(f"{count} {state}" for state, count in sorted(by_state.items())))
    print(f"executions       {sum(map(len, executions.values()))} of {len(executions)} request ids")
    print(f"sums             executed {executed_sum}, issued {issued_sum} (minor units)")
    print(f"put in doubt     {recovered} by stops;  second sends stopped: {resends}")
    for fault in faults[:20]:
        print(f"FAULT  {fault}")
    if len(faults) > 20:
        print(f"FAULT  and {len(faults) - 20} more")
    print("the proof holds" if not faults else f"the proof does NOT hold: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
