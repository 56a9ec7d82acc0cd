"""Checks pages of reports with axe-core: what a screen reader, a keyboard or a weak eye would stumble over.

    with Browser(dark=True) as browser:
        browser.open(page)
        assert violations(browser) == []

``axe.min.js`` comes with the package ``axe-playwright-python``. It is put into the page through the debugger, because
the page's own policy lets no foreign script in. axe's ``preload`` is off: it would load the style sheets once more,
which that policy forbids too.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from tests.browser import Browser

IMPACTS = ("minor", "moderate", "serious", "critical")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_RUN = """
(async () => {
  const options = {runOnly: {type: "tag", values: RULES}, resultTypes: ["violations"], preload: false};
  const found = await axe.run(document, options);
  return found.violations.map((rule) => ({
    id: rule.id,
    impact: rule.impact,
    help: rule.help,
    nodes: rule.nodes.map((node) => [node.target.join(" "), node.html.slice(0, 160), node.failureSummary]),
  }));
})()
"""


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


def violations(browser: Browser, at_least: str = "moderate", details: bool = True) -> list[str]:
    """What axe-core finds wrong in the page that is open.

    Args:
        browser: A browser with scripts.
        at_least: The least impact that counts: ``minor``, ``moderate``, ``serious`` or ``critical``.
        details: Open all ``details`` of the page first: what is folded away is not looked at.

    Returns:
        One text per rule: impact, name, what it asks, and the first elements that break it.
    """
    if details:
        browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    if not browser.run("typeof axe === 'object'"):
        browser.run(f"{_axe()};0")
    found: list[dict[str, Any]] = browser.run(_RUN.replace("RULES", json.dumps(RULES)))
    counting = IMPACTS[IMPACTS.index(at_least) :]
    return [_words(rule) for rule in found if rule["impact"] in counting]


def _words(rule: dict[str, Any]) -> str:
    nodes = "".join(f"\n  {target}: {html}\n    {why}" for target, html, why in rule["nodes"][:5])
    return f"{rule['impact']} {rule['id']} ({len(rule['nodes'])}): {rule['help']}{nodes}"
