"""What the words of the formula language mean to each backend, one file a backend."""
