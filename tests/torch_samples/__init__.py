"""lossmith against torch's own test samples: op_db, module_db, and tables of our own where torch has none."""
