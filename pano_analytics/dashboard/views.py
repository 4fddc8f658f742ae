"""The parts of the page: each hears from the browser what was chosen, and tells it what changed.

A part draws itself from what stands in the page when it comes. Its `Wire`, the
one Panel component that it has, carries nothing but changes after that, so
that pictures do not wait for scripts and a websocket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import panel as pn
import param
from panel.custom import JSComponent

from pano_analytics.dashboard import payloads
from pano_analytics.dashboard.answers import Answers
from pano_analytics.dashboard.selection import Selection

if TYPE_CHECKING:
    from pano_analytics.library import Library


class Wire(JSComponent):
    """The line between one part of the page and the server; messages are JSON text."""

    part = param.String()

    _esm = """
    export function render({ model }) {
      window.pano.connect(model.part, model)
      return document.createElement("span")
    }
    """

    def __init__(self, hear: Callable[[dict[str, Any]], None], **params: Any) -> None:
        super().__init__(**params)  # type: ignore[no-untyped-call]
        self._hear = hear
        self.is_ready = False

    def say(self, text: str) -> None:
        """Send JSON text to the browser."""
        self._send_msg(text)

    def _handle_msg(self, data: Any) -> None:
        if not isinstance(data, dict):
            return
        # Nothing may be said before: what is sent while no browser listens is lost.
        self.is_ready = self.is_ready or bool(data.get("ready"))
        self._hear(data)


class View(pn.viewable.Viewer):
    """A part of the page that shows one JSON value, and says it anew when it has changed."""

    part: ClassVar[str]
    watches: ClassVar[tuple[str, ...]] = ()

    def __init__(self, library: Library, selection: Selection, answers: Answers) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.library, self.selection, self.answers = library, selection, answers
        self.wire = Wire(self.hear, part=self.part)
        self.first = self.said = self.text()
        answers.param.watch(lambda *_: self.tell(), list(self.watches))

    def text(self) -> str:
        """Return what the part shows now, as JSON."""
        raise NotImplementedError

    def tell(self) -> None:
        """Send what the part shows now, unless the browser has it already."""
        if self.wire.is_ready and (text := self.text()) != self.said:
            self.said = text
            self.wire.say(text)

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message from the browser; the first says that it listens."""
        if message.get("ready"):
            self.tell()

    def __panel__(self) -> Wire:
        return self.wire


class Address(View):
    """The address bar: the browser says where it is, and is told where the selection went."""

    part = "address"

    def __init__(self, *args: Any) -> None:
        self._is_following = False
        super().__init__(*args)
        chosen = [name for name in self.selection.param if name not in ("name", "notices")]
        self.selection.param.watch(lambda *_: self.tell(), chosen)

    def text(self) -> str:
        return payloads.dumps({"search": self.selection.search})

    def tell(self) -> None:
        # What the browser itself has just said need not be repeated to it.
        if not self._is_following:
            super().tell()

    def hear(self, message: dict[str, Any]) -> None:
        search = message.get("search")
        if not isinstance(search, str):
            return
        self._is_following = True
        try:
            self.selection.follow(search, self.library.camera_names())
        finally:
            self._is_following = False
            self.said = self.text()


class Bar(View):
    """When, which cameras, what kind: the selection in words and in reach."""

    part = "bar"
    watches = ("cameras", "now", "uploads")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.selection.param.watch(lambda *_: self.tell(), [*_CHOICES, "notices"])

    def text(self) -> str:
        names = self.answers.cameras["camera"].tolist()
        zone = str(self.library.zone)
        return payloads.dumps(payloads.bar(self.selection, names, self.answers.now, zone))


class Overview(View):
    """Each camera: latest picture, when, count today, silent or not, its own pages."""

    part = "overview"
    watches = ("cameras", "now")

    def text(self) -> str:
        return payloads.dumps(payloads.overview(self.answers.cameras, self.answers.now))


class Activity(View):
    """A heatmap a camera, hour by day, with the selected hours marked."""

    part = "activity"
    watches = ("heat", "cameras", "now")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.selection.param.watch(lambda *_: self.tell(), _CHOICES)

    def text(self) -> str:
        answers = self.answers
        return payloads.dumps(
            payloads.activity(answers.heat, answers.cameras, self.selection, answers.now)
        )


class Gallery(View):
    """The thumbnails and the viewer. Days that the browser has are not sent again."""

    part = "gallery"
    watches = ("uploads", "near")

    def __init__(self, *args: Any) -> None:
        self._key: tuple[Any, ...] | None = None
        self._sent: dict[str, bytes] = {}
        self._item: Any = None
        super().__init__(*args)
        self.answers.param.watch(lambda *_: self.tell_item(), ["item"])

    def text(self) -> str:
        """Return the whole of it, as it stands in a new page."""
        self._sent.clear()
        self._item = self.answers.item
        return self._message(payloads.dumps(self._detail()))

    def tell(self) -> None:
        if not self.wire.is_ready:
            return
        message = self._message()
        if message != self.said:
            self.said = message
            self.wire.say(message)

    def tell_item(self) -> None:
        """Send the details of the open item."""
        if self.wire.is_ready and self.answers.item is not self._item:
            self._item = self.answers.item
            if self._item is not None:
                self.wire.say(f'{{"detail":{payloads.dumps(self._detail())}}}')

    def hear(self, message: dict[str, Any]) -> None:
        if not message.get("ready"):
            return
        if self.answers.is_first:
            self.answers.complete()
        self.tell()
        self.tell_item()

    def _detail(self) -> dict[str, Any] | None:
        found = self.answers.item
        return None if found is None else payloads.item(found, self.library.zone)

    def _message(self, detail: str = "null") -> str:
        """Return head and days as JSON; a day goes in only where the browser has another one."""
        key = self.selection.key()
        if key != self._key:
            self._key = key
            self._sent.clear()
        days = self.answers.uploads.blocks
        news = [day for day in days if self._sent.get(day.day) != day.digest]
        self._sent |= {day.day: day.digest for day in news}
        head = payloads.dumps(self._head())
        order = payloads.dumps([day.day for day in days])
        selection = payloads.dumps(repr(key))
        body = ",".join(day.text for day in news)
        return (
            f'{{"selection":{selection},"order":{order},"head":{head},'
            f'"blocks":[{body}],"detail":{detail}}}'
        )

    def _head(self) -> dict[str, Any]:
        answers = self.answers
        counts = answers.cameras[["snapshots", "clips"]].to_numpy()
        return payloads.gallery_head(
            answers.uploads, answers.near, self.selection, is_known=bool(counts.sum())
        )


_CHOICES = ["cameras", "start", "end", "kind", "states"]
VIEWS: tuple[type[View], ...] = (Address, Bar, Overview, Activity, Gallery)
