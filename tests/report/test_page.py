"""The page: what it says about evidence of every kind, and that it never says something else."""

import base64
import hashlib
import re
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from ilr.report.advice import command
from ilr.report.ci.junit import render_junit
from ilr.report.evidence import ClaimEvidence, Evidence
from ilr.report.page.html import render_html
from ilr.report.page.sentences import answer, of_run
from ilr.report.svg.inline import Figure
from tests.report.reading import Page, with_claims
from tests.sample_evidence import claim, control, figure, finding, in_schema_1, prediction, sample_evidence, typed

ELSEWHERE = ("https://arxiv.org/abs/", "https://www.offconvex.org/", "https://papers.neurips.cc/")
"""Where the page's links may lead."""


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_html(typed(sample_evidence())))


def test_the_page_loads_and_runs_nothing(page: Page) -> None:
    text = render_html(typed(sample_evidence()))
    assert text.lower().count("<script") == 1
    digest = base64.b64encode(
        hashlib.sha256(text.split("<script>")[1].split("</script>")[0].encode()).digest()
    ).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert not re.search(r"url\((?!['\"]?#)|@import", text)
    assert {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "img"} == set()
    for attribute in ("src", "xlink:href", "srcset", "action"):
        assert not page.values(attribute)
    for value in page.values("href"):
        assert value.startswith(("#", *ELSEWHERE)) or value == "evidence.json"
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_ids_are_unique_and_every_reference_finds_its_own(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    references = [value.removeprefix("#") for value in page.values("href") if value.startswith("#")]
    references += page.values("aria-labelledby") + page.values("aria-describedby")
    references += re.findall(r"url\(#([^)]*)\)", render_html(typed(sample_evidence())))
    assert len(references) > len(sample_evidence()["claims"])
    assert set(references) <= set(ids)


def test_two_figures_share_neither_a_name_nor_a_class() -> None:
    text = figure("a", "b")
    assert "<clipPath" in text
    named = []
    for prefix in ("one-", "two-"):
        drawn = "".join(panel.svg for panel in Figure.parse(text, prefix).panels)
        ids = re.findall(r' id="([^"]*)"', drawn)
        assert len(ids) == len(set(ids))
        references = re.findall(r'(?:url\(|href=")#([\w-]+)', drawn)
        assert references
        assert set(references) <= set(ids)
        classes = re.findall(r"\.([\w-]+)\{", drawn)
        assert set(re.findall(r' class="([^"]*)"', drawn)) == set(classes)
        named.append({*ids, *classes})
        assert all(name.startswith(prefix) for name in named[-1])
    assert not named[0] & named[1]


@pytest.mark.parametrize("number", range(len(sample_evidence()["claims"])))
def test_the_section_of_a_claim_tells_all_of_it(page: Page, number: int) -> None:
    told = sample_evidence()["claims"][number]
    text = page.text(f"claim-{told['id']}")
    for part in ("title", "verdict", "statement"):
        assert " ".join(told[part].split()) in text
    assert told["record_sha256"][:12] in text
    assert all(part.strip() in text for part in told["source"].split(";"))
    for found in told["findings"] + [found for one in told["controls"] for found in one["findings"]]:
        assert found["name"] in text
        assert found["rule"] in text
        assert found["verdict"] in text
    for one in told["controls"]:
        name = one["name"].replace("-", " ")
        assert f"Control: {name} {'sound' if one['sound'] else 'not sound'}" in text
        assert one["takes_away"] in text
        assert one["message"] in text
    for registered in told["record"]["predictions"]:
        assert registered["quantity"] in text
        assert registered["reason"] in text
    for digest in told["experiments"]:
        assert digest[:12] in text
    assert told["message"].split("\n")[0] in text


def test_the_overview_counts_and_links_every_claim(page: Page) -> None:
    assert "2 REPRODUCED , 1 REFUTED , 1 INCONCLUSIVE , 1 UNSOUND , 1 ERROR , 1 NOT RUN" in page.text()
    told = "2 of 7 claims reproduced, 1 undecided, 1 refuted, 1 unsound, 1 not judged, by an error, 1 not run"
    assert f"{told}; 3 of the 3 decided also stand jointly." in page.text()
    for one in sample_evidence()["claims"]:
        assert f"#claim-{one['id']}" in page.values("href")
    assert "2 of 2 controls not sound" in page.text()


def test_where_none_stands_jointly_it_says_so_of_each() -> None:
    told = of_run(claims := [judged("REPRODUCED", "REPRODUCED")] * 2, claims)
    assert told.startswith("2 of 2 claims reproduced, 0 undecided, 0 refuted; each verdict by itself, as none would ")


def test_claims_of_one_title_are_told_by_their_ids() -> None:
    alike = [claim(name, "REFUTED", title="The norm never falls") for name in ("with-lars", "with-lion")]
    other = claim("other", "REFUTED", title="Another")
    text = Page(render_html(typed(sample_evidence() | {"claims": [*alike, other]}))).text()
    for name in ("with-lars", "with-lion"):
        # Among the contents and in the table of verdicts.
        assert text.count(f"The norm never falls ({name})") == 2
    assert "Another (other)" not in text


def test_provenance_is_on_the_page(page: Page) -> None:
    provenance = sample_evidence()["provenance"]
    for part in ("ilr", "git", "python", "torch", "device", "cpu", "claims_sha256"):
        assert provenance[part] in page.text()
    assert provenance["data"]["digits"]["sha256"] in page.text()
    for part in (
        "scale tiny, root seed 0",
        "21 November 2026, 23:30 UTC, in 2 min 21 s",
        "20 November 2026 to 21 November 2026",
        "torch 2.13.0, 2.14.1",
        "Trained by more than one version of torch: 2.13.0, 2.14.1.",
        "240 replicas in 5 experiments, 1 min 0 s of training",
        "MLP 64-32-32-32-10",
        "pytest claims --scale=tiny --seed=0 --replicas=48",
    ):
        assert part in page.text()


def test_an_inconclusive_finding_says_what_would_decide(page: Page) -> None:
    text = page.text("claim-average-beats-single")
    assert "would need n = 1,240 replicas" in text
    assert "no practical number of replicas would decide" in text


def test_the_p_values_shown_are_those_that_decided(page: Page) -> None:
    # To be REPRODUCED every finding must pass, which needs no correction; REFUTED is corrected by Holm.
    assert "p of “outside” 0.031, of “inside” >0.999" in page.text("claim-average-beats-single")
    assert "after Holm’s correction over 2 findings" in page.text("claim-average-beats-single")
    assert "Holm" not in page.text("claim-heavy-tailed-noise")


def test_text_is_escaped() -> None:
    attack = '<script>alert("1")</script><img src=x onerror=y>'
    evidence = sample_evidence()
    evidence["scale"] = evidence["provenance"]["cpu"] = attack
    for told in evidence["claims"]:
        told |= dict.fromkeys(("title", "source", "statement", "message"), attack)
        told["id"] += '"><b>'
        for found in told["findings"]:
            found |= {"name": attack, "rule": attack}
    text = render_html(typed(evidence))
    assert text.count("<script") == 1
    assert "<img" not in text
    assert attack in Page(text).text()


def svg(inside: str, attributes: str = "") -> str:
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9"'
    return f"<svg {names} {attributes}>{inside}</svg>"


def test_a_figure_brings_its_caption_its_words_and_its_table() -> None:
    text = "<title>λ &lt; 1</title><desc>From 1 to 2.</desc><style>* {display: none}</style>"
    text += '<metadata id="csv">x,y\n1,2</metadata><path d="M0.12345 0" style="stroke: #000000; fill: url(#a)"/>'
    drawn = Figure.parse(svg(text + '<image xlink:href="data:image/png;base64,AA"/>'), "f-")
    assert (drawn.caption, drawn.description, drawn.csv) == ("λ < 1", "From 1 to 2.", "x,y\n1,2")
    [panel] = drawn.panels
    assert panel.svg == (
        '<svg viewBox="0 0 9 9" aria-hidden="true">'
        '<path d="M.12 0" style="stroke:var(--ink,#000000);fill:url(#f-a)" />'
        '<image href="data:image/png;base64,AA" /></svg>'
    )


@pytest.mark.parametrize(
    ("hostile", "wrong"),
    [
        ("<script>a()</script>", "it holds <script>"),
        ("<foreignObject>b</foreignObject>", "it holds <foreignObject>"),
        ('<meta http-equiv="refresh" content="0"/>', "it holds <meta>"),
        ('<a href="https://example.org/"/>', "it holds <a>"),
        ('<animate attributeName="href"/>', "it holds <animate>"),
        ('<h:p xmlns:h="http://www.w3.org/1999/xhtml"/>', "it holds <p>"),
        ('<path onclick="a()"/>', "its <path> has the attribute onclick"),
        ('<path style="background: red"/>', "its <path> has the style background"),
        ('<path style="fill: url(https://example.org/)"/>', "a value of its <path> refers to something outside of it"),
        ('<path fill="URL(//example.org/)"/>', "a value of its <path> refers to something outside of it"),
        (r'<path style="fill: \75rl(//example.org/)"/>', "a value of its <path> refers to something outside of it"),
        ('<path fill="image-set(1)"/>', "a value of its <path> refers to something outside of it"),
        ('<use xlink:href="//example.org/"/>', "its <use> refers to something outside of it"),
        ('<use xlink:href="data:image/svg+xml,a"/>', "its <use> refers to something outside of it"),
        ('<image xlink:href="data:image/svg+xml,a"/>', "its <image> refers to something outside of it"),
    ],
)
def test_what_no_figure_needs_is_refused_in_one_line(hostile: str, wrong: str) -> None:
    evidence = with_claims([claim("one", "NOT RUN", figures=[svg(hostile)])])
    with pytest.raises(ValueError, match=rf"^figure 1 of the claim 'one' is no figure: {re.escape(wrong)}$"):
        render_html(evidence)


def test_a_figure_that_declares_entities_is_refused() -> None:
    bomb = '<!DOCTYPE svg [<!ENTITY a "aaaa">]>' + svg("<text>&a;</text>")
    with pytest.raises(ValueError, match="declares an entity"):
        render_html(with_claims([claim("one", "NOT RUN", figures=[bomb])]))


@pytest.mark.parametrize("text", ["", "<svg", "plain", "<html/>", '<x xmlns="urn:x"/>'])
def test_what_is_not_a_figure_is_refused_by_name(text: str) -> None:
    evidence = with_claims([claim("one", "NOT RUN", figures=[text])])
    with pytest.raises(ValueError, match=r"^figure 1 of the claim 'one' is no[^\n]*$"):
        render_html(evidence)


def test_a_message_is_shown_without_its_terminal_colours() -> None:
    message = "\x1b[31mred\x1b[0m"
    text = render_html(with_claims([claim("one", "ERROR", message=message)]))
    assert "\x1b" not in text
    assert "Could not be judged: red." in Page(text).text("claim-one")


def test_evidence_without_claims_has_a_page() -> None:
    assert "0 claims" in Page(render_html(with_claims([]))).text()
    assert ElementTree.fromstring(render_junit(with_claims([])))[0].get("tests") == "0"


def test_a_claim_that_was_not_judged_still_shows_its_controls() -> None:
    told = claim("one", "ERROR")
    told["record"]["controls"] = [{"record": "Control", "name": "no-decay", "takes_away": "The decay."}]
    text = Page(render_html(with_claims([told]))).text("claim-one")
    assert "Control, registered and not judged: no decay The decay." in text


def test_the_history_of_a_claim_is_folded_and_complete(page: Page) -> None:
    text = page.text("claim-lr-drop-square-root-law")
    assert "History: 2 attempts, 1 regime tried" in text
    assert (
        "MLP 32-32-32, 12 replicas a group 2026-11-20 tiny seed 13 4f1c0de INCONCLUSIVE its report was not kept" in text
    )
    assert "MLP 32-32-32, 48 replicas a group 2026-11-21 tiny seed 0 REPRODUCED" in text
    assert "tiny, exploratory seeds 7 and 8. λ = 0.2: the net <collapses>" in text
    assert "An earlier report found a larger ratio." in text
    assert "History" not in page.text("claim-heavy-tailed-noise")


def test_figures_of_no_claim_stand_in_the_appendix() -> None:
    evidence = sample_evidence()
    assert "appendix" not in render_html(typed(evidence))
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><title>Cost against replicas.</title><text>40</text></svg>'
    page = render_html(typed(evidence | {"appendix": [drawing]}))
    assert "<p>Cost against replicas.</p>" in page
    with pytest.raises(ValueError, match="figure 1 of the appendix is no"):
        render_html(typed(evidence | {"appendix": ["no drawing"]}))


# --- conclusions

OPPOSITES = {
    "REPRODUCED": r"^Yes\b",
    "REFUTED": r"^No:",
    "INCONCLUSIVE": r"^Undecided:",
    "UNSOUND": r"^Not shown:",
    "ERROR": r"^Could not be judged:",
    "NOT RUN": r"^Not run:",
}
"""How the answer to a claim begins, for each verdict."""


def judged(verdict: str, *verdicts: str, **changes: Any) -> ClaimEvidence:
    """A claim with a finding of each of some verdicts."""
    findings = [finding(f"quantity {i}", one, replicas_needed=96) for i, one in enumerate(verdicts)]
    return msgspec.convert(claim("one", verdict, findings=findings, **changes), ClaimEvidence)


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (
            judged("REPRODUCED", "REPRODUCED"),
            "Yes: {0}.",
        ),
        (
            judged("REPRODUCED", "REPRODUCED", "REPRODUCED"),
            "Yes, in all 2 findings. Nearest to its bound: {0}.",
        ),
        (
            judged("REFUTED", "REPRODUCED", "REFUTED", "REFUTED"),
            "No: {1}; 1 of the other 2 findings is refuted, too.",
        ),
        (
            judged("REFUTED", "REFUTED", "REFUTED", "REFUTED"),
            "No: {0}; the other 2 findings are refuted, too.",
        ),
        (
            judged("INCONCLUSIVE", "INCONCLUSIVE", "INCONCLUSIVE"),
            "Undecided: {0}; the other finding is undecided, too.",
        ),
        (
            judged("INCONCLUSIVE", "REPRODUCED", "INCONCLUSIVE"),
            "Undecided: {1}.",
        ),
        (
            judged("INCONCLUSIVE", "REPRODUCED", message="its control 'own' is not refuted: undecided"),
            "Undecided: its control 'own' is not refuted: undecided.",
        ),
        (
            judged("UNSOUND", "REPRODUCED", controls=[control("no-decay", "The decay.", "REPRODUCED")]),
            "Not shown: with “no decay” the test came out the same, so it could not have failed.",
        ),
        (judged("ERROR", message="RuntimeError: x\nmore"), "Could not be judged: RuntimeError: x."),
        (judged("NOT RUN", message="It runs at full only."), "Not run: It runs at full only."),
    ],
)
def test_an_answer_is_made_of_the_verdict_and_its_findings(told: ClaimEvidence, text: str) -> None:
    numbers = "“quantity {}” is 0.320 (0.311 to 0.328), accepted: 0.2862 to 0.3462"
    assert answer(told) == text.format(numbers.format(0), numbers.format(1))


