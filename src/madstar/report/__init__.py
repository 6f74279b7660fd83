"""What people look at: a search while it runs, its summary in a terminal, its report as one page."""

from .html import write_html
from .live import LiveWatcher
from .plain import PlainWatcher
from .terminal import print_summary

__all__ = ["LiveWatcher", "PlainWatcher", "print_summary", "write_html"]
