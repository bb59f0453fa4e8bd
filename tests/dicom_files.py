"""DICOM series for tests of the reader."""

from common.reading.specimens import AXIAL, compress, random_hu, with_stream, write_enhanced, write_series, write_slice

__all__ = ["AXIAL", "compress", "random_hu", "with_stream", "write_enhanced", "write_series", "write_slice"]
