"""Files as a table's own, written by the executors of Apache Spark, so that the publisher only audits and moves them.

What such a file must be is the lake's matter.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from contrail.lake.datasets import PARTITION

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_DAY = "_day"  # the partition's folder; the column itself stays in the file


def write_final(rows: "DataFrame", ids: Mapping[str, int], order: Sequence[str], folder: str) -> None:
    """Write rows of a daily table as Parquet files, each of one partition, sorted by its key, with the ids of the columns.

    A partition is one task, which sorts out of core. Partitions are of any number.

    Args:
        rows: Have the columns of ``ids`` in the types of the table.
        ids: The id of each column, in the table's order.
        order: The columns by which the rows of a file are sorted.
        folder: Where the files go, in a folder for each partition.
    """
    from pyspark.sql import functions as F

    def column(name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    named = (F.col(column(name)).alias(name, metadata={"parquet.field.id": number}) for name, number in ids.items())
    daily = rows.select(*named).withColumn(_DAY, F.col(PARTITION)).repartition(_DAY)
    keys = [column(name) for name in order if name != PARTITION]
    daily.sortWithinPartitions(_DAY, *keys).write.mode("overwrite").partitionBy(_DAY).parquet(folder)
