"""Where a claim is made: which document, which figure of it, and so its place on the page and its links."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from ilr.report.evidence import ClaimEvidence, Provenance

PAPER = "https://arxiv.org/abs/2010.02916"
BLOG = "https://www.offconvex.org/2020/10/21/intrinsicLR/"
REVIEWS = "https://papers.neurips.cc/paper/2020/file/a7453a5f026fb6831d68bdc9cb0edcae-Review.html"

DOCUMENTS = (
    ("blog post", BLOG),
    ("paper", PAPER),
    ("review", REVIEWS),
    ("Li & Arora 2019", "https://arxiv.org/abs/1910.07454"),
    ("Wan et al. 2021", "https://arxiv.org/abs/2006.08419"),
)
"""How a claim's source names a document, and where that can be read."""

GROUPS = {"figures": "Figures", "laws": "Laws", "reviewers": "Reviewers’ questions", "others": "Other claims"}
"""The groups of claims in the order of the page, with their names."""

SHOWN = {
    "blog post, figure 1a": "gradient descent on a toy loss, x²/(x²+y²), unstable and chaotic with weight decay",
    "blog post, figure 1b": "a ResNet on 1,000 CIFAR-10 images under full-batch gradient descent: it reaches 100% "
    "training accuracy and veers off again and again, until weight decay is switched off at epoch 30,000",
    "blog post, figure 2": "a ResNet on CIFAR-10 (B = 128, λ = 0.0005, η ÷ 10 at each decay): the usual schedule, and "
    "one with a 100 times smaller initial η, which matches it after one more decay, at 5,000 epochs",
    "blog post, figure 3 left": "the test accuracy of a ResNet on CIFAR-10, and that of the average of its weights",
    "blog post, figure 3 right": "the distance between the weights of one ResNet at different epochs",
    "blog post, figure 4": "a 4-layer normalised CNN on MNIST under three schedules, whose λₑ are equal from epoch 81 "
    "on: ℓ₁ distances between the distributions of functions, from 500 trials",
    "paper, figure 5": "PreResNet32 on CIFAR-10 under five random schedules of η and λ for 500 epochs, then under one: "
    "accuracies, norm and effective learning rate",
}
"""What the documents' own figures show, as far as the documents say it themselves."""

_REPOSITORY = re.compile(r"https://[\w.:-]+(/[\w.~-]+)+")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_FIGURE = re.compile(r"(blog post|paper), figure (\d+)\s*(left|right|[a-z]\b)?")
_SECTIONS = ("introduction", "wisdom 1", "wisdom 2", "wisdom 3", "really going on")
"""Parts of the blog post, in its order."""


@dataclass(frozen=True)
class Source:
    """A claim's source, read."""

    group: str
    """A key of `GROUPS`."""
    order: tuple[str, ...]
    """Sorts the claims of a group as the documents have them."""
    parts: tuple[tuple[str, str], ...]
    """Each part of the text with the address of its document; empty where that is not known."""
    shown: str
    """What the document's own figure shows; empty where the source names none that is known."""

    @classmethod
    def of(cls, text: str) -> "Source":
        """Read from a claim's source: "blog post, figure 4; review 2, question 9". The first part decides its place.

        >>> Source.of("blog post, figure 4; review 1").group
        'figures'
        """
        parts = [part.strip() for part in text.split(";")]
        figure = _FIGURE.match(parts[0])
        order: tuple[str, ...]
        if figure:
            _, number, panel = figure.groups()
            group, order = "figures", (number.zfill(2), panel or "")
        elif parts[0].startswith("review"):
            group, order = "reviewers", (parts[0],)
        elif any(parts[0].startswith(name) for name, _ in DOCUMENTS):
            place = next((i for i, section in enumerate(_SECTIONS) if section in parts[0]), len(_SECTIONS))
            group, order = "laws", (str(place),)
        else:
            group, order = "others", (parts[0],)
        shown = SHOWN.get(figure.group(0).strip(), "") if figure else ""
        return cls(group, order, tuple((part, _address(part)) for part in parts), shown)


def repository_address(provenance: Provenance) -> str:
    """The page of the repository; empty where it is not known, or is no address that a page may link."""
    return provenance.repository if _REPOSITORY.fullmatch(provenance.repository) else ""


def file_address(claim: ClaimEvidence, provenance: Provenance) -> str:
    """Where the claim's file can be read as it was at the commit; empty where repository or commit are not known."""
    commit, _, _ = provenance.git.partition(" ")
    repository = repository_address(provenance)
    if not claim.file or not repository or not _COMMIT.fullmatch(commit):
        return ""
    return f"{repository}/blob/{commit}/{quote(claim.file)}"


def _address(part: str) -> str:
    """Where the document can be read that a part of a source names first."""
    return next((address for name, address in DOCUMENTS if part.startswith(name)), "")
