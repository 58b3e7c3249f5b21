"""What a run of the tests says about its size before it starts."""

import registry


def pytest_report_header() -> str:
    return (
        f"registry: {registry.n_combinations()} combinations (floor {registry.FLOOR}), "
        f"{len(registry.sample())} sampled (floor {registry.SAMPLE_FLOOR}), "
        f"{len(registry.conformance())} conformance cases"
    )
