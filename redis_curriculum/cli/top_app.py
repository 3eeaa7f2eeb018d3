"""The application behind ``top``; needs Textual."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.css.query import NoMatches
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Sparkline, Static, TabbedContent, TabPane

from redis_curriculum._protocol.records import TaskRecord
from redis_curriculum._store.read import read_one
from redis_curriculum.cli.output import moment, number, printable
from redis_curriculum.cli.top_rows import Key, Memory, rate
from redis_curriculum.cli.top_table import Rows
from redis_curriculum.errors import CurriculumError, without_password
from redis_curriculum.reporting.view import Reader, View, Watch, view

_RATES: Final = {
    "completions": "episodes",
    "samples": "draws",
    "failures": "failures",
    "evictions": "evictions",
}
_TABS: Final = ("labels", "tasks", "workers", "events")
_WIDE: Final = 120


class Read(Message):
    """A reading has come, or why there is none."""

    def __init__(self, found: View | CurriculumError) -> None:
        super().__init__()
        self.found = found


class Record(ModalScreen[None]):
    """One task's record, read anew with each reading."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "back")]

    class Told(Message):
        """What is to be shown, from the thread that read it."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, task_id: int, details: Reader) -> None:
        super().__init__()
        self.task_id = task_id
        self._details, self._text = details, Static()

    def compose(self) -> ComposeResult:
        """A frame with one fact a line."""
        with VerticalScroll(id="record"):
            yield self._text
            yield Footer()

    def on_mount(self) -> None:
        """Read it."""
        self.query_one("#record").border_title = f"task {self.task_id}"
        self.read_again()

    def read_again(self) -> None:
        """Read the record in a thread; nothing waits for it."""
        asyncio.get_running_loop().run_in_executor(None, self._read)

    def _read(self) -> None:
        try:
            record = self._details.read(lambda store: read_one(store, self.task_id))
            text = _facts(record) if record else f"task {self.task_id} is not in the pool"
        except CurriculumError as error:
            text = printable(without_password(str(error)))
        self.post_message(self.Told(text))

    def on_record_told(self, message: Told) -> None:
        """Show what was read."""
        self._text.update(Text(message.text))


def _facts(record: TaskRecord) -> str:
    fields = record.fields()
    fields["created_ms"] = moment(record.created_ms)
    fields["params"] = json.dumps(record.params)
    wide = max(map(len, fields))
    return "\n".join(f"{name:{wide}}  {_fact(value)}" for name, value in fields.items())


def _fact(value: Any) -> str:
    if value is None:
        return "-"
    return number(value) if isinstance(value, float) else printable(value)


class Top(App[None]):
    """Shows one curriculum, again and again.

    Args:
        name: The curriculum's name.
        where: The server, without password.
        reader: Reads the views.
        details: Reads tasks' records, on a connection of its own.
        first: The first view.
        interval_s: From one reading to the next.
    """

    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012 - as in App
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("s", "sort", "sort"),
        Binding("r", "reverse", "reverse"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("escape", "unfilter", "all", show=False),
        *(Binding(str(i), f"tab('{what}')", show=False) for i, what in enumerate(_TABS, 1)),
    ]
    CSS = """
    #where { height: 1; background: $primary-darken-2; }
    #state { height: auto; max-height: 4; }
    #rates { height: 2; }
    .rate { width: 1fr; padding: 0 1; }
    #filter { height: 1; border: none; display: none; }
    #main { width: 2fr; }
    #side { width: 1fr; display: none; border-left: solid $primary-darken-2; }
    .-wide #side { display: block; }
    TabPane { padding: 0; }
    Record { align: center middle; }
    #record { width: 90%; max-width: 100; height: 80%; border: round $primary; padding: 0 1; }
    """

    def __init__(
        self,
        name: str,
        where: str,
        *,
        reader: Reader,
        details: Reader,
        first: View,
        interval_s: float,
    ) -> None:
        super().__init__()
        self.animation_level = "none"  # for slow lines
        self.curriculum, self._where, self._details = name, where, details
        self.memory = Memory()
        self.memory.add(first)
        self._watch = Watch(lambda: reader.read(view), self._tell, interval_s)
        self._silent_since: datetime | None = None

    def compose(self) -> ComposeResult:
        """Where, state, rates; tables; on a wide terminal workers and events beside them."""
        yield Static(id="where")
        yield Static(id="state")
        with Horizontal(id="rates"):
            for what in _RATES:
                with Vertical(classes="rate"):
                    yield Static(id=f"rate-{what}")
                    yield Sparkline([], id=f"spark-{what}")
        with Horizontal():
            with Vertical(id="main"), TabbedContent(initial="labels", id="tabs"):
                for what in _TABS:
                    with TabPane(what, id=what):
                        yield Rows(what, f"table-{what}")
            with Vertical(id="side"):
                yield Rows("workers", "side-workers")
                yield Rows("events", "side-events")
        yield Input(
            placeholder="a part of a label, of an id, of an event", id="filter", compact=True
        )
        yield Footer()

    def on_mount(self) -> None:
        """Show the first view; begin to read on. SIGTERM and SIGHUP leave as q does."""
        loop = asyncio.get_running_loop()
        for number_ in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number_, self.exit)
        self.query_one("#table-labels").focus()
        self._show()
        self._watch.start()

    def on_unmount(self) -> None:
        """Read no more."""
        self._watch.stop()

    def _tell(self, found: View | CurriculumError) -> None:
        self.post_message(Read(found))

    def on_read(self, message: Read) -> None:
        """Show what was read, or say since when nothing comes."""
        if not self._is_shown:
            return
        if isinstance(message.found, CurriculumError):
            self._silent_since = self._silent_since or datetime.now().astimezone()
            since = self._silent_since.strftime("%H:%M:%S")
            why = printable(without_password(str(message.found)))
            self._state(Text(f"no reading since {since}: {why}", style="bold red"))
            return
        self._silent_since = None
        self.memory.add(message.found)
        with suppress(NoMatches):  # while the application ends, its parts go one by one
            self._show()
        if isinstance(self.screen, Record):
            self.screen.read_again()

    def on_resize(self) -> None:
        """Show more columns, or fewer."""
        self.call_after_refresh(self._show_tables)

    def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        """Fill a table that becomes visible; the keys go to it."""
        self._show_tables()
        event.pane.query_one(Rows).focus()

    def _show(self) -> None:
        now = self.memory.now
        assert now is not None  # noqa: S101 - there is a first one
        at = datetime.fromtimestamp(now.now_ms / 1000).astimezone().strftime("%H:%M:%S")
        epoch = f"epoch {now.census.epoch}"
        line = f" {self.curriculum}  {self._where}  {epoch}  {at}"
        self.screen_stack[0].query_one("#where", Static).update(Text(line, no_wrap=True))
        self._state(_state_of(now))
        for what, title in _RATES.items():
            history = list(self.memory.rates.get(what, []))
            text = f"{title} {rate(history[-1] if history else None)}/s"
            self.screen_stack[0].query_one(f"#rate-{what}", Static).update(text)
            self.screen_stack[0].query_one(f"#spark-{what}", Sparkline).data = history
        self._show_tables()

    def _state(self, text: Text) -> None:
        self.screen_stack[0].query_one("#state", Static).update(text)

    @property
    def _is_shown(self) -> bool:
        """False while the application ends: its parts go before its last messages."""
        return bool(self.screen_stack and self.screen_stack[0].query("Rows"))

    def _show_tables(self) -> None:
        if not self._is_shown:
            return
        self._table.show(self.memory)
        if self.size.width >= _WIDE:
            for shown in self.screen_stack[0].query_one("#side").query(Rows):
                shown.show(self.memory)

    @property
    def _table(self) -> Rows:
        """The table of the active tab."""
        base = self.screen_stack[0]
        return base.query_one(f"#table-{base.query_one(TabbedContent).active}", Rows)

    def action_tab(self, what: str) -> None:
        """Go to a tab."""
        self.query_one(TabbedContent).active = what

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._table.action_sort()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._table.sort_by(self._table.sort)

    def action_filter(self) -> None:
        """Ask for a filter of the table."""
        box = self.query_one("#filter", Input)
        box.value, box.display = self._table.filter, True
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as it is typed."""
        if self.query_one("#filter").display:
            self._table.filter = event.value
            self._show_tables()

    def on_input_submitted(self) -> None:
        """Keep the filter; the keys go to the table again."""
        self.query_one("#filter").display = False
        self._table.focus()

    def action_unfilter(self) -> None:
        """Show all rows again."""
        self.on_input_submitted()
        self._table.filter = ""
        self._show_tables()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """From a label to its tasks; from a task, or its event, to its record."""
        if event.what == "labels":
            self.query_one("#table-tasks", Rows).filter = f"={event.key}"
            self.action_tab("tasks")
        elif event.what == "tasks":
            self.push_screen(Record(int(event.key), self._details))
        elif event.what == "events" and (task_id := self._task_of(event.key)) is not None:
            self.push_screen(Record(task_id, self._details))

    def _task_of(self, event_id: Key) -> int | None:
        assert self.memory.now is not None  # noqa: S101 - there is a first one
        found = (e for e in self.memory.now.events if e.event_id == event_id)
        task_id = next((event.fields.get("task_id") for event in found), None)
        return task_id if isinstance(task_id, int) else None


def _state_of(now: View) -> Text:
    """Sizes in one line; below it alerts, and what the generator says."""
    live = sum(row.live for row in now.workers)
    gone = f" ({len(now.workers) - live} expired)" if live < len(now.workers) else ""
    tasks, labels = len(now.census.pool), len(now.census.labels)
    text = Text(f"{tasks:,} of {now.capacity:,} tasks, {labels:,} labels, {live} workers{gone}")
    wrong = [str(alert) for alert in now.report.alerts]
    wrong += [f"generator: {now.trouble}"] if now.trouble else []
    for line in wrong[:3]:
        text.append(f"\n! {printable(line)}", style="bold yellow")
    if len(wrong) > 3:  # noqa: PLR2004 - lines
        text.append(f" (and {len(wrong) - 3} more)", style="bold yellow")
    return text


__all__ = ["Top"]
