"""Cards shown: found by name; in the terminal, as a table or a picture, in a notebook, on pages."""
