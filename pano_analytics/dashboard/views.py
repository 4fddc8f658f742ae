"""The parts of the page: each hears from the browser what was chosen, and tells it what changed.

A part draws itself from what stands in the page when it comes. The `PageSocket`, the
one Panel component of the page, carries nothing but changes after that, so
that pictures do not wait for scripts and a websocket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import panel as pn
from panel.custom import JSComponent

from pano_analytics.dashboard import payloads
from pano_analytics.dashboard.answers import Answers

if TYPE_CHECKING:
    from pano_analytics.library import Library


class PageSocket(JSComponent):
    """The line between the page and the server: JSON text each way, addressed to a part."""

    _esm = """
    export function render({ model }) {
      window.pano.connect(model)
      return document.createElement("span")
    }
    """

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)  # type: ignore[no-untyped-call]
        self.is_ready = False
        self._parts: dict[str, View] = {}

    def add(self, view: View) -> None:
        """Hand over what the browser says to the part of `view`."""
        self._parts[view.part] = view

    def say(self, part: str, text: str) -> None:
        """Send JSON text to a part; only once a browser listens, else it would be lost."""
        if self.is_ready:
            self._send_msg(f'{{"part":"{part}","message":{text}}}')

    def _handle_msg(self, data: Any) -> None:
        if not isinstance(data, dict):
            return
        if data.get("ready"):
            self.is_ready = True
            for view in self._parts.values():
                view.tell()
        elif data.get("part") in self._parts:
            self._parts[data["part"]].hear(data)


class View:
    """A part of the page that shows one JSON value, and says it anew when it has changed."""

    part: ClassVar[str]
    watches: ClassVar[tuple[str, ...]] = ()

    def __init__(self, wire: PageSocket, library: Library, answers: Answers) -> None:
        self.wire, self.library = wire, library
        self.answers, self.selection = answers, answers.selection
        self.first = self.said = self.text()
        answers.param.watch(lambda *_: self.tell(), list(self.watches))
        wire.add(self)

    def text(self) -> str:
        """Return what the part shows now, as JSON."""
        raise NotImplementedError

    def tell(self) -> None:
        """Send what the part shows now, unless the browser has it already."""
        if self.wire.is_ready and (text := self.text()) != self.said:
            self.said = text
            self.wire.say(self.part, text)

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message of the part in the browser; most have nothing to say."""


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


class SelectionBar(View):
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
    watches = ("cameras", "now", "short", "troubles", "unread")

    def text(self) -> str:
        answers = self.answers
        zone = self.library.zone
        shown = payloads.overview(answers.cameras, answers.now, answers.short)
        notices = {"troubles": answers.troubles, "unread": payloads.unread(answers.unread, zone)}
        return payloads.dumps(shown | notices)


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
    watches = ("uploads", "near", "unread")

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
        if self.answers.is_first:
            pn.state.execute(self.answers.complete)
        message = self._message()
        if message != self.said:
            self.said = message
            self.wire.say(self.part, message)
        self.tell_item()

    def tell_item(self) -> None:
        """Send the details of the open item."""
        if self.wire.is_ready and self.answers.item is not self._item:
            self._item = self.answers.item
            if self._item is not None:
                self.wire.say(self.part, f'{{"detail":{payloads.dumps(self._detail())}}}')

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
            answers.uploads,
            answers.near,
            self.selection,
            is_known=bool(counts.sum()),
            is_unread=bool(answers.unread),
        )


_CHOICES = ["cameras", "start", "end", "kind", "states"]
VIEWS: tuple[type[View], ...] = (Address, SelectionBar, Overview, Activity, Gallery)
