"""A fitted posterior in a JSON file."""

from pathlib import Path

from common import __version__
from common.errors import WeightsError
from common.outputs import store
from stage2_classify.calibration.posterior import Posterior

KEY = "posterior"


def save_posterior(path: Path, posterior: Posterior) -> None:
    """Writes the posterior atomically."""
    store.write_json(path, {KEY: posterior.to_json(), "version": __version__})


def load_posterior(path: Path, key: str = KEY) -> Posterior | None:
    """What lies under `key` in a JSON file; None where that is null. WeightsError when it can't be used."""
    try:
        content = store.read_json(path)[key]
        return None if content is None else Posterior.from_json(content)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; make it with `calibrate --save {path}`") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path}: not a fitted posterior of this version ({type(error).__name__}: {error}); "
            "expected what `calibrate --save` or training wrote, make it again"
        ) from None
