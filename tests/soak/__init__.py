"""Long runs; no part of `make test`."""
