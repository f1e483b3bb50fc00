"""Cards shown: found by name, as a table, in the terminal, as a picture, in a notebook, on a page of the documentation."""
