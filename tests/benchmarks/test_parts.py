"""What cannot be measured is told with its reason beside what was; plots and the fitted page come from the figures."""

from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import measure_part, measure_repeat
from benchmarks.capacity import BEGIN, END, PAGE, page_part, write_page
from benchmarks.chart import charts_of, draw
from benchmarks.plan import Plan, Sample, Section, Table, quick_plan
from benchmarks.report import Results
from benchmarks.server import Server
from benchmarks.workloads import WORKLOADS, Workload


async def missing(plan, folder):
    raise OSError("no such program | here")


async def there(plan, folder):
    return [Table("there", "There", ["a"], [["1"]], [{"a": 1}])]


async def test_a_part_that_fails_is_told_with_its_reason_and_the_next_is_measured(tmp_path):
    results = Results(quick_plan())
    await measure_part(results.plan, "missing", missing, tmp_path, results)
    await measure_part(results.plan, "there", there, tmp_path, results)
    text = results.markdown()
    assert "| missing | OSError: no such program / here |" in text
    assert "## There" in text
    assert set(results.took) == {"missing", "there"}


async def test_a_part_for_which_no_time_is_left_is_not_begun(tmp_path):
    plan = Plan(**{**vars(quick_plan()), "began_at": -1e9})
    results = Results(plan)
    await measure_part(plan, "there", there, tmp_path, results)
    assert results.tables == []
    assert results.skipped[0][0] == "there"


async def test_a_repeat_that_fails_is_taken_back_whole(tmp_path):
    plan, [work] = quick_plan(), [one for one in WORKLOADS if one.key == "W3"]
    section = Section("W3", "", "bare Starlette")
    section.row("host", 32).samples.append(Sample(per_second=1.0))
    results = Results(plan)
    unreachable = Workload("W3", "", lambda number: 1 / 0, work.callers)
    await measure_repeat(plan, unreachable, section, [Unreachable(tmp_path)], 1, tmp_path, results)
    assert [(row.subject, len(row.samples)) for row in section.rows] == [("host", 1)]
    assert [what for what, _ in results.skipped] == ["W3, repeat 2"]


class Unreachable(Server):
    name = "host"

    def cpu(self):
        return 0.0, 0.0


def test_a_plot_is_a_picture_of_every_line():
    drawn = draw("Times", "runs", "us", {"claim": [(1e3, 700.0), (1e6, 710.0)], "page": [(1e3, 50.0)]})
    root = ElementTree.fromstring(drawn)
    assert len(root.findall("{*}polyline")) == 2
    assert len(root.findall("{*}circle")) == 3
    assert charts_of({"growth": [{"ended_runs": 1_000, "claim_us": 1.0}], "footprint": []}) == {}


def figures(at_one, at_some, at_many):
    rows = [
        {"subject": "host", "callers": callers, "per_second": rate}
        for callers, rate in ((1, at_one), (32, at_some), (128, at_many))
    ]
    machine = {"at": "today", "commit": "abc", "processor": "one", "load_average": 0.1}
    return {"machine": machine, "workloads": [{"key": "W1", "rows": rows}]}


def test_what_follows_the_model_is_predicted_and_what_does_not_is_off():
    rates = [callers / (250e-6 + callers * 100e-6) for callers in (1, 32, 128)]
    assert "off by a factor of 1.00" in page_part(figures(*rates))
    assert "off by a factor of 2.00" in page_part(figures(rates[0], rates[1] / 2, rates[2]))


def test_the_page_keeps_what_stands_around_the_fitted_table(tmp_path):
    page = tmp_path / "scale.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    write_page(page, figures(2_000.0, 8_000.0, 9_000.0))
    before, after = (one.read_text(encoding="utf-8") for one in (PAGE, page))
    assert before.split(BEGIN)[0] == after.split(BEGIN)[0]
    assert before.split(END)[1] == after.split(END)[1]
    assert "stateless run (W1)" in after
    page.write_text("nothing")
    with pytest.raises(ValueError, match="unpack"):
        write_page(page, figures(2_000.0, 8_000.0, 9_000.0))
