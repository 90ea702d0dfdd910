"""A schedule: when a job is due, in which time zone, and what becomes of missed due times.

Due times are the crontab's as Debian's cron has them: a job at a fixed hour runs once on every day,
also where that hour does not exist (then right after the gap) or comes twice (then at its first).
"""

import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from medray.spec.base import Name, Settings

# Due times are counted from a day before: at a change of clocks CronSim, begun between two hours of
# one name, gives a time that lies before its beginning.
LEAD = datetime.timedelta(days=1)


def _cron(text: str) -> str:
    if len(text.split()) != 5:
        raise ValueError("five fields: minute, hour, day of month, month, day of week")
    try:
        next(CronSim(text, datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"no crontab expression: {error or 'it is never due'}") from error
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("no time zone, such as Europe/Berlin") from error
    return text


def _window(text: str) -> str:
    first, dash, last = text.partition("-")
    try:
        ends = [datetime.time.fromisoformat(part) for part in (first, last)]
    except ValueError:
        ends = []
    if not dash or len(ends) != 2 or ends[0] == ends[1]:
        raise ValueError("two times of day, such as 22:00-06:00")
    return text


class Schedule(Settings):
    """A job and when it is due."""

    name: Name
    file: str = Field(description="what the job was called")
    documents: list[dict[str, Any]] = Field(
        description="of the job, as they were when it was added"
    )
    cluster: str | None = None
    cron: Annotated[str, AfterValidator(_cron)]
    tz: Annotated[str, AfterValidator(_zone)] = "UTC"
    catch_up: Literal["last", "all", "none"] = Field(
        "last", description="which of the due times that nobody was there for are made good"
    )
    overlap: Literal["skip", "queue"] = Field(
        "skip", description="what becomes of a due time that comes while a run is under way"
    )
    window: Annotated[str, AfterValidator(_window)] | None = Field(
        None, description="runs begin inside it only, and are stopped at its end"
    )
    paused: bool = False
    after: datetime.datetime = Field(description="due times up to this one are decided")

    def due_times(
        self, after: datetime.datetime, until: datetime.datetime
    ) -> list[datetime.datetime]:
        """The due times in (after, until], in UTC, in order, each once."""
        local = (after - LEAD).astimezone(ZoneInfo(self.tz))
        found: list[datetime.datetime] = []
        for time in CronSim(self.cron, local):
            due = time.astimezone(datetime.UTC)
            if due > until:
                break
            # Two times of day inside a gap both move to its end.
            if due > after and (not found or due > found[-1]):
                found.append(due)
        return found

    def next_due(self, after: datetime.datetime) -> datetime.datetime:
        """The first due time after `after`, in UTC."""
        local = (after - LEAD).astimezone(ZoneInfo(self.tz))
        times = (time.astimezone(datetime.UTC) for time in CronSim(self.cron, local))
        return next(due for due in times if due > after)

    def open_at(self, now: datetime.datetime) -> bool:
        """Whether runs may go on at `now`."""
        if self.window is None:
            return True
        first, _, last = self.window.partition("-")
        opens, closes = datetime.time.fromisoformat(first), datetime.time.fromisoformat(last)
        time = now.astimezone(ZoneInfo(self.tz)).time()
        if opens < closes:
            return opens <= time < closes
        return time >= opens or time < closes
