#!/usr/bin/env python3
"""judge_exports.py: holds a ledger against every file that an export has written.

    judge_exports.py STORE ROWS_OF_A_JOB

The audit trail says which files; those that died may end anywhere, in the middle of a row too.
Independent of Vouch's code.  It says what it counted and exits 0 only when
  - over all files no code stands at two issuances, and no issuance has two codes (I6);
  - every row of every job is issued, with a code of its own, and no other code is out (I2, I6);
  - its evidence is the export, a segment of the pool and its own ordinal, and the file of that
    export, whole, has its code and calls it issued (I4).
"""

import csv
import json
import pathlib
import sqlite3
import sys

from judge import ISSUED, check_balance, request_id


def read_file(path):
    """{issuance: (code, state)} of its whole rows, and whether no row is cut off."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole, newline, rest = text.rpartition("\n")
    rows = {row["issuance"]: (row["code"], row["state"])
            for row in csv.DictReader((whole + newline).splitlines())}
    return rows, rest == ""


def read_ledger(store):
    """The ledger, and {issuance: (state, ordinal, reference)}."""
    ledger = sqlite3.connect(f"file:{store}/ledger/main/ledger.db?mode=ro", uri=True)
    rows = {}
    for campaign, key, occurrence, item, *row in ledger.execute("""
            SELECT campaign.id, recipient_key, occurrence, item, state, ordinal,
                   (SELECT reference FROM event WHERE seq = last_event)
              FROM issuance JOIN campaign ON campaign.number = issuance.campaign"""):
        rows[request_id(campaign, key, occurrence, item, 0)] = row
    return ledger, rows


def read_trail(store):
    """{export: file} of the audit trail, and the segments of the pools."""
    control = sqlite3.connect(f"file:{store}/control/control.db?mode=ro", uri=True)
    told = [json.loads(detail) for (detail,) in control.execute(
        "SELECT detail FROM audit WHERE action = 'pool export'")]
    segments = {digest for (digest,) in control.execute("SELECT digest FROM pool_segment")}
    return {one["export"]: pathlib.Path(one["file"]) for one in told}, segments


def check_codes(files, complain):
    """{issuance: code} over all files, each of the other's only."""
    codes, owners = {}, {}
    for path in sorted(set(files.values())):
        for issuance, (code, _) in read_file(path)[0].items():
            if codes.setdefault(issuance, code) != code:
                complain(f"{issuance} has two codes: {path}")
            if owners.setdefault(code, issuance) != issuance:
                complain(f"a code stands at two issuances: {path}")
    return codes


def check_ledger(ledger, rows, rows_of_job, complain):
    """Every row has its end, and every code that is out an owner that says so."""
    check_balance(ledger, complain)
    for job, accepted, issued in ledger.execute(
            "SELECT number, rows_accepted, (SELECT count(*) FROM issuance WHERE job = number AND"
            " state = 5) FROM job"):
        if not accepted == issued == rows_of_job:
            complain(f"job {job}: {issued} of {accepted} rows are issued")
    for what, sql in (
            ("codes without an owner", "SELECT count(*) FROM code LEFT JOIN issuance USING"
             " (campaign, recipient_key, occurrence, item)"
             " WHERE issuance.ordinal IS NOT code.ordinal"),
            ("rows without a code", "SELECT count(*) FROM issuance WHERE ordinal IS NULL"),
            ("jobs that are open", "SELECT count(*) FROM job WHERE state <> 6")):
        found, = ledger.execute(sql).fetchone()
        if found:
            complain(f"{found} {what}")
    out, = ledger.execute("SELECT count(DISTINCT ordinal) FROM code").fetchone()
    if out != len(rows):
        complain(f"{out} codes are out for {len(rows)} rows")


def check_evidence(rows, files, segments, complain):
    """How many files have confirmed something."""
    whole = {}
    for request, (state, ordinal, reference) in rows.items():
        if state != ISSUED:
            continue
        export, segment, of = ((reference or "") + "//").split("/")[:3]
        if export not in files or segment not in segments or of != str(ordinal):
            complain(f"issued without evidence: {request}: {reference}")
            continue
        if export not in whole:
            whole[export], is_whole = read_file(files[export])
            if not is_whole:
                complain(f"confirmed, and cut off: {files[export]}")
        if whole[export].get(request, ("", ""))[1] != "issued":
            complain(f"confirmed, and not in the file: {request}: {files[export]}")
    return len(whole)


def main():
    store, rows_of_job = sys.argv[1], int(sys.argv[2])
    faults = []
    files, segments = read_trail(store)
    ledger, rows = read_ledger(store)
    codes = check_codes(files, faults.append)
    check_ledger(ledger, rows, rows_of_job, faults.append)
    confirmed = check_evidence(rows, files, segments, faults.append)
    if len(codes) != len(rows):
        faults.append(f"{len(codes)} issuances stand in files, of {len(rows)}")
    print(f"exported         {len(rows)} rows, {len(set(codes.values()))} codes; {len(files)} "
          f"exports, {confirmed} confirmed")
    for fault in faults[:20]:
        print(f"FAULT  {fault}")
    if len(faults) > 20:
        print(f"FAULT  and {len(faults) - 20} more")
    return 1 if faults or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
