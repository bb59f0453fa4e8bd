"""Settings of stage 1."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from common.config import Settings
from common.device import Precision
from common.training.task import InitTrainSettings

KIND = "segmentation"
"""Of the weights files of this stage."""


class NetworkSettings(Settings):
    """The U-Net's shape."""

    RENAMED: ClassVar = {"widths": "channels", "decoder": "decoder_channels"}

    channels: tuple[int, ...] = (16, 32, 64, 96)
    """Channels of the encoder at 1/2, 1/4, 1/8 ... of the resolution."""
    decoder_channels: tuple[int, ...] = (48, 32, 16, 8)
    """Channels of the decoder from the deepest level up to the full resolution; as many as `channels`."""
    blocks: int = Field(1, ge=1)
    """Residual blocks per level of the encoder."""

    @property
    def stride(self) -> int:
        """A patch's side must be a multiple of this."""
        return 2 ** len(self.channels)


Side = Annotated[int, Field(ge=8)]
Window = Side | tuple[Side, Side, Side]


class PatchSettings(Settings):
    """What the network is shown."""

    coarse_mm: float = Field(4.0, gt=0)
    """Voxel of the first pass, which looks at the whole scan."""
    fine_mm: float = Field(1.5, gt=0)
    """Voxel of the second pass, which looks at the spine."""
    size: Window = 48
    """Voxels along each side of a patch, in both passes: one number, or three for x, y and z."""
    coarse_size: Window | None = None
    fine_size: Window | None = None
    """The same for one of the passes; None: `size`."""
    low_hu: float = -200.0
    high_hu: float = 1000.0
    """HU outside of this window are clipped; it is scaled to 0..1."""
    coarse_share: float = Field(0.5, ge=0, le=1)
    """Part of the training samples that are made for the first pass."""

    def window(self, coarse: bool) -> tuple[int, int, int]:
        """Voxels (x, y, z) of a patch of the first or the second pass."""
        own = self.coarse_size if coarse else self.fine_size
        size = self.size if own is None else own
        return (size, size, size) if isinstance(size, int) else size


class AugmentSettings(Settings):
    """How far training samples stray from the scans. 0 switches a kind off."""

    RENAMED: ClassVar = {"hint": "previous_pass"}

    rotate_deg: float = Field(15.0, ge=0)
    """Largest rotation about each axis."""
    scale: float = Field(0.15, ge=0, lt=1)
    """Largest change of size."""
    elastic: float = Field(0.2, ge=0, le=1)
    """Part of the samples that are bent in the axial plane."""
    flip: bool = True
    """Left and right exchanged in half of the samples."""
    intensity: float = Field(1.0, ge=0)
    """Strength of noise, brightness, contrast, gamma; 1 = as tuned."""
    blur: float = Field(0.2, ge=0, le=1)
    """Part of the samples that are blurred."""
    dropout: float = Field(0.15, ge=0, le=1)
    """Part of the samples in which boxes are blanked out."""
    previous_pass: float = Field(1.0, ge=0)
    """Strength of the faults put into the simulated prediction of the first pass; 1 = as tuned."""

    @classmethod
    def off(cls) -> "AugmentSettings":
        """Samples as they are."""
        return cls(rotate_deg=0, scale=0, elastic=0, flip=False, intensity=0, blur=0, dropout=0, previous_pass=0)


class LossSettings(Settings):
    """What a network is trained on."""

    dice: float = Field(1.0, ge=0)
    """Weight of the levels' Dice loss beside the cross-entropy."""


class PostprocessSettings(Settings):
    """What anatomy allows."""

    RENAMED: ClassVar = {
        "speck_mm3": "min_component_mm3", "fragment_mm": "max_fragment_distance_mm", "level_mm3": "min_level_mm3",
        "largest_mm3": "max_level_mm3", "spread_hu": "min_level_sd_hu",
    }  # fmt: skip

    min_component_mm3: float = Field(20.0, ge=0)
    """A piece smaller than this that touches no vertebra goes."""
    max_fragment_distance_mm: float = Field(4.0, ge=0)
    """A piece this close to its vertebra stays with it, such as a displaced fragment."""
    min_level_mm3: float = Field(400.0, ge=0)
    """A level with less bone than this is not in view."""
    max_level_mm3: float = Field(40e3, gt=0)
    """No vertebra of a neck has more bone; where one seems to, there is no neck."""
    min_level_sd_hu: float = Field(60.0, ge=0)
    """Where the HU of a level have a smaller standard deviation there is no neck: cortex, marrow and partial volumes
    differ."""


