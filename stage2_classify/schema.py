"""Stage 2's kinds of outputs; see `common.outputs.schema` for when to raise a number."""

from common.outputs.schema import Schema

CROPS = Schema("crops", 4)
GROUNDS = Schema("rescanned vertebrae", 5)
WEIGHTS = Schema("weights of stage 2", 4)
"""Network, samples, augmentation, loss, of the encoder and of the whole: all that a training of the same settings
depends on in code."""
PREDICTIONS = Schema("predictions of stage 2", 4)
"""Out-of-fold predictions, the decision fitted on them, and the predictions for new studies."""
EVIDENCE = Schema("evidence map", 2)
CALIBRATION = Schema("calibration", 2)
"""A fitted calibration, and predictions that it makes of anyone's."""
LOCAL_CALIBRATION = Schema("local calibration", 1)
"""A map of calibrated probabilities, fitted on a hospital's own studies, and the report about it."""
SUBMISSION = Schema("submission", 1)
REPORT = Schema("report", 2)
