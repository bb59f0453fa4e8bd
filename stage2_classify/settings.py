"""Everything stage 2 can be told, with its defaults; the `classify` part of a configuration file."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from common.config import Settings
from common.device import Precision
from common.training.task import InitTrainSettings, TrainSettings

KIND = "classification"
"""Of the weights files of this stage."""


class MaskSettings(Settings):
    """Where the masks are."""

    folder: Path | None = None
    """None: those that stage 1 left in the run's folder."""
    scheme: str = "merged"
    """What the values of the masks in `folder` mean: a key of `label_schemes.SCHEMES`."""


class CropSettings(Settings):
    """How a vertebra is cut out. Sizes along right, anterior, superior."""

    size_mm: tuple[float, float, float] = (80.0, 68.0, 40.0)
    spacing_mm: float = Field(1.0, gt=0.1, lt=10)
    oriented: bool = True
    """Along the vertebra's own axes rather than the world's."""
    window_hu: tuple[float, float] = (-200.0, 1300.0)
    """These HU become 0 and 255."""
    min_volume_mm3: float = 1500.0
    """A level with less bone than this in its mask counts as not in view (a whole C3 has about 7000)."""
    study_shape: tuple[int, int, int] = (128, 128, 16)
    """Cells that the whole study is shrunk to, for network.kind naive."""


class GroundSettings(Settings):
    """Healthy scans whose bone synthetic fractures are drawn into, for the training of encoders."""

    folder: Path | None = None
    """FOLDER/scans holds the scans, FOLDER/masks their masks; None: there are none."""
    scheme: str = "merged"
    """What the values of these masks mean: a key of `label_schemes.SCHEMES`."""
    negatives: int = Field(0, ge=0)
    """So many of the cohort's own studies without a fracture serve as well, for a fold of those that it learns from."""
    variants: int = Field(100, ge=1)
    """How often each scan is rescanned, every time turned, stretched and broken in another way."""
    synthetic: Path | None = None
    """A folder like `folder` of healthy synthetic necks (common.phantom.bank.healthy_scans), to stand beside the
    others; None: there are none."""
    synthetic_variants: int = Field(20, ge=1)
    """How often each of these is rescanned."""
    share: float = Field(0.7, ge=0, le=1)
    """Part of the encoder's patches that come from these; the others from the cohort."""
    compression: float = Field(0.1, ge=0, le=1)
    """Part of the broken vertebrae from C3 to C7 whose body lost height, or burst."""
    swelling: float = Field(0.3, ge=0, le=1)
    """Part of the broken vertebrae with blood in the soft tissue beside them; a third as much of the healthy ones."""
    seed: int = 0


INPUTS_OF = {"vertebra3d": ("all", "ct", "mask", "no_bone"), "slices25d": ("all", "ct"), "naive": ("all",)}
"""What each kind of network can be shown."""


class NetworkSettings(Settings):
    """Which network reads the crops, and how large it is."""

    RENAMED: ClassVar = {"sees": "inputs"}

    kind: Literal["vertebra3d", "slices25d", "naive"] = "vertebra3d"
    encoder: str = "own"
    """What makes the feature maps: own; for vertebra3d an encoder of segmentation-models-pytorch-3d by its name (tu-
    and a name for timm-3d's), for slices25d a model of timm by its name."""
    channels: tuple[int, ...] = (16, 32, 64)
    """Of the encoder, one number for each halving of the resolution; of a library's encoder only how many counts."""
    fine_blocks: int = 0
    """Residual blocks at half resolution, for vertebra3d."""
    norm: Literal["instance", "batch"] = "instance"
    """For vertebra3d. `instance`: by each picture's own mean and variance, so that a place looks different in a patch
    and in a whole vertebra; `batch`: by those of all that was learned from, so that it looks alike."""
    top_places: int = Field(0, ge=0)
    """A prediction's evidence is the mean of this many of a vertebra's largest voxel logits; 0: the log
    of the mean of all, as in training."""
    embedding: int = 48
    """Numbers that the sequence head sees of each vertebra."""
    head: Literal["recurrent", "alone"] = "recurrent"
    """`recurrent` corrects each level by its neighbours; `alone` predicts each from its own evidence."""
    hidden: int = 32
    """Of the recurrent network over the levels, in each direction."""
    dropout: float = Field(0.1, ge=0, lt=1)
    slices: int = 15
    """Slices taken of a vertebra, for slices25d."""
    neighbours: int = 2
    """Slices seen beside each of those on either side, for slices25d."""
    inputs: Literal["all", "ct", "mask", "no_bone"] = "all"
    """`ct` hides the mask's channel (it still says where to pool). For checks, with vertebra3d alone, `mask` hides CT
    and `no_bone` the bone and all within the mask: what a network finds then, it didn't find in the bone."""

    @model_validator(mode="after")
    def _inputs_fit_the_kind(self) -> Self:
        if self.inputs not in INPUTS_OF[self.kind]:
            allowed = " or ".join(INPUTS_OF[self.kind])
            raise ValueError(f"inputs={self.inputs} is not for kind={self.kind}, which needs network.inputs={allowed}")
        return self


