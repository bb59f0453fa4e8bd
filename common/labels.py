"""The levels of the neck: names, ids and colours (other projects' numbers: label_schemes)."""

LEVELS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7")
OVERALL = "patient_overall"
TARGETS = (*LEVELS, OVERALL)
"""Order of the eight logits, probabilities and label columns everywhere in this project."""

BACKGROUND = 0
THORACIC = 8
LEVEL_IDS = {level: number for number, level in enumerate(LEVELS, start=1)}
CLASS_NAMES = ("background", *LEVELS, "thoracic")
"""Classes of the segmentation network, by mask value: 0, 1..7 = C1..C7, 8 = every thoracic vertebra."""

COLOURS = {
    1: (0.90, 0.29, 0.23),
    2: (0.95, 0.61, 0.07),
    3: (0.97, 0.86, 0.20),
    4: (0.30, 0.75, 0.34),
    5: (0.16, 0.71, 0.80),
    6: (0.25, 0.46, 0.95),
    7: (0.62, 0.35, 0.86),
    8: (0.60, 0.60, 0.60),
}
"""RGB in 0..1 by mask value."""
