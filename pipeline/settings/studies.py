"""The studies by their name on the command line, without loading them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StudyRow:
    """A study of the catalogue.

    Attributes
    ----------
    module : str
        Where it stands; `pipeline.studies.study.Study` says what is in it.
    question : str
        For the list of commands.
    failure_mode : bool
        Whether it stands under ``chemtune stress``, or under ``chemtune study``.
    own_verb : bool
        Whether it is a verb of its own, ``chemtune design``, whose settings stand under ``study``.
    options : str
        The verb whose options of a run it has: ``reactions`` for a study of reactions alone, else ``study``.
    """

    module: str
    question: str
    failure_mode: bool = True
    options: str = "reactions"
    own_verb: bool = False


STUDIES = {
    "negatives": StudyRow(
        "pipeline.studies.negatives.study",
        "What happens when only successes were published (of molecules: positives alone are known), and what cures it.",
        options="study",
    ),
    "published-only": StudyRow(
        "pipeline.studies.published_only.study",
        "How wrong models of published tables are about the reactions of unseen papers that also failed.",
    ),
    "verifier": StudyRow(
        "pipeline.studies.verifier.study",
        "Generate conditions for held-out reactions, filter them by models that check, and look the truth up.",
    ),
    "rewards": StudyRow(
        "pipeline.studies.rewards.study",
        "Train a generator of conditions by the truth and by verifiers, and look up what of the reward is true.",
    ),
    "spelling": StudyRow(
        "pipeline.studies.spelling.study",
        "How far predictions move when the same molecule is written as another string, and what mends that.",
        options="study",
    ),
    "off-manifold": StudyRow(
        "pipeline.studies.off_manifold.study",
        "Whether models agree about steps along the directions that the data span, and across them.",
        options="study",
    ),
    "shortcut": StudyRow(
        "pipeline.studies.shortcut.study",
        "How far models rely on a marker that goes with high labels in training, and what happens where it turns.",
        options="study",
    ),
    "origin": StudyRow(
        "pipeline.studies.origin.study",
        "Whether a model knows the label, or the paper, laboratory or assay that a row comes from.",
        options="study",
    ),
    "edges": StudyRow(
        "pipeline.studies.edges.study",
        "What happens beyond the data: along directions of the descriptors, and beyond the labels seen.",
        options="study",
    ),
    "learning-curve": StudyRow(
        "pipeline.studies.learning_curve.study",
        "How the error falls with the number of measurements.",
        failure_mode=False,
        options="study",
    ),
    "pretraining": StudyRow(
        "pipeline.studies.pretraining.study",
        "What a language model knows before the first label, and how many labels that is worth.",
        failure_mode=False,
        options="study",
    ),
    "design": StudyRow(
        "pipeline.design.study",
        "Design molecules with a wanted value, and check them by a truth that can be computed.",
        failure_mode=False,
        options="study",
        own_verb=True,
    ),
}
