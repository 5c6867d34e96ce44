"""What the demo shows while it runs."""

import io

from rich.console import Console

from freshet.demo.client import Client
from freshet.demo.evaluation import PageView
from freshet.demo.live import dashboard
from freshet.demo.measurements import Measurements


def test_the_dashboard_fits_eighty_columns() -> None:
    """Nothing is cut, with long figures too."""
    views = [PageView(n, False, False, n / 10, (0.5,) * 5, (0.5,) * 5) for n in range(300)]
    measured = Measurements(events=1_234_567, rank_s=[0.1234] * 9, freshness_s=[1.2345] * 9)
    measured.views = views
    for clicks in (measured.items, measured.sellers):
        clicks.listed = dict.fromkeys(range(1500), 0.0)
        clicks.clicked = dict.fromkeys(range(1400), 12.3)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with console.capture() as shown:
        console.print(dashboard(Client("http://localhost"), measured, 30.0, 60.0))
    text = shown.get()
    assert "click → next ranking" in text
    assert "…" not in text
    assert "█" * 20 in text
    assert max(map(len, text.splitlines())) <= 80
