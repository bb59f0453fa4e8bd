"""3D Slicer's .seg.nrrd: the fields by which Slicer knows segments, read from the file's own text, and the voxels."""

import numpy as np
import SimpleITK as sitk

from common.reading.images import read_image
from common.volume import Volume
from common.writing.seg_nrrd import write_seg_nrrd


def test_names_colours_codes_and_voxels(tmp_path) -> None:
    values = np.zeros((10, 12, 14), np.uint8)
    values[2:5, 3:9, 10:13], values[6:8, 1:2, 0:4] = 1, 8
    affine = np.array([[-0.8, 0, 0, 30], [0, 0, 1.5, -20], [0, -0.9, 0, 70], [0, 0, 0, 1.0]])
    path = tmp_path / "mask.seg.nrrd"
    write_seg_nrrd(Volume(values, affine), path)
    header = path.read_bytes().partition(b"\n\n")[0].decode().splitlines()
    fields = dict(line.split(":=", 1) for line in header if ":=" in line)
    assert fields["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert (fields["Segment0_Name"], fields["Segment0_LabelValue"]) == ("C1", "1")
    assert (fields["Segment1_Name"], fields["Segment1_LabelValue"]) == ("thoracic", "8")
    assert fields["Segment0_Color"] == "0.900 0.290 0.230"
    assert fields["Segment0_Extent"] == "2 4 3 8 10 12"
    assert fields["Segment0_Layer"] == fields["Segment1_Layer"] == "0"
    assert "~SCT^91723000^Anatomical Structure~SCT^14806007^C1 vertebra~" in fields["Segment0_Tags"]
    assert "Segment2_Name" not in fields
    assert len({fields["Segment0_ID"], fields["Segment1_ID"]}) == 2
    back = read_image(path)
    assert (back.array == values).all() and np.allclose(back.affine, affine)
    assert sitk.ReadImage(str(path)).GetMetaData("Segment1_Name") == "thoracic"
