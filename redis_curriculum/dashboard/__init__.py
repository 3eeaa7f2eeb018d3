"""The dashboard: a server of pages that show curricula live; needs the extra ``dashboard`` (Bokeh).

Reads only, unless changes are allowed. ``server`` answers requests, ``feed`` reads a curriculum
once for all of its pages, ``page`` is what one browser shows, of ``figures`` and ``tables``.
"""

from __future__ import annotations
