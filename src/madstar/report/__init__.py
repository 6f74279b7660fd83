"""What people look at: a search while it runs, its summary in a terminal, its report as one page."""

from .findings import Findings, full_report, gather
from .html import write_html
from .live import LiveWatcher
from .plain import PlainWatcher
from .terminal import print_summary

__all__ = [
    "Findings",
    "LiveWatcher",
    "PlainWatcher",
    "full_report",
    "gather",
    "print_summary",
    "write_html",
]
