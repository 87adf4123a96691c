"""Labels as Arrow, for tests that look at all of them."""

from datetime import date

import pyarrow as pa

from contrail.config.spec import PipelineSpec
from contrail.lake.labels import make_labels
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.partitions import Partitions


def read_labels(lake: Lake, spec: PipelineSpec, days: Partitions, as_of: date | None = None) -> pa.Table:
    with session(lake.settings) as connection:
        make_labels(connection, lake, spec, [*days], as_of=as_of)
        return connection.sql("SELECT * FROM labels ORDER BY ALL").to_arrow_table()
