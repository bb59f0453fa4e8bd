"""The codes of a label map of tissues, and the names that tables use for them."""

import difflib

from common.errors import ConfigError

OUTSIDE = 0
CORTEX = 30
"""Added to a vertebra's code (1..7 = C1..C7, 8 = T1, ...) for its cortical shell."""
MUSCLE, FAT, SKIN, AIR, DISC, CANAL = 60, 61, 62, 63, 64, 65
SKULL_CORTEX, SKULL_SPONGY, BRAIN, JAW_CORTEX, JAW_SPONGY, TEETH = 66, 67, 68, 69, 70, 71
RIB_CORTEX, RIB_SPONGY, BONE_CORTEX, BONE_SPONGY = 72, 73, 74, 75
CARTILAGE, VESSEL, GLAND, LUNG, SOFT = 76, 77, 78, 79, 80

VERTEBRA, SKIN_HULL = "vertebra", "skin"
BONES = {
    "skull": (SKULL_CORTEX, SKULL_SPONGY),
    "mandible": (JAW_CORTEX, JAW_SPONGY),
    "rib": (RIB_CORTEX, RIB_SPONGY),
    "bone": (BONE_CORTEX, BONE_SPONGY),
    "hyoid": (BONE_CORTEX, BONE_SPONGY),
}
"""Name in a table -> codes of the shell and of the spongy inside. The hyoid isn't fixed to the chest as a "bone" is."""
FILLED = {
    "lung": LUNG,
    "muscle": MUSCLE,
    "soft": SOFT,
    "gland": GLAND,
    "vessel": VESSEL,
    "brain": BRAIN,
    "canal": CANAL,
    "air": AIR,
    "cartilage": CARTILAGE,
    "disc": DISC,
    "tooth": TEETH,
}
"""Name in a table -> the one code of what is filled with it, in the order of painting."""
NAMES = (VERTEBRA, SKIN_HULL, *BONES, *FILLED)

LEVEL_NAMES = (*(f"C{k}" for k in range(1, 8)), *(f"T{k}" for k in range(1, 13)))
LEVEL_CODES = {level: code for code, level in enumerate(LEVEL_NAMES, start=1)}
"""C1 -> 1 ... T12 -> 19: the code of a vertebra's spongy bone."""


def check_name(name: str, where: str) -> str:
    """The name of a tissue, as it is; raises ConfigError with the nearest known one when there is none such."""
    if name in NAMES:
        return name
    near = difflib.get_close_matches(name, NAMES, 1, 0)[0]
    raise ConfigError(f"{where}: unknown tissue {name!r}; did you mean {near!r}? Known: {', '.join(NAMES)}")
