"""Errors that a person can act on; each says which file, what was found, what was expected, what to do."""


class ProjectError(Exception):
    """Base of every error this project raises on purpose; the commands print it without a traceback."""

    exit_code = 1


class ConfigError(ProjectError):
    """The configuration can't be used: unknown key, wrong type, impossible value."""

    exit_code = 2


class StudyError(ProjectError):
    """One study can't be read or used. A cohort goes on without it and counts it."""

    exit_code = 3


class NothingFound(StudyError):
    """No CT where one was expected."""

    exit_code = 4


class CorruptFile(StudyError):
    """A file is damaged or truncated."""

    exit_code = 5


class IncompleteSeries(StudyError):
    """Slices are missing, doubled or uneven."""

    exit_code = 6


class UnsupportedStudy(StudyError):
    """A valid file of a kind this project doesn't read (wrong modality, colour, 4D, no pixels)."""

    exit_code = 7


class GridMismatch(StudyError):
    """A mask and a scan don't lie in the same place."""

    exit_code = 8


class DatasetError(ProjectError):
    """The competition folder or one of its tables is not as expected."""

    exit_code = 9


class WeightsError(ProjectError):
    """A weights file is missing, damaged, or of another kind than asked for."""

    exit_code = 10


class SubmissionError(ProjectError):
    """A submission would be incomplete or invalid."""

    exit_code = 11


class OutputError(ProjectError):
    """Results can't be written: the disk is full, read-only or out of reach, or a file of somebody else's is there."""

    exit_code = 12


class RunBusy(ProjectError):
    """Another process is at work on the same folder."""

    exit_code = 13


class StudyBusy(RunBusy):
    """Another process makes just this output of a study; a cohort comes back to it."""


class NoCervicalLevel(StudyError):
    """A study was read and segmented, and no cervical vertebra was found in it; the empty mask is written."""

    exit_code = 14


class WrongOrientation(StudyError):
    """What is seen in a study contradicts its header: upside down, front to back, or both."""

    exit_code = 15


class ClusterError(ProjectError):
    """The cluster can't be reached, has gone, or its workers don't see the run."""

    exit_code = 16


PARTLY_FAILED = 20
"""Exit code of a cohort run in which some studies failed and the rest succeeded."""