@pytest.mark.parametrize("verdict", OPPOSITES)
def test_no_sentence_about_a_claim_contradicts_its_verdict(verdict: str) -> None:
    of_findings = {"REPRODUCED": "REPRODUCED", "REFUTED": "REFUTED", "INCONCLUSIVE": "INCONCLUSIVE"}.get(verdict)
    findings = [finding("growth", of_findings)] if of_findings else []
    drawn = figure("The norm", "The norm of the weights against the step.")
    told = claim("one", verdict, findings=findings, figures=[drawn], predictions=[prediction("growth")])
    evidence = with_claims([told])
    text = Page(render_html(evidence)).text("claim-one")
    said = answer(evidence.claims[0])
    assert said in text
    assert re.match(OPPOSITES[verdict], said)
    for other, beginning in OPPOSITES.items():
        if other != verdict:
            assert not re.search(beginning.removeprefix("^"), text)
            assert other not in text


def test_a_claim_is_asked_by_its_own_question_where_it_has_one() -> None:
    told = claim("one", "NOT RUN", title="The norm grows")
    assert "The norm grows?" in Page(render_html(with_claims([told]))).text("claim-one")
    told["record"] |= {
        "question": "Does the norm grow?",
        "differs": {"record": "Differs", "tiny": "the net, which is smaller.", "reduced": "", "full": "another net."},
    }
    text = Page(render_html(with_claims([told]))).text("claim-one")
    assert "Does the norm grow?" in text
    assert "Differs from the paper in the net, which is smaller." in text
    assert "another net" not in text


