"""python read_files.py FILE...: .seg.nrrd and .ctbl as 3D Slicer's own readers see them, as JSON on stdout, by file.

It needs the package slicer-core, Slicer's libraries without its window. A segmentation: name -> `rgb` (0..1), `tags`,
`points`, the RAS mm of its voxels. A colour table: value -> [name, red, green, blue, opacity], each 0..1.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy


def read(scene: Any, node: Any, storage: Any, path: str) -> Any:
    for one in (node, storage):
        scene.AddNode(one)
    storage.SetFileName(path)
    if not storage.ReadData(node):
        raise SystemExit(f"{path}: 3D Slicer can't read it")
    return node


def segments(scene: Any, path: str) -> dict[str, Any]:
    node = read(scene, slicer.vtkMRMLSegmentationNode(), slicer.vtkMRMLSegmentationStorageNode(), path)
    found = {}
    for number in range(node.GetSegmentation().GetNumberOfSegments()):
        segment = node.GetSegmentation().GetNthSegment(number)
        image = segment.GetRepresentation("Binary labelmap")
        values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")
        index = np.argwhere(values == segment.GetLabelValue()) + np.array(image.GetExtent())[::2]
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        tags: Any = vtk.reference("")
        segment.GetTag("TerminologyEntry", tags)
        found[segment.GetName()] = {
            "rgb": list(segment.GetColor()),
            "tags": str(tags),
            "points": (index @ affine[:3, :3].T + affine[:3, 3]).tolist(),
        }
    return found


def colours(scene: Any, path: str) -> dict[int, list[Any]]:
    node = read(scene, slicer.vtkMRMLColorTableNode(), slicer.vtkMRMLColorTableStorageNode(), path)
    found = {}
    for value in range(node.GetNumberOfColors()):
        rgba = [0.0] * 4
        node.GetColor(value, rgba)
        found[value] = [node.GetColorName(value), *rgba]
    return found


if __name__ == "__main__":
    place = slicer.vtkMRMLScene()
    readers = {".nrrd": segments, ".ctbl": colours}
    print(json.dumps({Path(path).name: readers[Path(path).suffix](place, path) for path in sys.argv[1:]}))
