"""The peers that only the benchmarks need: installed under .nox/bench when first wanted."""
