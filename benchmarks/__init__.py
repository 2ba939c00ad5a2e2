"""Benchmarks: a suite is one module with `run(config) -> Report`; results are JSON, tables are made from them."""
