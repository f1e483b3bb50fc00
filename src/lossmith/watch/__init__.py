"""The run-time guard, public as `lossmith.guard`."""
