"""Files that a stranger might bring: nobody made them for Contrail."""

import csv
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

FIRST = date(2023, 1, 1)


def write(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",", encoding: str = "utf-8"
) -> Path:
    """Write a CSV file."""
    with path.open("w", newline="", encoding=encoding) as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def always_the_same() -> random.Random:
    """Numbers of chance that every test run has."""
    return random.Random(1)  # noqa: S311 - no secret


def days(count: int) -> Iterator[date]:
    """So many days."""
    return (FIRST + timedelta(days=number) for number in range(count))


def sales(folder: Path, count: int = 150) -> Path:
    """Sales of three shops by day: a regression, as most people begin."""
    chance = always_the_same()

    def rows() -> Iterator[Sequence[Any]]:
        for day in days(count):
            for store, base in (("Nord", 100), ("Süd", 160), ("West", 60)):
                promo = int(chance.random() < 0.3)
                sold = base * (1 + 0.5 * (day.weekday() >= 5) + 0.3 * promo) + chance.gauss(0, 8)
                yield day, store, promo, int(sold / 4 + chance.gauss(0, 2)), round(sold, 2)

    return write(folder / "sales.csv", ("date", "store", "promo", "customers", "sales"), rows())


def stores(folder: Path) -> Path:
    """A table of the shops."""
    rows = (("Nord", 120, "a"), ("Süd", 200, "b"), ("West", 80, "a"))
    return write(folder / "stores.csv", ("store", "area", "region"), rows)


def tickets(folder: Path, count: int = 3_000, *, closed: bool = True, rare: bool = False) -> Path:
    """Tickets of customers who leave or stay: binary events, with times of two offsets."""
    chance = always_the_same()

    def rows() -> Iterator[Sequence[Any]]:
        at = datetime(2024, 1, 1, tzinfo=UTC)
        for number in range(count):
            at += timedelta(minutes=chance.expovariate(1 / 70))
            plan, amount = chance.choice(("basic", "plus", "pro")), chance.lognormvariate(3, 0.7)
            score = {"basic": -0.3, "plus": -1.4, "pro": -2.5}[plan] + 0.02 * amount - (6 if rare else 0)
            left = chance.random() < 1 / (1 + math.exp(-score))
            zone = timezone(timedelta(hours=1 + (at.month > 3)))
            known = [(at + timedelta(hours=chance.uniform(20, 120))).astimezone(zone).isoformat(timespec="seconds")]
            customer, mail = f"C{chance.randint(1, 200):04d}", f"a{number}@example.org"
            opened = at.astimezone(zone).isoformat(timespec="seconds")
            yield (
                10_000 + number,
                customer,
                plan,
                opened,
                round(amount, 2),
                mail,
                "yes" if left else "no",
                *known[: int(closed)],
            )

    header = (
        "ticket_id",
        "customer",
        "plan",
        "opened_at",
        "amount",
        "email",
        "churned",
        *(("closed_at",) if closed else ()),
    )
    return write(folder / "tickets.csv", header, rows())


def umsatz(folder: Path, count: int = 150, encoding: str = "utf-8-sig") -> Path:
    """A spreadsheet from Germany: another dialect, names with blanks, words of SQL, words for nothing."""
    chance = always_the_same()

    def rows() -> Iterator[Sequence[Any]]:
        for day in days(count):
            for shop in range(1, 5):
                sold = 900 * shop * (1 + 0.4 * (day.weekday() >= 5)) + chance.gauss(0, 40)
                amount = f"{sold:,.2f}".translate(str.maketrans(",.", ".,"))
                staff = "-" if chance.random() < 0.05 else chance.randint(1, 9)
                yield (
                    f"{day:%d.%m.%Y}",
                    f"{shop:03d}",
                    chance.choice("ab"),
                    amount,
                    chance.choice(("x", "y", "n/a")),
                    staff,
                )

    header = ("Datum", "Filial Nr", "order", "Umsatz €", "select", "2nd value")
    return write(folder / "Umsätze 2023.csv", header, rows(), ";", encoding)


def power(folder: Path, count: int = 100) -> Path:
    """Power by hour, by a clock without a zone."""
    chance = always_the_same()
    hours = ((day, hour) for day in days(count) for hour in range(24))
    rows = (
        (f"{day} {hour:02d}:00:00", f"{500 + 200 * math.sin(hour / 4) + chance.gauss(0, 20):.1f}")
        for day, hour in hours
    )
    return write(folder / "power.csv", ("ts", "y"), rows)


def odd(folder: Path, count: int = 150) -> Path:
    """Names and values that mean something to YAML, Python or SQL."""
    chance = always_the_same()
    texts = ("it's", '"q"', "a\\b", "{{ x }}")
    rows = (
        (day, chance.choice("ab"), chance.randint(0, 3), chance.choice(texts), chance.random()) for day in days(count)
    )
    return write(folder / "odd\tname.csv", ("null", "yes", "on", 'it\'s "x" -- # {{ y }}', "select"), rows, "|")


def people(folder: Path) -> Path:
    """A table without any time."""
    chance = always_the_same()
    rows = ((chance.randint(18, 90), chance.choice("ab"), chance.randint(0, 1)) for _ in range(200))
    return write(folder / "people.csv", ("age", "plan", "churned"), rows)


def constant(folder: Path) -> Path:
    """A label that is the same in every row."""
    return write(folder / "constant.csv", ("day", "amount", "churned"), ((day, day.day, 0) for day in days(150)))
