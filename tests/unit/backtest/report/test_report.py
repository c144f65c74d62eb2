"""The report as a file: what it draws is what was recorded, and it asks the network for nothing."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess

import pytest

from mm_backtest.report import page, write
from mm_backtest.report.fill_charts import fill_charts
from mm_backtest.report.summary import label_of, rows
from mm_backtest.report.time_charts import time_charts
from mm_backtest.report.view import prepare
from support import recordings

PICTURES = ("market", "inventory", "equity", "markouts", "queue", "latency")


class Document(html.parser.HTMLParser):
    """Collects figures by chart, resource attributes and visible text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.figures, self.resources, self.text, self._script = {}, [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._script = given.get("data-for", "") if tag == "script" else "" if tag == "style" else None
        self.resources += [value for key, value in attrs if key in {"src", "href", "srcset", "action", "data"}]

    def handle_endtag(self, tag):  # noqa: ARG002
        self._script = None

    def handle_data(self, text):
        if self._script:
            self.figures[self._script.removeprefix("chart-")] = json.loads(text, parse_constant=_no_number)
        elif self._script is None:
            self.text += text


def _no_number(word):
    raise AssertionError(f"{word} in a figure: browsers refuse it")


def _written(tmp_path, recording):
    write(recording, tmp_path)
    return Document((tmp_path / "report.html").read_text())


def _trace(document, chart, name):
    return next(trace for trace in document.figures[chart]["data"] if trace["name"] == name)


@pytest.fixture(scope="module")
def made():
    return recordings.recording(halted=True)


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "made-by-the-report"
    write(made, out)
    return out


@pytest.fixture(scope="module")
def document(folder):
    return Document((folder / "report.html").read_text())


def test_the_market_chart_draws_the_recorded_touch_quotes_and_fills(made, document):
    times = [sample.time_ms for sample in made.samples]
    for name, values in (
        ("mid", [(sample.bid + sample.ask) / 2 for sample in made.samples]),
        ("our best bid", [sample.own_bid for sample in made.samples]),
        ("our best ask", [sample.own_ask for sample in made.samples]),
    ):
        trace = _trace(document, "market", name)
        assert (trace["x"], trace["y"]) == (times, values)
    for name, side in (("bought", "BUY"), ("sold", "SELL")):
        trace = _trace(document, "market", name)
        drawn = list(zip(trace["x"], trace["y"], strict=True))
        assert drawn == [(fill.time_ms, fill.price) for fill in made.fills if fill.side == side]


def test_a_side_without_a_quote_is_a_gap_in_its_line(made, document):
    assert None in _trace(document, "market", "our best bid")["y"]
    assert _trace(document, "market", "our best bid")["connectgaps"] is False


def test_drawn_fees_and_funding_add_up_to_net(made, document):
    gross, fees, funding, net = (_trace(document, "equity", name)["y"] for name in ("gross", "fees", "funding", "net"))
    assert fees == [-sample.fees for sample in made.samples]
    assert net == pytest.approx([sum(parts) for parts in zip(gross, fees, funding, strict=True)])
    assert _trace(document, "inventory", "position")["y"] == [sample.position for sample in made.samples]


def test_the_markout_curve_starts_at_the_captured_spread(made, document):
    curve = next(trace for trace in document.figures["markouts"]["data"] if trace["name"].startswith("buys"))
    buys = [fill for fill in made.fills if fill.side == "BUY"]
    captured = sum(1e4 * (fill.mid - fill.price) / fill.mid for fill in buys) / len(buys)
    late = [1e4 * (fill.markouts[1] - fill.price) / fill.mid for fill in buys if fill.markouts[1] is not None]
    assert dict(zip(curve["x"], curve["y"], strict=True))["at the fill"] == pytest.approx(captured)
    assert dict(zip(curve["x"], curve["y"], strict=True))["5 s"] == pytest.approx(sum(late) / len(late))


def test_every_chart_over_time_shades_the_halt_and_names_it_once(made, document):
    halt = next(band for band in made.risk_bands if band.state == "halted")
    for chart in ("market", "inventory", "equity", "markouts-per-fill"):
        shapes = [shape for shape in document.figures[chart]["layout"]["shapes"] if shape["name"] == "risk: halted"]
        assert [(shape["x0"], shape["x1"], shape["showlegend"]) for shape in shapes] == [
            (halt.start_ms, halt.end_ms, True)
        ]


def test_latency_bars_count_every_request(made, document):
    assert sum(_trace(document, "latency", "requests")["y"]) == len(made.entry_latencies_ms)


def test_every_entry_of_the_summary_is_on_the_page(made, document):
    for label, value in rows(prepare(made)):
        assert label in document.text
        assert value in document.text
    assert made.summary["decisionsSha256"] in document.text


def test_a_halted_run_says_so_on_top(document):
    assert "The run ended in the risk state halted" in document.text
    assert "stop loss: -20.4 USDT </script> & more" in document.text


def test_no_resource_is_outside_and_the_page_forbids_itself_any(document, made, folder):
    assert [value for value in document.resources if value] == []
    text = (folder / "report.html").read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|'self'", policy)
    own = page.document(prepare(made), []).replace(page.get_plotlyjs(), "")
    assert not re.search(r"https?://|//[a-z]+\.[a-z]+/|@import|url\(", own)


def test_pictures_are_drawn_without_a_browser(folder):
    for name in PICTURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("recording", "sentence"),
    [
        (recordings.empty(), "The run ended before the first sample was taken."),
        (recordings.recording(fill_share=0.0), "No fills in this run."),
        (recordings.recording(samples=1, fill_share=0.0), "No fills in this run."),
    ],
    ids=["nothing", "no-fills", "one-sample"],
)
def test_where_there_is_nothing_to_draw_a_sentence_says_why(tmp_path, recording, sentence):
    document = _written(tmp_path, recording)
    assert sentence in document.text
    assert all((tmp_path / f"{name}.png").exists() for name in PICTURES)


