"""plant.py STATEMENT.csv OUT: a true statement made false in known ways, and hard to read.

Takes the sandbox's statement (time_ms,reference,request_id,recipient_id,amount_minor,currency) and
writes one as an office would: byte order mark, semicolons, CR LF, shuffled, local times of
Shanghai without an offset, amounts as 5.00, a note with quoted newlines, a status.  Prints what a
reconciliation must find: one line `class request_id` for each.
"""

import csv
import datetime
import random
import sys

ZONE = datetime.timezone(datetime.timedelta(hours=8))  # Asia/Shanghai
HEADER = ["交易时间", "voucher", "order no", "customer", "amount", "currency", "status", "note"]


def local(time_ms):
    time = datetime.datetime.fromtimestamp(int(time_ms) / 1000, ZONE)
    return time.strftime("%Y-%m-%d %H:%M:%S.") + f"{int(time_ms) % 1000:03d}"


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chance = random.Random(7)
    chance.shuffle(rows)
    found = []
    lines = []

    def line(row, status="ISSUED", **changes):
        row = {**row, **changes}
        amount = f"{int(row['amount_minor']) / 100:.2f}"
        note = 'said "thanks",\r\nand more; much more'
        lines.append([local(row["time_ms"]), row["reference"], "`" + row["request_id"],
                      row["recipient_id"], amount, row["currency"], status, note])

    plans = iter(rows)
    for row in (next(plans) for _ in range(5)):  # missing
        found.append("lost " + row["request_id"])
    for row in (next(plans) for _ in range(4)):  # off by one cent
        line(row, amount_minor=str(int(row["amount_minor"]) + chance.choice((1, -1))))
        found.append("differs " + row["request_id"])
    for row in (next(plans) for _ in range(3)):
        line(row, currency="EUR")
        found.append("differs " + row["request_id"])
    row = next(plans)
    line(row, recipient_id="somebody-else")
    found.append("differs " + row["request_id"])
    row = next(plans)
    line(row, reference="c-999999")
    found.append("differs " + row["request_id"])
    for row in (next(plans) for _ in range(3)):  # twice, with two references
        line(row)
        line(row, reference="c-8" + row["reference"][2:])
        found.append("double " + row["request_id"])
    for number in range(2):  # not ours
        line(row, request_id=f"counter-sale-{number}", reference=f"x-{number}")
        found.append(f"ghost counter-sale-{number}")
    row = next(plans)  # taken back there
    line(row, status="REVOKED")
    found.append("lost " + row["request_id"])
    line(row, request_id="voided-1", status="REVOKED")
    for row in plans:
        line(row)
    chance.shuffle(lines)
    with open(target, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(HEADER)
        writer.writerows(lines)
    print("\n".join(sorted(found)))


if __name__ == "__main__":
    main()
