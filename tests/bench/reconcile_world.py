#!/usr/bin/env python3
"""reconcile_world.py LEDGER CAMPAIGN_ID JOB_ID ROWS STATEMENT: a ledger of ROWS issued rows and
its statement.

LEDGER is one that vouchd has made, with one drained job of the campaign.  The rows go in as a
drain leaves them; the statement has the same in another order, but for one row that is missing and
one that is off by a cent.
"""

import base64
import sqlite3
import sys

BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
STEP = 7_368_787  # a prime: a walk through all rows in another order
NOW_MS = 1_795_000_000_000


def crc8_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = ((byte << 1) ^ 0x07) & 0xFF if byte & 0x80 else byte << 1
        table.append(byte)
    return table


CRC8 = crc8_table()


def object_id(text):
    value = 0
    for letter in text.split("_")[1]:
        value = value << 5 | BASE32.index(letter)
    return value


def recipient(index, rows):
    spread = index * (2**64 // rows)
    return spread.to_bytes(8, "big") + (index * 2_654_435_761 % 2**64).to_bytes(8, "big")


def request_id(campaign, key):
    data = campaign.to_bytes(5, "big") + key + bytes(8)
    crc = 0
    for byte in data:
        crc = CRC8[crc ^ byte]
    return base64.urlsafe_b64encode(data + bytes([crc])).decode()


def fill(ledger, job, rows):
    database = sqlite3.connect(ledger)
    database.execute("PRAGMA synchronous = OFF")
    number, campaign = database.execute(
        "SELECT number, campaign FROM job WHERE id = ?", (job,)).fetchone()
    last = database.execute("SELECT max(seq) FROM event").fetchone()[0]
    first_range = 1 + database.execute("SELECT max(range) FROM job_range").fetchone()[0]
    keys = (recipient(index, rows) for index in range(rows))
    for start in range(0, rows, 100_000):
        page = [(last + start + i + 1, next(keys)) for i in range(min(100_000, rows - start))]
        database.executemany(
            "INSERT INTO issuance (campaign, recipient_key, occurrence, item, state, round, job,"
            " range, campaign_version, downstream_version, amount_minor, call_digest, intent_ms,"
            " last_event) VALUES (?, ?, 0, 0, 5, 0, ?, ?, 1, 1, 500, zeroblob(16), ?, ?)",
            ((campaign, key, number, first_range, NOW_MS, seq) for seq, key in page))
        database.executemany(
            "INSERT INTO event (seq, at_ms, kind, job, campaign, recipient_key, occurrence, item,"
            " round, from_state, to_state, outcome, http_status, transport, sends, duration_us,"
            " reference) VALUES (?, ?, 1, ?, ?, ?, 0, 0, 0, 1, 5, 0, 200, 0, 1, 900, ?)",
            ((seq, NOW_MS + 5, number, campaign, key, f"c-{seq:09d}") for seq, key in page),
        )
    database.execute(
        "INSERT INTO job_range (job, range, planned_all, rows_planned, issued, issued_minor)"
        " VALUES (?, ?, 1, ?, ?, ?)", (number, first_range, rows, rows, rows * 500))
    database.execute("UPDATE job SET rows_accepted = rows_accepted + ? WHERE number = ?",
                     (rows, number))
    database.commit()
    database.close()
    return last


def write_statement(path, campaign, rows, last):
    with open(path, "a", encoding="utf-8") as file:
        index = 0
        for place in range(rows):
            index = (index + STEP) % rows
            amount = 499 if place == 2 else 500
            if place == 1:
                continue
            file.write(f"{NOW_MS + 5},c-{last + index + 1:09d},"
                       f"{request_id(campaign, recipient(index, rows))},,{amount},CNY\n")


def main():
    ledger, campaign, job, rows, statement = sys.argv[1:]
    rows = int(rows)
    last = fill(ledger, object_id(job), rows)
    write_statement(statement, object_id(campaign), rows, last)


if __name__ == "__main__":
    main()