def test_a_long_run_is_thinned_and_the_page_says_so(tmp_path):
    recording = recordings.recording(samples=20_000)
    document = _written(tmp_path, recording)
    drawn = len(_trace(document, "market", "mid")["x"])
    assert drawn < 6_500
    assert f"{drawn:,} of 20,000 samples" in document.text
    assert f"{len(recording.fills):,}" in document.text


def test_numbers_that_are_none_never_reach_a_figure(tmp_path):
    recording = recordings.recording(samples=50)
    recording.samples[10].equity = float("nan")
    recording.entry_latencies_ms.append(float("inf"))
    document = _written(tmp_path, recording)
    assert len(_trace(document, "equity", "net")["x"]) == 49


def test_labels_of_the_summary_read_as_words():
    assert label_of("maxAbsPosition", base="ETH") == "Largest position, ETH"
    assert label_of("decisionsSha256") == "SHA-256 of the decisions"
    assert label_of("queueModel") == "Queue model"


def test_every_chart_has_a_name_of_its_own(made):
    names = [chart.name for chart in (*time_charts(prepare(made)), *fill_charts(prepare(made)))]
    assert len(set(names)) == len(names) == 10


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here to open the report in")
def test_a_browser_draws_every_chart_at_phone_width_without_the_network_or_scrolling_sideways(tmp_path, folder):
    # In a frame exactly as wide as a phone: a browser window cannot be made that narrow. What the page became is read back
    # from it; a script that failed or a fetch would have left charts out.
    frame = tmp_path / "phone.html"
    frame.write_text(
        "<output></output><script>onmessage = (event) => { document.querySelector('output').textContent = event.data }</script>"
        '<iframe style="width:390px;height:3000px;border:0" src="report.html"></iframe>'
    )
    told = (
        "<script>parent.postMessage(document.querySelectorAll('.plot-container').length + ' charts, '"
        " + document.documentElement.scrollWidth + ' wide of ' + document.documentElement.clientWidth, '*')</script></body>"
    )
    (tmp_path / "report.html").write_text((folder / "report.html").read_text().replace("</body>", told))
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--virtual-time-budget=20000", "--dump-dom",
         f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()],
        check=True, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    charts, wide, available = map(
        int, re.search(r"<output>(\d+) charts, (\d+) wide of (\d+)</output>", done.stdout).groups()
    )
    assert charts == 10
    assert wide <= available