def test_claims_stand_in_the_order_of_the_documents() -> None:
    sources = [
        "review 2, question 9",
        "blog post, introduction",
        "a lecture",
        "paper, figure 5",
        "blog post, figure 1a",
    ]
    told = [claim(f"claim-{number}", "NOT RUN", source=source) for number, source in enumerate(sources)]
    page = Page(render_html(with_claims(told)))
    ids = [value for value in page.values("id") if value.startswith("claim-claim")]
    assert ids == [f"claim-claim-{number}" for number in (4, 3, 1, 0, 2)]
    assert "The original shows gradient descent on a toy loss" not in page.text("claim-claim-4")


def test_the_figure_of_the_document_is_told_beside_ours() -> None:
    told = claim("one", "NOT RUN", source="blog post, figure 1b and 1c", figures=[figure("Loss", "The loss.")])
    text = Page(render_html(with_claims([told]))).text("claim-one")
    assert "The original shows a ResNet on 1,000 CIFAR-10 images" in text
    assert "Ours shows. The loss." in text


def test_what_needs_attention_comes_first_with_the_next_step(page: Page) -> None:
    text = page.text("top")
    order = [text.index(word) for word in ("No: “tail index", "Not shown: with", "Could not be judged", "Undecided:")]
    assert order == sorted(order)
    assert "pytest claims/test_full_batch_spikes.py --scale=tiny --seed=0 --replicas=48" in text
    assert "More replicas do not help, as an estimate lies too near the edge of what is accepted." in text


