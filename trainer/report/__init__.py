"""The report that a person opens: `render_report` turns a run's statistics into one self-contained HTML file."""

from trainer.report.html import render_report
from trainer.report.run_info import RunInfo
from trainer.report.thumbnails import THUMBNAIL_SIDE, thumbnail_jpeg

__all__ = ["THUMBNAIL_SIDE", "RunInfo", "render_report", "thumbnail_jpeg"]
