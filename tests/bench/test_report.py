from __future__ import annotations

import pytest
from bench.command import COMMANDS, FIRST_PROOF
from bench.report import LIMITS, TARGETS, Figures, tables
from bench.solo import GROUPS
from bench.steady import WORKLOADS

pytestmark = pytest.mark.pure


def figures(better: str = "more", **samples: list[float | None]) -> Figures:
    made = Figures("round trips of 64 bytes", "1/s", better)
    for peer, values in samples.items():
        for value in values:
            made.add(peer, value)
    return made


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The machine was ten times slower in the second round, for both alike.
    one = figures(underpass=[300, 20, 200], bore=[200, 20, 200])
    assert one.ratio("underpass", "bore") == 1.0
    assert one.median("underpass") == 200


def test_a_ratio_above_one_is_better_also_where_less_is_better() -> None:
    assert figures("less", underpass=[50], bore=[100]).ratio("underpass", "bore") == 2.0


def test_rounds_without_a_value_count_for_neither_side() -> None:
    one = figures(underpass=[None, 100], bore=[1, 50])
    assert one.ratio("underpass", "bore") == 2.0
    assert figures(underpass=[None], bore=[1]).ratio("underpass", "bore") is None


def test_the_report_names_what_is_missing_and_what_failed() -> None:
    one = figures(bore=[50, 52], underpass=[75, 78], chisel=[None, None])
    one.failures["chisel"] = "the echo broke off"
    text = tables(
        [one],
        {"bore": "plain link", "underpass": "tcp"},
        {"frp": "frps is missing: make engines"},
        "a machine",
        2,
    )
    assert text == (
        "Measured on a machine. Medians of 2 interleaved rounds; `×` columns say how many times "
        "as good as that peer (above 1 is better), each the median of the ratios of the rounds.\n"
        "\n"
        "| peer | what it is |\n"
        "| --- | --- |\n"
        "| bore | plain link |\n"
        "| underpass | tcp |\n"
        "\n"
        "Not measured:\n"
        "\n"
        "- **frp**: frps is missing: make engines\n"
        "\n"
        "## Figures to reach\n"
        "\n"
        "| work | of | against | wanted | got |  |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| round trips of 64 bytes | underpass | bore | 1.00 | 1.50 | met |\n"
        "\n"
        "## round trips of 64 bytes (1/s, more is better)\n"
        "\n"
        "| peer | median | range | × bore |\n"
        "| --- | --- | --- | --- |\n"
        "| bore | 51 | 50 … 52 |  |\n"
        "| underpass | 76.5 | 75 … 78 | 1.50 |\n"
        "| chisel | the echo broke off |  |  |\n"
    )


def test_a_missed_figure_says_by_how_much() -> None:
    text = tables([figures(bore=[100], underpass=[80])], {}, {}, "a machine", 1)
    assert "| round trips of 64 bytes | underpass | bore | 1.00 | 0.80 | missed by 20% |" in text


def test_every_figure_to_reach_is_of_a_workload_that_is_measured() -> None:
    measured = {workload.name for workload in WORKLOADS} | {*COMMANDS, FIRST_PROOF}
    measured |= {name for group in GROUPS for name in group.names}
    assert {target.workload for target in (*TARGETS, *LIMITS)} <= measured


def test_a_limit_is_kept_or_missed_by_the_median() -> None:
    one = Figures("CPU of underpass --help", "ms", "less")
    for value in (90.0, 300.0, 120.0):
        one.add("underpass", value)
    row = "| CPU of underpass --help | underpass |  | at most 150 ms | 120 ms | met |"
    assert row in tables([one], {}, {}, "a machine", 3)
    one.add("underpass", 600.0)
    assert "| at most 150 ms | 210 ms | missed by 40% |" in tables([one], {}, {}, "a machine", 4)


def test_the_file_has_samples_medians_and_ratios() -> None:
    assert figures(underpass=[2.0], bore=[1.0]).to_dict()["peers"] == {
        "underpass": {"median": 2.0, "samples": [2.0], "ratios": {"bore": 2.0}},
        "bore": {"median": 1.0, "samples": [1.0], "ratios": {}},
    }