Orientation = Literal["refuse", "repair"]


class PredictSettings(Settings):
    """How a study is segmented; may change without training again."""

    RENAMED: ClassVar = {"flip": "test_time_augmentation", "clean": "postprocess"}

    margin_mm: float = Field(12.0, ge=0)
    """Around what the first pass found, shown to the second, whose windows cover half of it."""
    overlap: float = Field(0.25, ge=0, lt=1)
    """Of neighbouring windows in both passes."""
    test_time_augmentation: bool = False
    """Mean over each window and its mirror image (left-right)."""
    border: float = Field(4.0, ge=0)
    """How far the scan's own HU move the border of bone, in logits; 0: not. Only where the scan is finer than
    `patch.fine_mm`."""
    precision: Precision = "32-true"
    """32-true: the same prediction on every machine but for rounding; bf16-mixed or 16-mixed: faster where the device
    is fast at it, other predictions at some voxels; auto: whichever of these the machine is fast at."""
    orientation: Orientation = "refuse"
    """What becomes of a study whose header turns the patient upside down or front to back."""
    certain: float = Field(0.0, ge=0, le=1)
    """A level that is named rightly with a smaller probability loses its name; 0: all keep theirs."""
    postprocess: PostprocessSettings = PostprocessSettings()


class SyntheticSettings(Settings):
    """Synthetic scans, made of an anatomy bank's label maps (`python -m common.phantom.bank`)."""

    RENAMED: ClassVar = {
        "size": "scale", "uneven": "anisotropy", "bend_mm": "elastic_mm", "view_mm": "field_of_view_mm",
        "cut_neck": "cropped_neck",
    }  # fmt: skip

    folder: Path = Path("data/bank")
    held_out: float = Field(0.1, ge=0, lt=1)
    """Part of the bank's subjects that training never sees: the last ones by name."""
    rotate_deg: tuple[float, float, float] = (18.0, 12.0, 18.0)
    """Largest rotation about the right, anterior and superior axis."""
    scale: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest size of a body, the subject's own being 1."""
    anisotropy: float = Field(0.04, ge=0)
    """Standard deviation of the size of one axis against the others."""
    shear: float = Field(0.04, ge=0)
    """Standard deviation of the shear between two axes."""
    elastic_mm: float = Field(1.5, ge=0)
    """Standard deviation of the elastic deformation, whose knots are 45 mm apart."""
    texture: float = Field(1.0, ge=0)
    """Unevenness within tissues; 1 = as tuned, 0: each vertebra's marrow is of one density."""
    field_of_view_mm: tuple[float, float] = (130.0, 550.0)
    """Smallest and largest diameter of the scan's field of view."""
    cropped_neck: float = Field(0.1, ge=0, le=1)
    """Part of the necks of which a scan of the chest shows the lower end alone."""
    worn: float = Field(0, ge=0, le=1)
    """Part of the necks whose discs are severely narrowed or, half of these, lacking as in block vertebrae."""
    no_neck: float = Field(0.12, ge=0, le=1)
    """Part of the samples without any cervical vertebra: a chest, a head, noise, nothing."""


class SegmentSettings(Settings):
    """Everything about stage 1."""

    RENAMED: ClassVar = {"bank": "synthetic"}

    source: Literal["cohort", "synthetic"] = "cohort"
    """What to learn from: the cohort's own segmentations, or synthetic scans made of label maps."""

    train_folds: tuple[int, ...] = (0,)
    """Folds to train a network for; each is left out of its own network's training."""
    network: NetworkSettings = NetworkSettings()
    patch: PatchSettings = PatchSettings()
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    train: InitTrainSettings = InitTrainSettings()
    synthetic: SyntheticSettings = SyntheticSettings()
    predict: PredictSettings = PredictSettings()
    previews: bool = True
    """Whether a cohort's studies get a picture each."""