def test_what_deciding_would_cost_is_said() -> None:
    evidence = sample_evidence()
    evidence["claims"][3]["findings"][1]["replicas_needed"] = 480
    text = Page(render_html(typed(evidence))).text("claim-average-beats-single")
    assert re.search(r"About 1,240 replicas a group would decide, with about .* of training more, at one look", text)


def source_of(**provenance: str) -> tuple[str, list[str]]:
    """What the page says of the place of a claim's file, and the links that lead to it."""
    evidence = sample_evidence()
    evidence["provenance"] |= provenance
    page = Page(render_html(typed(evidence)))
    links = [value for value in page.values("href") if "test_heavy_tailed_noise" in value]
    return page.text("claim-heavy-tailed-noise"), links


def test_the_source_of_a_claim_is_linked_at_its_commit() -> None:
    text, links = source_of(repository="https://git.example.org/group/ilr")
    commit = sample_evidence()["provenance"]["git"].split()[0]
    assert links == [f"https://git.example.org/group/ilr/blob/{commit}/claims/test_heavy_tailed_noise.py"]
    assert "Written down in claims/test_heavy_tailed_noise.py at commit 4f1c0de" in text


@pytest.mark.parametrize(
    "provenance",
    [
        {"repository": ""},
        {"repository": "https://git.example.org/group/ilr", "git": ""},
        {"repository": "javascript:alert(1)//a/b"},
        {"repository": "https://name:password@git.example.org/group/ilr"},
        {"repository": 'https://git.example.org/" onclick="a'},
    ],
)
def test_where_no_address_is_known_the_path_is_said(provenance: dict[str, str]) -> None:
    text, links = source_of(**provenance)
    assert links == []
    assert "Written down in claims/test_heavy_tailed_noise.py" in text


