"""Paired measurements of lossmith against torch: what `lossmith bench` runs."""

from .measure import Row, measure
from .record import Record
from .request import BadRequest, Request, Task

__all__ = ["BadRequest", "Record", "Request", "Row", "Task", "measure"]
