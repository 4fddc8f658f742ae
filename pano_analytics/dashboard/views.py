"""The parts of the page: each receives the browser's messages and sends it what changed.

A part is first drawn from data in the HTML. After that, the `PageSocket`, the one Panel
component of the page, sends only changes, so that pictures do not wait for scripts and a
websocket.
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
    """The connection between page and server: JSON messages in both directions, per part."""

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
        """Pass the browser's messages for the part of `view` to it."""
        self._parts[view.part] = view

    def send(self, part: str, text: str) -> None:
        """Send JSON text to a part, unless no browser is connected yet."""
        if self.is_ready:
            self._send_msg(f'{{"part":"{part}","message":{text}}}')

    def _handle_msg(self, data: Any) -> None:
        if not isinstance(data, dict):
            return
        if data.get("ready"):
            self.is_ready = True
            for view in self._parts.values():
                view.send_changes()
        elif data.get("part") in self._parts:
            self._parts[data["part"]].receive(data)


class View:
    """A part of the page that shows one JSON value, and sends it again when it has changed."""

    part: ClassVar[str]
    watches: ClassVar[tuple[str, ...]] = ()

    def __init__(self, wire: PageSocket, library: Library, answers: Answers) -> None:
        self.wire, self.library = wire, library
        self.answers, self.selection = answers, answers.selection
        self.first = self.last_sent = self.text()
        answers.param.watch(lambda *_: self.send_changes(), list(self.watches))
        wire.add(self)

    def text(self) -> str:
        """Return the current content of the part, as JSON."""
        raise NotImplementedError

    def send_changes(self) -> None:
        """Send the current content of the part, unless the browser already has it."""
        if self.wire.is_ready and (text := self.text()) != self.last_sent:
            self.last_sent = text
            self.wire.send(self.part, text)

    def receive(self, message: dict[str, Any]) -> None:
        """Handle a message from the browser; most parts send none."""


class Address(View):
    """The address bar: the browser sends its address, and receives the selection's."""

    part = "address"

    def __init__(self, *args: Any) -> None:
        self._is_following = False
        super().__init__(*args)
        chosen = [name for name in self.selection.param if name not in ("name", "notices")]
        self.selection.param.watch(lambda *_: self.send_changes(), chosen)

    def text(self) -> str:
        return payloads.dumps({"search": self.selection.search})

    def send_changes(self) -> None:
        # The browser already has the address that it has just sent.
        if not self._is_following:
            super().send_changes()

    def receive(self, message: dict[str, Any]) -> None:
        search = message.get("search")
        if not isinstance(search, str):
            return
        self._is_following = True
        try:
            self.selection.follow(search, self.library.camera_names())
        finally:
            self._is_following = False
            self.last_sent = self.text()


class SelectionBar(View):
    """The filters: time range, cameras, kind and states."""

    part = "bar"
    watches = ("cameras", "now", "uploads")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.selection.param.watch(lambda *_: self.send_changes(), [*_CHOICES, "notices"])

    def text(self) -> str:
        names = self.answers.cameras["camera"].tolist()
        zone = str(self.library.zone)
        return payloads.dumps(payloads.bar(self.selection, names, self.answers.now, zone))


class Overview(View):
    """One card per camera: latest picture and its time, today's count, silence, links."""

    part = "overview"
    watches = ("cameras", "now", "short", "clocks", "troubles", "unread", "uploads")

    def text(self) -> str:
        answers = self.answers
        zone = self.library.zone
        shown = payloads.overview(answers.cameras, answers.now, answers.short, answers.clocks)
        notices = {
            "troubles": answers.troubles,
            "clocks": answers.uploads.warnings,
            "unread": payloads.unread(answers.unread, zone),
        }
        return payloads.dumps(shown | notices)


class Activity(View):
    """One heatmap per camera, hour by day, with the selected hours marked."""

    part = "activity"
    watches = ("heat", "cameras", "now")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.selection.param.watch(lambda *_: self.send_changes(), _CHOICES)

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
        self.answers.param.watch(lambda *_: self.send_item(), ["item"])

    def text(self) -> str:
        """Return the whole content, for a new page."""
        self._sent.clear()
        self._item = self.answers.item
        return self._message(payloads.dumps(self._detail()))

    def send_changes(self) -> None:
        if not self.wire.is_ready:
            return
        if self.answers.is_first:
            pn.state.execute(self.answers.complete)
        message = self._message()
        if message != self.last_sent:
            self.last_sent = message
            self.wire.send(self.part, message)
        self.send_item()

    def send_item(self) -> None:
        """Send the details of the open item."""
        if self.wire.is_ready and self.answers.item is not self._item:
            self._item = self.answers.item
            if self._item is not None:
                self.wire.send(self.part, f'{{"detail":{payloads.dumps(self._detail())}}}')

    def _detail(self) -> dict[str, Any] | None:
        record = self.answers.item
        return None if record is None else payloads.item(record, self.library.zone)

    def _message(self, detail: str = "null") -> str:
        """Return the head and the days as JSON, without the days that the browser already has."""
        key = self.selection.key()
        if key != self._key:
            self._key = key
            self._sent.clear()
        days = self.answers.uploads.blocks
        changed = [day for day in days if self._sent.get(day.day) != day.digest]
        self._sent |= {day.day: day.digest for day in changed}
        head = payloads.dumps(self._head())
        order = payloads.dumps([day.day for day in days])
        selection = payloads.dumps(repr(key))
        body = ",".join(day.text for day in changed)
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