@pytest.mark.parametrize(
    ("selected", "path"),
    [
        (["claims"], "claims/test_one_two.py"),
        (["mine/claims/"], "mine/claims/test_one_two.py"),
        (["mine/test_other.py::test_it"], "mine/test_one_two.py"),
        (["-k toy"], "claims/test_one_two.py"),
    ],
)
def test_the_command_repeats_one_claim(selected: list[str], path: str) -> None:
    evidence = sample_evidence()
    evidence["invocation"] |= {"selected": selected, "overrides": {"--no-train": "", "--data-root": "DIR"}}
    told = msgspec.convert(claim("one-two", "NOT RUN"), ClaimEvidence)
    assert command(told, typed(evidence)) == f"pytest {path} --scale=tiny --seed=0 --data-root=DIR"


def looked_twice() -> Evidence:
    first, second = finding("growth", "INCONCLUSIVE", estimate=0.35), finding("growth")
    told = claim("one", "REPRODUCED", findings=[second], looks_planned=[24, 48, 96])
    told["looks"] = [
        {"n": 24, "level": 0.00125, "findings": [first], "verdict": "INCONCLUSIVE", "controls": {}},
        {"n": 48, "level": 0.00125, "findings": [second], "verdict": "REPRODUCED", "controls": {}},
        {"n": 96, "level": 0.00125, "findings": [], "controls": {"own": "REFUTED"}},
    ]
    attempt = {"date": "2026-11-20", "scale": "reduced", "seed": 1, "commit": "", "regime": ""}
    told["history"]["attempts"] = [attempt | {"verdict": "INCONCLUSIVE"}]
    return with_claims([told])


