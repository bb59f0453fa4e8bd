"""How far gaps between slices may differ: by a quarter of the usual one."""

import pytest

from common.errors import IncompleteSeries
from common.reading.selftest.broken_series import write
from common.reading.study import read_study


@pytest.mark.parametrize(("off", "read"), [(0.2, True), (0.3, False), (-0.3, False)])
def test_one_gap_that_differs(tmp_path, off: float, read: bool) -> None:
    """Slices 2 mm apart and one pair 2 mm (1 + off): a scan with a jolt."""
    write(tmp_path, [k + off * (k > 5) for k in range(12)])
    if read:
        assert read_study(tmp_path).volume.array.shape[2] == 12
    else:
        with pytest.raises(IncompleteSeries, match=r"05\.dcm and 06\.dcm"):
            read_study(tmp_path)
