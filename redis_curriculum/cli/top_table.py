"""The tables of ``top``: a heading, and only those rows drawn that can be seen. Needs Textual."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from redis_curriculum.cli.top_rows import COLUMNS, Column, Key, Memory, Table, table

_SORTS: Final = {"labels": "prob.", "tasks": "prob.", "workers": "lag", "events": "ago"}
"""What each table is sorted by at first."""
_GAP: Final = 2


class Rows(ScrollView, can_focus=True):
    """One table; its cursor stays at what it is on, wherever that is sorted to.

    Textual's own table holds every cell as an object and draws 500 rows in half a second; this one
    takes the same time for 10 rows and for 10,000.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--heading", "rows--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", show=False),
        Binding("down,j", "cursor(1)", show=False),
        Binding("pageup", "cursor(-10)", show=False),
        Binding("pagedown", "cursor(10)", show=False),
        Binding("home,g", "cursor(-1000000000)", show=False),
        Binding("end,G", "cursor(1000000000)", show=False),
        Binding("enter", "open", "open"),
    ]
    DEFAULT_CSS = """
    Rows { height: 1fr; border-bottom: solid $primary-darken-2; overflow-x: hidden;
           scrollbar-size-vertical: 1; }
    Rows > .rows--heading { text-style: bold; color: $text-muted; }
    Rows > .rows--cursor { background: $primary; color: $text; }
    """

    class Opened(Message):
        """A row was chosen."""

        def __init__(self, what: str, key: Key) -> None:
            super().__init__()
            self.what, self.key = what, key

    def __init__(self, what: str, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.what = what
        self.sort, self.is_reversed, self.filter = _SORTS[what], False, ""
        self.cursor = 0
        self.table: Table | None = None
        self._memory: Memory | None = None

    def show(self, memory: Memory) -> None:
        """Show the latest reading."""
        self._memory = memory
        held = self.key
        self.table = table(memory, self.what, self.sort, reverse=self.is_reversed, text=self.filter)
        keys = self.table.keys
        if held is not None and held in keys and self.key != held:
            self.cursor = keys.index(held)
        self.cursor = max(0, min(self.cursor, len(keys) - 1))
        self.virtual_size = Size(self.size.width, len(keys) + 1)
        part = f"{len(keys):,} of " if self.filter else ""
        self.border_subtitle = f"{part}{self.table.total:,}"
        self.refresh()

    @property
    def key(self) -> Key | None:
        """What the cursor is on."""
        if self.table is None or self.cursor >= len(self.table.keys):
            return None
        return self.table.keys[self.cursor]

    def render_line(self, y: int) -> Strip:
        """Draw one visible line; the first is the heading, which stays."""
        width = self.size.width
        if self.table is None:
            return Strip.blank(width, self.rich_style)
        if y == 0:
            style = self.get_component_rich_style("rows--heading")
            return self._line([self._title(column) for column in self._columns], style)
        at = y - 1 + self.scroll_offset.y
        if at >= len(self.table.keys):
            return Strip.blank(width, self.rich_style)
        is_held = at == self.cursor and self.has_focus
        style = self.get_component_rich_style("rows--cursor") if is_held else self.rich_style
        row = self.table.row(at)
        shown = zip(COLUMNS[self.what], row, strict=True)
        return self._line([c.show(value) for c, value in shown if c in self._columns], style)

    def _line(self, cells: list[str], style: Style) -> Strip:
        text = "".join(
            _fitted(cell, column, width) + " " * _GAP
            for cell, column, width in zip(cells, self._columns, self._widths, strict=True)
        )
        width = self.size.width
        return Strip([Segment(set_cell_size(f" {text}", width), style)], width)

    def _title(self, column: Column) -> str:
        if column.title != self.sort:
            return column.title
        return f"{column.title}{'▼' if column.descends != self.is_reversed else '▲'}"

    @property
    def _columns(self) -> list[Column]:
        """The columns that there is room for."""
        return [column for column in COLUMNS[self.what] if column.least <= self.size.width]

    @property
    def _widths(self) -> list[int]:
        """Width of each; the one of width 0 takes the rest."""
        fixed = [column.width for column in self._columns]
        rest = self.size.width - 1 - sum(fixed) - _GAP * len(fixed)
        return [width or max(8, rest) for width in fixed]

    def action_cursor(self, by: int) -> None:
        """Move the cursor; the table follows."""
        if self.table is not None:
            self.cursor = max(0, min(self.cursor + by, len(self.table.keys) - 1))
            self.scroll_to_region(Region(0, self.cursor, 1, 2), animate=False, force=True)
            self.refresh()

    def action_open(self) -> None:
        """Tell what was chosen."""
        if self.key is not None:
            self.post_message(self.Opened(self.what, self.key))

    def action_sort(self) -> None:
        """Sort by the next column."""
        titles = [column.title for column in self._columns if column.title]
        place = titles.index(self.sort) + 1 if self.sort in titles else 0
        self.sort_by(titles[place % len(titles)])

    def sort_by(self, title: str) -> None:
        """Sort by a column; if that is so already, turn the order round."""
        if not title:
            return
        self.sort, self.is_reversed = title, self.sort == title and not self.is_reversed
        if self._memory is not None:
            self.show(self._memory)

    def on_click(self, event: events.Click) -> None:
        """A click on a heading sorts; on a row it moves the cursor there, or opens it."""
        at = event.y - 1 + self.scroll_offset.y
        if event.y == 0:
            self.sort_by(self._title_at(event.x))
        elif self.table is not None and at < len(self.table.keys):
            if at == self.cursor:
                self.action_open()
            self.cursor = at
            self.refresh()

    def _title_at(self, x: int) -> str:
        """The column at a place of the heading; one without title changes nothing."""
        end = 1
        for column, width in zip(self._columns, self._widths, strict=True):
            end += width + _GAP
            if x < end:
                return column.title
        return ""


def _fitted(text: str, column: Column, width: int) -> str:
    """A cell in as many terminal columns as it has; what is too long is cut with an ellipsis."""
    size = cell_len(text)
    if size > width:
        return f"{set_cell_size(text, width - 1)}…"
    return " " * (width - size) + text if column.right else text + " " * (width - size)


__all__ = ["Rows"]
