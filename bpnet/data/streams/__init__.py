"""Examples that are larger than memory, read block by block.

Pass one of these to ``fit``, ``evaluate`` or ``predict`` in the place of X:

=================== ======================================================================
:class:`Arrays`     arrays that can be sliced: HDF5, Zarr, memory maps
:class:`Parquet`    one or more Parquet files, local or at a URL
:class:`Dask`       dask arrays and data frames
:class:`Examples`   single examples by number, such as those of a torch Dataset
=================== ======================================================================

An iterable of batches, such as a torch DataLoader, is passed as it is. For a source of your
own, derive from :class:`Source`. :func:`row_order` is the order in which rows are trained on.
"""

from bpnet.data.streams.arrays import Arrays
from bpnet.data.streams.dask_collections import Dask
from bpnet.data.streams.examples import Examples
from bpnet.data.streams.order import row_order
from bpnet.data.streams.parquet import Parquet
from bpnet.data.streams.source import Source

__all__ = ["Arrays", "Dask", "Examples", "Parquet", "Source", "row_order"]