def test_looks_and_other_scales_are_told() -> None:
    text = Page(render_html(looked_twice())).text()
    assert "24 0.00125 0.350 (0.311 to 0.328) INCONCLUSIVE 48 0.00125 0.320 (0.311 to 0.328) REPRODUCED" in text
    assert "96 0.00125 own: REFUTED controls only" in text
    assert "reduced: INCONCLUSIVE" in text


def test_settings_are_told_by_group(page: Page) -> None:
    text = page.text("claim-lr-drop-square-root-law")
    assert "net MLP 64-32-32-32-10 norm batch norm optimiser SGD data digits precision float32 B 32 η(t) 0.5" in text
    assert "λₑ, first → last 0.01 → 0.001 steps 6,000 replicas 48" in text
    assert "drop, drop, no normalisation" in text


def test_settings_of_schema_1_come_from_the_record() -> None:
    evidence = in_schema_1(sample_evidence()) | {"schema": 2}
    rate = {"record": "StepDecay", "initial": 0.5, "factor": 0.1, "at": [400, 800]}
    for told in evidence["experiments"].values():
        told["record"] = {"learning_rate": rate, "weight_decay": {"record": "Constant", "value": 0.04}}
    text = Page(render_html(typed(evidence))).text("claim-lr-drop-square-root-law")
    assert "η(t) StepDecay: initial 0.5, factor 0.1, at 400; 800" in text
    assert "λ(t) 0.04" in text
    assert "1 experiment" in text


def test_many_findings_are_folded_away_unless_they_decide() -> None:
    names = [finding(f"quantity {i}", "REFUTED" if i == 8 else "REPRODUCED") for i in range(9)]
    page = Page(render_html(with_claims([claim("one", "REFUTED", findings=names)])))
    text = page.text("claim-one")
    assert "6 more findings, all REPRODUCED" in text
    assert text.index("quantity 8") < text.index("6 more findings")


def test_two_claims_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^two claims have the same id$"):
        render_html(with_claims([claim("one", "NOT RUN"), claim("one", "NOT RUN")]))


HUGE = 1.7e308


@pytest.mark.parametrize("accepted", [[None, None], [-HUGE, HUGE], [0.0, 0.0], [None, 0.0], [0.0, None], [-HUGE, None]])
@pytest.mark.parametrize("interval", [[None, None], [-HUGE, HUGE], [0.0, 0.0], [5e-324, None]])
@pytest.mark.parametrize(("estimate", "margin"), [(0.0, 0.0), (HUGE, 0.0), (-HUGE, 5e-324), (5e-324, HUGE)])
def test_numbers_at_the_edge_of_what_there_is_have_a_page(
    accepted: list[float | None], interval: list[float | None], estimate: float, margin: float
) -> None:
    found = finding("x", estimate=estimate, interval=interval, accepted=accepted, margin=margin, expected=estimate)
    text = render_html(with_claims([claim("one", "REPRODUCED", findings=[found])]))
    assert not re.search(r"\b(nan|inf)\b", text.split("</style>")[1].split("<script>")[0])