class LossSettings(Settings):
    """The competition's loss, and what is added to it."""

    RENAMED: ClassVar = {"dense": "voxel_weight", "smoothing": "label_smoothing"}

    voxel_weight: float = 1.0
    """Weight of the loss on the voxel logits: healthy vertebrae everywhere, fractured ones by their boxes."""
    inside_mm: float = 3.0
    """Cells this near to a box count as fractured ..."""
    outside_mm: float = 10.0
    """... and those this far from every box as healthy."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """How far labels are moved from 0 and 1 towards a half (Szegedy et al. 2016); not those of places."""


class AugmentSettings(Settings):
    """How a training sample is varied."""

    RENAMED: ClassVar = {"drawn": "synthetic_fractures", "missing": "missed_level", "shifted": "shifted_levels"}

    flip: float = 0.5
    """Chance of a mirror image (left-right)."""
    warp: float = 0.25
    """Chance of a rotation, scale and shift."""
    rotation_deg: float = 12.0
    scale: float = 0.1
    shift_mm: float = 5.0
    intensity: float = 0.15
    """Largest change of contrast and brightness, as a part of the window."""
    noise: float = 0.04
    """Largest standard deviation of noise, as a part of the window."""
    blur: float = 0.15
    """Chance of a slight blur."""
    sharpen: float = 0.0
    """Chance of raised edges and noise, as by a sharper kernel."""
    bend: float = Field(0.2, ge=0, le=1)
    """Chance that a vertebra is bent in the plane of its slices; for slices25d alone."""
    synthetic_fractures: float = Field(0.4, ge=0, le=1)
    """Part of the encoder's fractured samples that are healthy vertebrae with a synthetic fracture."""
    mask_dropout: float = 0.1
    """Chance that a vertebra's mask channel is left out."""
    missed_level: float = Field(0.0, ge=0, le=1)
    """Chance that one of a study's vertebrae is not in view, as if stage 1 had missed it."""
    shifted_levels: float = Field(0.0, ge=0, le=1)
    """Chance that a study's vertebrae stand one level too high or too low, as if stage 1 had miscounted."""

    def off(self) -> "AugmentSettings":
        """Samples as they are; synthetic fractures as often as before."""
        return AugmentSettings(
            flip=0, warp=0, intensity=0, noise=0, blur=0, bend=0, mask_dropout=0,
            synthetic_fractures=self.synthetic_fractures,
        )  # fmt: skip


class DecisionSettings(Settings):
    """From logits to probabilities."""

    RENAMED: ClassVar = {"flip": "test_time_augmentation", "strengths": "regularisation_strengths"}

    test_time_augmentation: bool = True
    """Mean over the crop and its mirror image, half a place of the network's map aside."""
    precision: Precision = "32-true"
    """Of the networks' predictions. 32-true: the same on every machine but for rounding; bf16-mixed or 16-mixed: faster
    where the device is fast at it; auto: whichever of these the machine is fast at."""
    unjudged: tuple[str, ...] = ()
    """A level with one of these flags (cut off, thick voxels, metal) isn't judged by its picture: it is predicted from
    the prior and the other levels."""
    recalibrate: bool = True
    """Calibrate the predictions for the score, fitted on the out-of-fold predictions; false: sigmoids."""
    regularisation_strengths: tuple[float, ...] = Field((2.0, 20.0, 200.0), min_length=1)
    """Of the calibration; cross-validation weighs the fits that these give."""


class EncoderTrainSettings(InitTrainSettings):
    """How the encoder is trained by itself."""

    steps: int = Field(900, ge=0)
    """0: the training of the whole network begins with the weights that this one would begin with."""


class ClassifySettings(Settings):
    """The `classify` part."""

    RENAMED: ClassVar = {"shuffled": "shuffle_labels"}

    folds: tuple[int, ...] | None = None
    """Folds to train; None: all."""
    masks: MaskSettings = MaskSettings()
    crops: CropSettings = CropSettings()
    grounds: GroundSettings = GroundSettings()
    network: NetworkSettings = NetworkSettings()
    loss: LossSettings = LossSettings()
    augment: AugmentSettings = AugmentSettings()
    encoder: EncoderTrainSettings = EncoderTrainSettings(steps=900, batch=12, lr=3e-3)
    """Training of the encoder alone, on patches of vertebrae; not for naive."""
    encoder_patch: int = Field(32, ge=8, multiple_of=4)
    """Edge of those patches in cells."""
    train: TrainSettings = TrainSettings(steps=120, batch=2, lr=5e-4, warmup=20)
    """Training of the whole network after that, on studies."""
    shuffle_labels: bool = False
    """For checks: labels and boxes of the training studies are exchanged among them at random, so that there is nothing
    to learn."""
    decision: DecisionSettings = DecisionSettings()

    @property
    def bend(self) -> float:
        """`augment.bend` where the network looks at slices, else 0."""
        return self.augment.bend if self.network.kind == "slices25d" else 0.0
