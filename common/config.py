"""Configuration: validated YAML with dotted overrides; an unknown key is an error that names the nearest known one."""

import difflib
import math
import reprlib
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from common.errors import ConfigError
from common.outputs.fingerprints import digest_value

PARTS = ("data", "segment", "classify")
"""The parts a configuration file may have: where the data is, and one part for each stage."""


LARGEST = 100_000
"""Bytes of a configuration file, or of an override's value; the ones that come with the project have a few thousand."""


class Settings(BaseModel):
    """Base of every settings class: frozen, complete, no unknown key, no infinite number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    RENAMED: ClassVar[dict[str, str]] = {}
    """Keys of versions before -> today's; an old one is refused with the new name."""


class DataSettings(Settings):
    """Where a cohort lies, where its results go, and how it is split."""

    root: Path = Path("data/phantom")
    run: Path = Path("runs/phantom")
    folds: int = 5
    fold_seed: int = 0
    workers: int = 2
    """Processes that read, cut and write studies."""


NO_PATH = ("", "~", "null")
"""What YAML reads as nothing."""

S = TypeVar("S", bound=Settings)
COME_ALONG = Path(__file__).parent / "configs"
"""Configurations that come with the project, installed or not; in a checkout a link to configs/."""


def load(path: Path | None, part: str, model: type[S], overrides: list[str]) -> tuple[DataSettings, S]:
    """The `data` part and the part named `part` of a configuration file, or of one that comes along, by its name.

    `overrides` are `key.sub=value`, the value in YAML, but a path stands as it is; they reach into `part`, or into the
    data part when they begin with `data.`. Raises ConfigError naming file, key and the nearest known key.
    """
    path = found(path) if path else None
    content = _read(path) if path else {}
    origin = str(path) if path else "the defaults"
    for key in content:
        if key not in PARTS:
            raise ConfigError(f"{origin}: unknown key `{_short(key)}`{_nearest(key, PARTS)}")
    content = {name: dict(content.get(name) or {}) for name in ("data", part)}
    for override in overrides:
        dotted, separator, value = override.partition("=")
        if not separator or not dotted:
            raise ConfigError(f"override `{_short(override)}`: expected key.sub=value, such as train.lr=1e-3")
        keys = dotted.split(".")
        if keys[0] not in ("data", part):
            keys.insert(0, part)
        as_it_is = _is_path(DataSettings if keys[0] == "data" else model, keys[1:]) and value not in NO_PATH
        _set(content, keys, value if as_it_is else _value(override, value), override)
    return (
        parse(content["data"], DataSettings, origin, "data"),
        parse(content[part], model, origin, part),
    )


def digest(work: str, data: DataSettings, settings: Settings, *more: Any) -> str:
    """Of a command and all that its results depend on in settings: for `only_one` in a run that several share."""
    of_all = [data.model_dump(mode="json", exclude={"workers"}), settings.model_dump(mode="json"), *map(str, more)]
    return f"{work} {digest_value(of_all)}"


def found(path: Path) -> Path:
    """The file, or of a bare name (`phantom`) that is no file here the configuration of that name that comes along."""
    known = COME_ALONG / f"{path.name}.yaml"
    return known if path.name == str(path) and not path.is_file() and known.is_file() else path


def parse(content: dict[str, Any], model: type[S], origin: str, prefix: str = "") -> S:
    """A settings object from plain values; `origin` and `prefix` are named in the error."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(item, model, prefix) for item in error.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(lines)) from None


def parse_saved(content: Any, model: type[S], origin: str, prefix: str = "") -> S:
    """`parse` for settings that the project wrote itself, such as those in a weights file: keys that had another name
    in a version before are taken under today's."""
    return parse(_todays(content, model), model, origin, prefix)


def _todays(content: Any, model: type[BaseModel]) -> Any:
    if not isinstance(content, dict) or not issubclass(model, Settings):
        return content
    named = {model.RENAMED.get(key, key): value for key, value in content.items()}
    return {key: _todays(value, _submodel(model, key)) if key in model.model_fields else value
            for key, value in named.items()}  # fmt: skip


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of plain keys and values; {} for an empty one. Raises ConfigError."""
    try:
        with Path(path).open("rb") as stream:
            text = stream.read(LARGEST + 1).decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such configuration file; those that come with the project are named by --config "
            + ", ".join(sorted(known.stem for known in COME_ALONG.glob("*.yaml")))
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: can't be read as YAML: {error}") from None
    content = _plain_yaml(text, str(path))
    if not isinstance(content, dict | None):
        raise ConfigError(f"{path}: expected keys with values")
    return content or {}


def _read(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not all(isinstance(v, dict | None) for v in content.values()):
        raise ConfigError(f"{path}: expected the parts {', '.join(PARTS)}, each with keys and values")
    return content


class _NoAliases(yaml.SafeLoader):
    """Plain values only; an alias would let a few lines stand for billions."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (`*name`) aren't allowed here; write the value out")
        return super().compose_node(parent, index)


def _plain_yaml(text: str, origin: str) -> Any:
    if len(text) > LARGEST:
        raise ConfigError(f"{origin}: more than {LARGEST} characters; expected a configuration")
    try:
        return yaml.load(text, _NoAliases)  # a SafeLoader
    except Exception as error:  # values that look like dates, numbers or tags fail in PyYAML in many ways
        raise ConfigError(f"{origin}: can't be read as YAML: {error or type(error).__name__}") from None


def _value(override: str, text: str) -> Any:
    value = _plain_yaml(text, f"override `{_short(override)}`")
    if isinstance(value, str):
        try:
            number = float(value)  # YAML 1.1 takes 1e-3 for text
        except ValueError:
            return value
        return number if math.isfinite(number) else value
    return value


def _is_path(model: type[BaseModel], keys: list[str]) -> bool:
    for key in keys[:-1]:
        model = _submodel(model, key)
    field = model.model_fields.get(keys[-1]) if keys else None
    return field is not None and Path in (field.annotation, *get_args(field.annotation))


def _set(content: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        existing = content.get(key)
        if existing is not None and not isinstance(existing, dict):
            raise ConfigError(f"override `{_short(override)}`: `{_short(key)}` holds a value, not keys")
        content[key] = dict(existing or {})
        content = content[key]
    content[keys[-1]] = value


def _explain(item: ErrorDetails, model: type[BaseModel], prefix: str) -> str:
    location = [str(part) for part in item["loc"]]
    dotted = ".".join([prefix, *location] if prefix else location)
    if item["type"] == "extra_forbidden":
        for part in location[:-1]:
            model = _submodel(model, part)
        renamed = model.RENAMED.get(location[-1]) if issubclass(model, Settings) else None
        if renamed is not None:
            return f"`{_short(dotted)}` is called `{renamed}` now"
        return f"unknown key `{_short(dotted)}`{_nearest(location[-1], model.model_fields)}"
    return f"`{_short(dotted)}` is {reprlib.repr(item.get('input'))}: {item['msg']}"


def _submodel(model: type[BaseModel], name: str) -> type[BaseModel]:
    annotation = model.model_fields[name].annotation if name in model.model_fields else None
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return model


def _nearest(key: Any, known: Any) -> str:
    matches = difflib.get_close_matches(_short(key), list(known), n=1, cutoff=0.4)
    return f", did you mean `{matches[0]}`?" if matches else f"; known are {', '.join(known)}"


def _short(text: Any) -> str:
    text = str(text)
    return text if len(text) <= 100 else text[:100] + "..."
