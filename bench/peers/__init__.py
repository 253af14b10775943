"""The peers that only the benchmarks need: installed under .nox/bench on first use."""
