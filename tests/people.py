"""A pipeline with persons: the toy pipeline, whose parcels have customers. One of them is to be forgotten."""

import gzip
import shutil
from pathlib import Path

import pandas as pd
import yaml

from contrail.adapters.landing import land_reference
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.partitions import Partitions
from tests.conftest import TOY_PIPELINES, Toy

# No longer than what Iceberg keeps of a least value, so that a scan of manifests finds it.
MARK = "Qzx7MARK"
CUSTOMER = f"{MARK}-1"
WHERE = f"customer = '{CUSTOMER}'"
OTHERS = [f"c-{number:02}" for number in range(12)]
_COLUMNS = {
    "customer": {"type": "string", "personal": True, "doc": "Who ordered."},
    "note": {"type": "string", "required": False, "personal": True, "doc": "What the customer wrote."},
}
_CUSTOMERS = {
    "kind": "reference",
    "doc": "Customers.",
    "key": ["customer"],
    "columns": {
        "customer": {"type": "string", "personal": True, "doc": "Number of the customer."},
        "name": {"type": "string", "personal": True, "doc": "Name."},
        "age": {"type": "int", "personal": True, "doc": "Age in years."},
    },
}


def make_pipeline(pipelines: Path) -> None:
    """Write the pipeline ``people`` beside no other."""
    folder = pipelines / "people"
    shutil.copytree(TOY_PIPELINES / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    spec = yaml.safe_load((folder / "pipeline.yaml").read_text())
    spec["name"] = "people"
    spec["tables"]["parcels"]["columns"] |= _COLUMNS
    spec["tables"]["customers"] = _CUSTOMERS
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    contract = (folder / "expectations.py").read_text()
    own = (
        '"known_depot": Reference(("depot",), "depots"),\n'
        '                "known_customer": Reference(("customer",), "customers"),\n'
    )
    contract = contract.replace('"known_depot": Reference(("depot",), "depots")', own.rstrip(",\n"))
    contract = contract.replace(
        '            rows={\n                "shipped_on_partition"',
        '            rows={\n                "note_length": '
        'gxe.ExpectColumnValueLengthsToBeBetween(column="note", max_value=30),\n'
        '                "shipped_on_partition"',
    )
    contract = contract.replace(
        '        "depots": Contract(',
        '        "customers": Contract(\n'
        '            rows={"age_range": gxe.ExpectColumnValuesToBeBetween(column="age", min_value=0, max_value=130)},\n'
        "            max_bad_share=0.5,\n        ),\n"
        '        "depots": Contract(',
    )
    (folder / "expectations.py").write_text(contract)


def open_people(home: Path) -> Toy:
    """The pipeline in the home of a test."""
    loaded = load_pipeline("people")
    return Toy(loaded, settings())


def land(people: Toy, start: str, end: str) -> None:
    """Land the toy's files, with customers: each seventh parcel is of the one to be forgotten."""
    people.land(start, end)
    for path in sorted((people.landing / "parcels").iterdir()):
        rows = pd.read_csv(path)
        if "customer" not in rows:
            write(Path(str(path)), with_customers(rows))
    everybody = [CUSTOMER, *OTHERS]
    names = [f"{MARK} Doe", *(f"name of {one}" for one in OTHERS)]
    land_reference(
        people.landing, "customers", pd.DataFrame({"customer": everybody, "name": names, "age": [44, *range(20, 32)]})
    )


def with_customers(rows: pd.DataFrame) -> pd.DataFrame:
    """Give parcels a customer, and to some a note."""
    mine = rows["parcel"] % 7 == 3
    others = rows["parcel"].map(lambda number: OTHERS[number % len(OTHERS)])
    notes = rows["parcel"].map(lambda number: f"leave it, at door {number}" if number % 2 else None)
    own = rows["parcel"].map(lambda number: f"{MARK}, ring {number}")
    return rows.assign(customer=others.where(~mine, CUSTOMER), note=notes.where(~mine, own))


def write(path: Path, rows: pd.DataFrame) -> None:
    """Write a landed file."""
    path.write_bytes(gzip.compress(rows.to_csv(index=False, lineterminator="\n").encode(), mtime=0))


def partitions(start: str, end: str) -> Partitions:
    """Days."""
    return Partitions.parse(start, end)
