"""The levels of the neck: names, ids, colours and the label schemes of other projects."""

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

_RSNA = {**{i: i for i in range(1, 8)}, **dict.fromkeys(range(8, 20), THORACIC)}
SCHEMES: dict[str, dict[int, int]] = {
    # The competition's own: 1..7 = C1..C7, 8..19 = T1..T12.
    "rsna": _RSNA,
    # This project's masks: as above, the thoracic vertebrae merged.
    "merged": {i: i for i in range(1, 9)},
    # VerSe: C1..C7 = 1..7, T1..T12 = 8..19, L1..L6 = 20..25, T13 = 28; lumbar is not of the neck.
    "verse": {**_RSNA, 28: THORACIC, **dict.fromkeys(range(20, 28), BACKGROUND)},
    # TotalSegmentator v2 "total": C1 = 50 down to C7 = 44, T1 = 43 down to T12 = 32; all else is background.
    "totalsegmentator": {
        **dict.fromkeys(range(1, 118), BACKGROUND),
        **{51 - i: i for i in range(1, 8)},
        **dict.fromkeys(range(32, 44), THORACIC),
    },
}
"""Mask value of a scheme -> mask value of this project. Values that a scheme doesn't name are unexpected."""
