"""Write the report people read: index.html, a page per clip, media; one folder that needs no network.

Every page forbids inline scripts and styles and anything from elsewhere through its
Content-Security-Policy, and works from ``file://``, without JavaScript too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vgaudit.reports.clip_index import (
    KINDS_SHOWN,
    ClipMedia,
    clip_row,
    columns,
    kind_counts,
    page_stems,
    table_order,
    worst_findings,
)
from vgaudit.reports.clip_page import clip_pages, page_title
from vgaudit.reports.clip_table import DATA_FILE, ClipTable
from vgaudit.reports.comparison import comparison
from vgaudit.reports.data import ReportData
from vgaudit.reports.estimates import absent_metrics, result_blocks
from vgaudit.reports.filmstrips import strip_file, strip_of
from vgaudit.reports.likeness_page import FACES, Photographs, has_likeness, remove_likeness, write_likeness
from vgaudit.reports.likeness_pictures import PhotographCase
from vgaudit.reports.limits import limits
from vgaudit.reports.media import MediaFile, MediaFolder, prune
from vgaudit.reports.origins import origins
from vgaudit.reports.overview import gate_summary, remedies, sorted_gates, tiles, verdict_word
from vgaudit.reports.page_files import (
    CONTENT_SECURITY_POLICY,
    moment,
    page_environment,
    write_assets,
    write_page,
)
from vgaudit.reports.prompt_matrix_pages import has_matrix, write_matrix
from vgaudit.reports.prompt_page import write_prompt_pages
from vgaudit.reports.prompts import prompts_of
from vgaudit.reports.review_page import write_review

_EVIDENCE_SHOWN = 12


def write_html(data: ReportData, out_dir: Path, photos: Photographs | None = None) -> Path:
    """Write the report of a run.

    Writing again replaces what this function wrote before; files of others in ``out_dir`` stay, except
    directly in ``clips/``, ``media/`` and ``assets/``, which belong to this report.

    Args:
        data: The run. Media are taken from below ``data.run_dir`` only.
        out_dir: The report's folder, made if need be; usually ``data.run_dir / "report"``.
        photos: Photographs of gallery entries for the likeness page and the review page.

    Returns:
        Path of ``index.html``.

    Raises:
        OSError: The folder cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    stems = page_stems(data.clips)
    folder = MediaFolder(data.run_dir, out_dir / "media")
    shown = columns(data)
    rows = []
    for entry in data.clips:
        stem = stems[entry.sample.sample_id]
        facts = entry.clip.strip
        media = ClipMedia(
            folder.add(entry.clip.playable, stem),
            folder.add(entry.clip.poster, f"{stem}.poster"),
            strip_of(facts, folder.add(strip_file(facts), f"{stem}.strip")),
        )
        rows.append(clip_row(entry, stem, media, shown))
    prompts = prompts_of(data.clips, rows)
    groups = tuple(dict.fromkeys(row.group for row in rows))
    table = ClipTable(
        table_order(rows, data.kind == "census"),
        groups,
        data.kind == "census",
        prompt_pages={row.stem: prompt.href for prompt in prompts if prompt.stem for row in prompt.rows},
    )
    write_assets(out_dir / "assets", made={DATA_FILE: table.script()})
    environment = page_environment()
    common = {
        "data": data,
        "columns": shown,
        "csp": CONTENT_SECURITY_POLICY,
        "version": str(data.manifest.get("provenance", {}).get("vgaudit") or "unknown version"),
    }
    pages_dir = out_dir / "clips"
    pages_dir.mkdir(exist_ok=True)
    template = environment.get_template("clip.html")
    evidence = _evidence(data, stems, folder)
    for page in clip_pages(data, rows, evidence):
        text = template.render(**common, page=page, title=page_title(page), root="..")
        write_page(pages_dir / f"{page.row.stem}.html", text)
    prune(pages_dir, {f"{row.stem}.html" for row in rows})
    folder.prune()
    write_matrix(data, prompts, out_dir, environment, common)
    write_prompt_pages(data, prompts, out_dir, environment, common, has_matrix(data, prompts))
    table.write_pages(environment, out_dir, **common)
    by_id = {entry.sample.sample_id: row for entry, row in zip(data.clips, rows, strict=True)}
    case = PhotographCase(photos, MediaFolder(data.run_dir, out_dir / FACES)) if has_likeness(data) else None
    to_review = write_review(data, out_dir, environment, rows=by_id, evidence=evidence, case=case)
    if case is not None:
        write_likeness(data, out_dir, environment, stems=stems, case=case)
    else:
        remove_likeness(out_dir)
    blocks, kinds = result_blocks(data), kind_counts(data.clips)
    text = environment.get_template("index.html").render(
        **common,
        **table.names(),
        title=data.name,
        verdict_word=verdict_word(data),
        created=moment(data.manifest.get("created")),
        root=".",
        likeness=has_likeness(data),
        prompt_matrix=has_matrix(data, prompts),
        to_review=to_review,
        tiles=tiles(data),
        gates=sorted_gates(data.gates),
        gate_summary=gate_summary(data.gates),
        remedies=remedies(data),
        blocks=[block for block in blocks if block.is_gated or not block.is_equal],
        equal=[block for block in blocks if block.is_equal and not block.is_gated],
        absent=absent_metrics(data),
        comparison=comparison(data),
        worst=worst_findings(data.clips, by_id, decisions=data.decisions),
        kinds=kinds[:KINDS_SHOWN],
        more_kinds=len(kinds[KINDS_SHOWN:]),
        finding_total=sum(row.findings for row in rows),
        problems=table.problems(),
        origins=origins(data),
        limits=limits(data),
    )
    return write_page(out_dir / "index.html", text)


def _evidence(
    data: ReportData, stems: Mapping[str, str], folder: MediaFolder
) -> dict[str, dict[int, tuple[MediaFile, ...]]]:
    """Pictures of findings, by sample id and position of the finding."""
    out: dict[str, dict[int, tuple[MediaFile, ...]]] = {}
    for entry in data.clips:
        sample_id = entry.sample.sample_id
        for index, finding in enumerate(entry.findings):
            pictures = tuple(
                folder.add(path, f"{stems[sample_id]}.finding{index}-{i}")
                for i, path in enumerate(finding.evidence[:_EVIDENCE_SHOWN])
                if "#t=" not in path  # a span of the clip itself: the page's player shows it
            )
            if pictures:
                out.setdefault(sample_id, {})[index] = pictures
    return out
