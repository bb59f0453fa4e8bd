"""Stage 1's kinds of outputs; see `common.outputs.schema` for when to raise a number."""

from common.outputs.schema import Schema

SAMPLE = Schema("training sample of stage 1", 2)
WEIGHTS = Schema("weights of stage 1", 3)
"""Network, samples, augmentation, loss: all that a training of the same settings depends on in code."""
MASK = Schema("mask of stage 1", 14)
"""Mask, levels and preview: prediction, cleaning up, description."""
EVALUATION = Schema("evaluation of stage 1", 1)
LEVEL_EXAMPLE = Schema("what is seen in a hard neck", 9)
"""Drawn necks, their scans, prediction, the line through the bodies, borders drawn again."""
