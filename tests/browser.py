"""A headless Chromium that clicks and types as a person does, driven through chromedriver (W3C WebDriver)."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
    "--hide-scrollbars",
)


class Browser:
    """A window of `width` x `height` pixels. `with Browser(1440, 900, profile) as browser: browser.open(path)`."""

    def __init__(self, width: int, height: int, profile: Path, *more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen([DRIVER, f"--port={self.port}"], stdout=subprocess.DEVNULL)
        options = {
            "binary": CHROMIUM,
            "args": [*FLAGS, *more, f"--user-data-dir={profile}", f"--window-size={width},{height}"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = ""
        self.wait(self._is_ready)
        self.session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._post("goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._ask("DELETE", f"/session/{self.session}")
        self.process.terminate()
        self.process.wait()

    def open(self, path: Path) -> None:
        self._post("url", {"url": path.as_uri()})

    def click(self, selector: str) -> None:
        """Where it is seen; fails when something covers it, or nothing is there."""
        self._post(f"element/{self._find(selector)}/click", {})

    def click_at(self, selector: str, right: float, down: float) -> None:
        """In an element, at parts (0..1) of its width and height."""
        x, y, width, height = self.run(
            f"const box = document.querySelector('{selector}').getBoundingClientRect();"
            "return [box.x, box.y, box.width, box.height]"
        )
        place = {"type": "pointerMove", "x": round(x + right * width), "y": round(y + down * height)}
        press = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        self._post("actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [place, *press]}]})

    def type(self, key: str) -> None:
        press = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self._post("actions", {"actions": [{"type": "key", "id": "keys", "actions": press}]})

    def run(self, script: str) -> Any:
        """What a function with this body returns."""
        return self._post("execute/sync", {"script": script, "args": []})

    def text(self, selector: str) -> str:
        """As it is seen; "" for what is hidden."""
        return self._get(f"element/{self._find(selector)}/text")

    def attribute(self, selector: str, name: str) -> str | None:
        return self._get(f"element/{self._find(selector)}/attribute/{name}")

    def picture(self, selector: str = "") -> bytes:
        """PNG of the window, or of an element."""
        path = f"element/{self._find(selector)}/screenshot" if selector else "screenshot"
        return base64.b64decode(self.wait(lambda: self._drawn(path)))

    def cdp(self, command: str, **words: Any) -> Any:
        """A command of the browser's own protocol."""
        return self._post("goog/cdp/execute", {"cmd": command, "params": words})

    def log(self) -> list[str]:
        """What the page said or was refused since the last call."""
        return [entry["message"] for entry in self._post("se/log", {"type": "browser"})]

    def wait(self, is_so: Callable[[], Any], seconds: float = 900) -> Any:
        """What `is_so` gives once that is true; TimeoutError when it never is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := is_so():
                return found
            time.sleep(0.1)
        raise TimeoutError(f"not so after {seconds} s")

    def _is_ready(self) -> bool:
        with suppress(OSError):
            return self._ask("GET", "/status")["ready"]
        return False

    def _drawn(self, path: str) -> str | None:
        """A picture; None where it took the driver's ten seconds, as on a busy machine."""
        try:
            return self._get(path)
        except RuntimeError as error:
            if "Timed out" not in str(error):
                raise
            return None

    def _find(self, selector: str) -> str:
        return self._post("element", {"using": "css selector", "value": selector})[ELEMENT]

    def _get(self, path: str) -> Any:
        return self._ask("GET", f"/session/{self.session}/{path}")

    def _post(self, path: str, content: Any) -> Any:
        return self._ask("POST", f"/session/{self.session}/{path}", content)

    def _ask(self, method: str, path: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {json.loads(error.read())['value']['message']}") from None
