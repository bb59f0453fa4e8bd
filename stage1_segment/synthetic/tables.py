"""What a table says of every cell."""

from torch import Tensor


def values_at(table: Tensor, places: Tensor) -> Tensor:
    """table (n,), places int of any shape -> table's values there, of that shape; several times as fast as indexing."""
    return table.index_select(0, places.view(-1)).view(places.shape)
