"""The part of a page that changes settings; made only where changes are allowed."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

from bokeh.layouts import column, row
from bokeh.models import InlineStyleSheet
from bokeh.models.widgets.buttons import Button
from bokeh.models.widgets.inputs import Select, TextInput

from redis_curriculum._client.looking import configured, tunables
from redis_curriculum.dashboard.feed import Feed
from redis_curriculum.dashboard.page import text
from redis_curriculum.errors import CurriculumError, without_password

_STYLE: Final = """
:host { color: inherit; }
.bk-input, .bk-btn { background-color: transparent !important; color: inherit !important; }
option { background-color: Canvas; color: CanvasText; }
"""


class Settings:
    """Sets one tunable setting at a time; the old value is one click away."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._values: dict[str, Any] = {}
        self._former: tuple[str, str] | None = None
        self._field: Any = Select(title="setting", width=260)
        self._value = TextInput(title="value (JSON, or a text)", width=180)
        self._set = Button(label="set", width=70, align="end")
        self._back = Button(label="back", width=260, align="end", visible=False)
        self._said = text("said")
        sheet = InlineStyleSheet(css=_STYLE)
        for widget in (self._field, self._value, self._set, self._back):
            widget.stylesheets = [sheet]
        self._field.on_change("value", self._fill)
        self._set.on_click(lambda: self._change(str(self._field.value), self._value.value))
        self._back.on_click(lambda: self._former and self._change(*self._former))
        controls = row(
            self._field, self._value, self._set, self._back, styles={"flex-wrap": "wrap"}
        )
        self.part = column(controls, self._said, sizing_mode="stretch_width")
        self._read()

    def _read(self) -> None:
        try:
            self._values = tunables(self._feed.details)
        except CurriculumError as error:
            self._say(error)
            return
        self._field.options = [(name, name) for name in self._values]
        if self._field.value not in self._values:
            self._field.value = next(iter(self._values), "")
        self._fill_in()

    def _fill(self, attr: str, old: object, new: object) -> None:  # noqa: ARG002 - as Bokeh calls it
        self._fill_in()

    def _fill_in(self) -> None:
        if self._field.value in self._values:
            self._value.value = json.dumps(self._values[self._field.value])

    def _change(self, field: str, value: str) -> None:
        try:
            changes = configured(self._feed.details, field, value)
        except CurriculumError as error:
            self._say(error)
            return
        self._read()
        lines = [f"{name}: {json.dumps(old)} → {json.dumps(new)}" for name, old, new in changes]
        self._said.text = "<br>".join(map(escape, lines)) or "nothing to change"
        if changes:
            name, old, _ = changes[0]
            self._former = (name, json.dumps(old))
            self._back.label = f"set {name} back to {json.dumps(old)}"
            self._back.visible = True

    def _say(self, error: CurriculumError) -> None:
        self._said.text = f"<span class='bad'>{escape(without_password(str(error)))}</span>"


__all__ = ["Settings"]
