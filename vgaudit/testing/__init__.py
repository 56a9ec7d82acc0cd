"""For authors of metrics: :func:`check_metric` holds a metric against every promise vgaudit makes for it.

    from vgaudit.testing import check_metric

    def test_my_metric_keeps_its_promises():
        check_metric(MyMetric, MyOptions(threshold=0.2))

Small real clips go through the extractors the metric names. Where weights are not at hand, pass ``features``.
A broken promise raises :class:`AssertionError` with a sentence that names it.
"""

from vgaudit.testing.bench import FeatureMaker, example_clips
from vgaudit.testing.check import check_metric

__all__ = ["FeatureMaker", "check_metric", "example_clips"]
