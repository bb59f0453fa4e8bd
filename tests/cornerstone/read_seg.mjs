// node read_seg.mjs SEG.dcm SOURCE.dcm...: segments as cornerstone's adapters (OHIF's) read them, as JSON on stdout:
// label -> [[x, y, z], ...], LPS mm of its pixels on the source images that the SEG refers to.
import { readFileSync } from "node:fs";
import dcmjs from "dcmjs";
import { cache, imageLoader, metaData } from "@cornerstonejs/core";
import { adaptersSEG } from "@cornerstonejs/adapters";

const [segPath, ...sourcePaths] = process.argv.slice(2);

function contentOf(path) {
  const bytes = readFileSync(path);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return [buffer, dcmjs.data.DicomMetaDictionary.naturalizeDataset(dcmjs.data.DicomMessage.readFile(buffer).dict)];
}

const only = (sequence) => (Array.isArray(sequence) ? sequence[0] : sequence);

// Each image of the source by its id, such as those of OHIF; a multi-frame file has one for each frame.
const images = new Map();
for (const [n, path] of sourcePaths.entries()) {
  const [, header] = contentOf(path);
  const shared = only(header.SharedFunctionalGroupsSequence);
  const frames = header.PerFrameFunctionalGroupsSequence ?? [null];
  frames.forEach((frame, k) => {
    const place = (sequence, name) => (frame ? only(frame[sequence] ?? shared[sequence])[name] : header[name]).map(Number);
    const orientation = place("PlaneOrientationSequence", "ImageOrientationPatient");
    const [rowSpacing, columnSpacing] = place("PixelMeasuresSequence", "PixelSpacing");
    images.set(`wadors:/instances/${n}/frames/${k + 1}`, {
      instance: header,
      generalImageModule: { sopInstanceUID: header.SOPInstanceUID },
      generalSeriesModule: { seriesInstanceUID: header.SeriesInstanceUID, modality: "CT" },
      imagePlaneModule: {
        imagePositionPatient: place("PlanePositionSequence", "ImagePositionPatient"),
        imageOrientationPatient: orientation,
        rowCosines: orientation.slice(0, 3),
        columnCosines: orientation.slice(3),
        rowPixelSpacing: rowSpacing,
        columnPixelSpacing: columnSpacing,
        rows: header.Rows,
        columns: header.Columns,
        frameOfReferenceUID: header.FrameOfReferenceUID,
      },
    });
  });
}

const added = new Map();
const provider = {
  get: (type, id) => images.get(id)?.[type] ?? added.get(`${type} ${id}`),
  addCustomMetadata: (id, type, value) => added.set(`${type} ${id}`, value),
};
metaData.addProvider((type, id) => provider.get(type, id));
cache.setMaxCacheSize(2 ** 31);

const [buffer, seg] = contentOf(segPath);
const labels = new Map([seg.SegmentSequence].flat().map((item) => [Number(item.SegmentNumber), item.SegmentLabel]));
// As OHIF sorts a stack: along the slices' normal, the furthest first.
const along = (id) => {
  const { rowCosines: r, columnCosines: c, imagePositionPatient: p } = images.get(id).imagePlaneModule;
  return p[0] * (r[1] * c[2] - r[2] * c[1]) + p[1] * (r[2] * c[0] - r[0] * c[2]) + p[2] * (r[0] * c[1] - r[1] * c[0]);
};
const ids = [...images.keys()].sort((a, b) => along(b) - along(a));
const read = await adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer(ids, buffer, {
  metadataProvider: provider,
});

const found = {};
for (const layer of read.labelMapImages) {
  for (const image of layer) {
    const plane = images.get(image.referencedImageId).imagePlaneModule;
    const values = image.voxelManager.getScalarData();
    values.forEach((value, k) => {
      if (value === 0) return;
      const [column, row] = [k % plane.columns, Math.floor(k / plane.columns)];
      (found[labels.get(value)] ??= []).push(
        plane.imagePositionPatient.map(
          (start, axis) =>
            start +
            column * plane.columnPixelSpacing * plane.rowCosines[axis] +
            row * plane.rowPixelSpacing * plane.columnCosines[axis],
        ),
      );
    });
  }
}
process.stdout.write(JSON.stringify(found), () => process.exit(0));
