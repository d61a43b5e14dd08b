"""Published layouts of benchmarks, one a module: how a row becomes a question."""
