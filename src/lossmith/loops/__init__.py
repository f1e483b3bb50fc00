"""How losses run: one folder a loop shape."""
